//! The file format: bytes in, bytes out. Owns every rule about headers, lines, seals and padding, and never opens a file. The
//! writer, readers, recovery and maintenance share it.
//!
//! A segment is a header line and record lines, separated by LF. The last line of every commit group ends in a
//! [`seal`]; the last line of a closed segment also ends in the [close marker](CLOSE_MARKER).

pub(crate) mod encode;
pub(crate) mod group;
pub(crate) mod header;
pub(crate) mod holds;
pub(crate) mod line;
pub(crate) mod scan;
pub(crate) mod seal;
mod validate;

pub(crate) use group::{DataEnd, EncodedGroup, GroupLayout, encode_group};
pub(crate) use header::{ChainLink, HeaderError, OPEN_SEQ_MAX, SegmentHeader};
pub(crate) use line::{LineTrailer, parse_trailer};
pub(crate) use seal::{Chain, SEAL_LEN};

/// Separates lines; also the last byte of a closed segment.
pub(crate) const LF: u8 = b'\n';

/// Fills preallocated space; white space to every JSON reader.
pub(crate) const PADDING: u8 = b' ';

/// Padding ends at a multiple of this many bytes from the start of the file: the largest page size of known kernels (64 KiB,
/// on some arm64), so that padding and commits never share a page.
pub(crate) const PADDING_STEP_BYTES: u64 = 64 << 10;

/// Follows the last line of a closed segment. Bytes of such a segment that do not verify are corruption, never a torn tail.
pub(crate) const CLOSE_MARKER: u8 = b'\t';

#[cfg(test)]
pub(crate) mod testing;
#[cfg(test)]
mod tests;
