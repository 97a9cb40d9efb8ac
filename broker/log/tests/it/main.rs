//! The log as its callers see it.

mod reading;
mod support;
