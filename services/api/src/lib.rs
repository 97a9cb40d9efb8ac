//! HTTP DTOs and error codes of the control plane.

pub mod endpoints;
pub mod routes;
