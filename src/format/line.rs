//! One line of a segment, taken apart: the value, and what its trailing white space says.

use super::{CLOSE_MARKER, PADDING, SEAL_LEN, seal};

/// What a line's trailing white space says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineTrailer {
    /// No seal: a line inside a group, or of a plain segment.
    Unsealed,
    /// A seal and nothing but padding behind it.
    Sealed(u32),
    /// A seal and the closed mark.
    Closed(u32),
}

/// Splits a line into the length of its value (what stands before the white space at its end) and its ending.
pub(crate) fn parse_trailer(line: &[u8]) -> (usize, LineTrailer) {
    if let Some(usual) = usual_ending(line) {
        return usual;
    }
    let value_len = line.trim_ascii_end().len();
    let space = &line[value_len..];
    let Some(value) = seal::decode(space) else {
        return (value_len, LineTrailer::Unsealed);
    };
    match &space[SEAL_LEN..] {
        [CLOSE_MARKER] => (value_len, LineTrailer::Closed(value)),
        rest if rest.iter().all(|&b| b == PADDING) => (value_len, LineTrailer::Sealed(value)),
        _ => (value_len, LineTrailer::Unsealed),
    }
}

/// What nearly every line ends in: nothing, or a seal and nothing else. Found without going over the white space.
fn usual_ending(line: &[u8]) -> Option<(usize, LineTrailer)> {
    if !line.last()?.is_ascii_whitespace() {
        return Some((line.len(), LineTrailer::Unsealed));
    }
    let value_len = line.len().checked_sub(SEAL_LEN)?;
    let ends_there = value_len == 0 || !line[value_len - 1].is_ascii_whitespace();
    ends_there.then(|| Some((value_len, LineTrailer::Sealed(seal::decode(&line[value_len..])?))))?
}

/// Places inside a line where a seal stands that other bytes follow: a lost LF leaves such a thing behind.
pub(crate) fn embedded_seals(line: &[u8]) -> impl Iterator<Item = (usize, u32)> + '_ {
    memchr::memchr_iter(CLOSE_MARKER, line)
        .filter_map(|at| Some((at, seal::decode(&line[at..])?)))
        .filter(|&(at, _)| at > 0 && !line[at - 1].is_ascii_whitespace())
}
