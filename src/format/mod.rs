//! The file format: bytes in, bytes out. Owns every rule about headers, lines, seals and padding; never sees a
//! file. Writer, reader, recovery and maintenance share it.
//!
//! A segment is a header line and record lines, separated by LF. The last line of every commit group ends in a
//! [`seal`]; the last line of a closed segment also ends in the [closed mark](CLOSE_MARKER).

pub(crate) mod encode;
pub(crate) mod header;
pub(crate) mod holds;
pub(crate) mod line;
pub(crate) mod scan;
pub(crate) mod seal;
mod validate;

pub(crate) use header::{ChainLink, Header, HeaderError};
pub(crate) use line::{LineTrailer, parse_trailer};
pub(crate) use seal::{Chain, SEAL_LEN};

/// Separates lines, and ends a closed segment.
pub(crate) const LF: u8 = b'\n';

/// Fills the space written ahead of the records; white space to every JSON reader.
pub(crate) const PADDING: u8 = b' ';

/// Padding is written in steps of this many bytes, counted from the start of the file: the largest page size of the kernels
/// we know (64 KiB, on some arm64), so that padding and commits never share a page.
pub(crate) const PADDING_STEP_BYTES: u64 = 64 << 10;

/// Stands after the last line of a closed segment: what fails to verify in a marked file is damage.
pub(crate) const CLOSE_MARKER: u8 = b'\t';

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
