//! Code shared by several benchmarks.

pub(crate) mod flights;
