//! Finds the records in damaged JSON Lines, and what has to be removed between them. Pure: bytes in, records and removed bytes
//! out, in order, with their places. Everything else in the input is white space.
//!
//! The rules are `docs/how-to/repair-json-lines.md`, "Rules". The work is linear in the input, and the memory bounded by the
//! longest line. Used by a fuzz target, too: this module imports nothing of the program.

mod split;
mod stream;
mod value;

#[cfg(any(test, fuzzing))]
pub(crate) mod properties;
#[cfg(test)]
mod tests;

pub(crate) use split::Reason;
pub(crate) use stream::{Damage, LineRepair, Place, RemovedTotals, RepairEvent};

/// The mark at the start of some files, and of files that were appended to others.
const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";
