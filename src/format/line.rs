//! Parses one line of a segment into its value and its trailer: the white space at its end.

use super::{CLOSE_MARKER, PADDING, SEAL_LEN, seal};

/// The meaning of the white space at the end of a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineTrailer {
    /// No seal: the line is inside a group, or in a plain segment.
    NoSeal,
    /// A seal, followed by padding at most.
    Seal(u32),
    /// A seal and the close marker.
    ClosingSeal(u32),
}

/// Splits a line at the white space at its end; returns the length of the value before it, and the trailer.
pub(crate) fn parse_trailer(line: &[u8]) -> (usize, LineTrailer) {
    if let Some(common) = parse_common_trailer(line) {
        return common;
    }
    let value_len = line.trim_ascii_end().len();
    let space = &line[value_len..];
    let Some(value) = seal::decode(space) else {
        return (value_len, LineTrailer::NoSeal);
    };
    match &space[SEAL_LEN..] {
        [CLOSE_MARKER] => (value_len, LineTrailer::ClosingSeal(value)),
        rest if rest.iter().all(|&b| b == PADDING) => (value_len, LineTrailer::Seal(value)),
        _ => (value_len, LineTrailer::NoSeal),
    }
}

/// Parses the trailer of nearly every line, nothing or exactly a seal, without searching for the start of the white space.
fn parse_common_trailer(line: &[u8]) -> Option<(usize, LineTrailer)> {
    if !line.last()?.is_ascii_whitespace() {
        return Some((line.len(), LineTrailer::NoSeal));
    }
    let value_len = line.len().checked_sub(SEAL_LEN)?;
    let starts_here = value_len == 0 || !line[value_len - 1].is_ascii_whitespace();
    starts_here.then(|| Some((value_len, LineTrailer::Seal(seal::decode(&line[value_len..])?))))?
}

/// Returns the seals inside a line that other bytes follow, with their offsets in the line: a lost LF joins two lines so.
pub(crate) fn embedded_seals(line: &[u8]) -> impl Iterator<Item = (usize, u32)> + '_ {
    memchr::memchr_iter(CLOSE_MARKER, line)
        .filter_map(|at| Some((at, seal::decode(&line[at..])?)))
        .filter(|&(at, _)| at > 0 && !line[at - 1].is_ascii_whitespace())
}
