//! Real processes, real clients, real faults, and the checker of their histories.
