//! REST, reconcilers, the executor of runs, schedules and the console.

pub mod automation;
mod console;
pub mod council;
pub mod execute;
mod lease;
pub mod observe;
mod plane;
pub mod ports;
mod reconcile;
pub mod rest;
pub mod schedule;
mod tenure;
pub mod topics;
pub mod work;

pub use plane::{ControlPlane, PlaneConfig, PlaneError};
