//! Recovery decisions: health, assessment, plans, audit, the run machine, reports.
//!
//! ```text
//! inventory -> health -> trigger -> assess -> plan -> audit -> run -> report
//!  (facts)                                  (immutable)      (events in, commands out)
//! ```
//!
//! Everything here is a pure function of its arguments: `now` and ids are arguments, nothing is sent, stored or
//! awaited. The same inventory, policy and request give the same plan, byte for byte; making one changes nothing.
//! What a plan needs done comes out as data ([`run::Command`]), what was done comes in as data ([`run::Event`]).

mod millis;

pub mod assess;
pub mod audit;
pub mod drill;
pub mod health;
pub mod inventory;
pub mod plan;
pub mod policy;
pub mod report;
pub mod run;
pub mod schedule;
pub mod trigger;
