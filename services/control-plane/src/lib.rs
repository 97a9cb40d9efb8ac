//! REST, reconcilers, the executor of runs, schedules and the console.

pub mod council;
mod lease;
pub mod ports;
mod reconcile;
pub mod topics;
pub mod work;
