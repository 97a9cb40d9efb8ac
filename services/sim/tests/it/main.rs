//! The runs that every change has to stand.

mod determinism;
mod guards;
mod seeds;
