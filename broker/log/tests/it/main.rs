//! The log as its callers see it.

mod copying;
mod crash;
mod failing;
mod holes;
mod idempotence;
mod lookups;
mod model_check;
mod reading;
mod support;
mod transactions;
mod truncation;
