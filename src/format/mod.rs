//! The file format: bytes in, bytes out. Owns every rule about headers, lines, seals and padding; never sees a
//! file. Writer, reader, recovery and maintenance share it.
//!
//! A segment is a header line and record lines, separated by LF. The last line of every commit group ends in a
//! [`seal`]; the last line of a closed segment also ends in the [closed mark](CLOSED_MARK).

pub(crate) mod header;
pub(crate) mod holds;
pub(crate) mod line;
pub(crate) mod seal;

pub(crate) use header::{Header, HeaderFault, Link};
pub(crate) use line::{Ending, ending};
pub(crate) use seal::{Chain, SEAL_LEN};

/// Separates lines, and ends a closed segment.
pub(crate) const LF: u8 = b'\n';

/// Fills the space written ahead of the records; white space to every JSON reader.
pub(crate) const PADDING: u8 = b' ';

/// Stands after the last line of a closed segment: what fails to verify in a marked file is damage.
pub(crate) const CLOSED_MARK: u8 = b'\t';

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
