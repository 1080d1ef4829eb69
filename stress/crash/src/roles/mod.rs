//! What the program does, by its first argument.

pub(crate) mod driver;
pub(crate) mod ends;
pub(crate) mod forks;
pub(crate) mod reader;
pub(crate) mod writer;
