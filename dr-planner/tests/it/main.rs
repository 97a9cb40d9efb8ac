//! The planner against a small world: councils that apply once, regions with journals, executors that die.

mod faults;
mod plans;
mod platform;
mod reports;
mod scenarios;
mod story;
mod world;
