//! REST, reconcilers, the executor of runs, schedules and the console.

pub mod ports;
