//! Benchmarks against peers on the same machine.
