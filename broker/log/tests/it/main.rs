//! The log as its callers see it.

mod compaction;
mod copying;
mod crash;
mod failing;
mod holes;
mod idempotence;
mod lookups;
mod model_check;
mod reading;
mod retention;
mod support;
mod transactions;
mod truncation;
