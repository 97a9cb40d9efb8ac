//! REST, reconcilers, the executor of runs, schedules and the console.

pub mod automation;
pub mod council;
pub mod execute;
mod lease;
pub mod observe;
pub mod ports;
mod reconcile;
pub mod schedule;
mod tenure;
pub mod topics;
pub mod work;
