//! The commit path: callers add appends to the queue, and the writer thread commits them in groups.

pub(crate) mod inner;
pub(crate) mod queue;
pub(crate) mod writer;
