//! What travels between the control plane and its clients: the REST API's documents and error codes, the routes that
//! gateways follow, and the file that says where a platform listens.
//!
//! The REST documents are plain on purpose: names of things are text, units stand in the names of numbers, times are
//! RFC 3339 in UTC. Fields are only ever added. What a client sends may leave out every field that has a default.

pub mod backups;
pub mod drills;
pub mod endpoints;
pub mod health;
pub mod links;
mod page;
pub mod plans;
mod problem;
pub mod protection_groups;
pub mod regions;
pub mod restores;
pub mod routes;
pub mod runs;
pub mod schedules;
pub mod topics;

pub use page::{OffsetRange, Page, Paging};
pub use problem::{ErrorCode, Happened, PROBLEM_MEDIA_TYPE, Problem};
