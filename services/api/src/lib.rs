//! HTTP DTOs and error codes of the control plane.
