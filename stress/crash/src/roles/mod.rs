//! The roles of the program, selected by its first argument.

pub(crate) mod abrupt_exit;
pub(crate) mod driver;
pub(crate) mod fork;
pub(crate) mod reader;
pub(crate) mod writer;
