//! The runs that every change has to stand.

mod active;
mod determinism;
mod guards;
mod seeds;
