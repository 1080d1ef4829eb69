//! The seals of lines that may be damaged: where they can be, and how they differ from the expected ones.

use super::lines::Line;
use crate::format::{Chain, LineTrailer, SEAL_LEN, parse_trailer, seal};

/// The highest number of changed bytes with which a seal (and the close marker and LF after it) is still recognized.
pub(super) const MAX_CHANGED_SEAL_BYTES: usize = 2;

/// Returns the possible seals of a line, each with its offset in the line: the bytes right before the LF, even if a changed byte
/// added white space before them; and the bytes where the white space at the end begins.
pub(super) fn stored_seals(line: &Line<'_>) -> impl Iterator<Item = (usize, u32)> {
    let before_lf = line.bytes.len().checked_sub(SEAL_LEN).filter(|_| line.has_newline);
    let before_lf = before_lf.and_then(|at| Some((at, seal::decode(&line.bytes[at..])?)));
    let after_value = match parse_trailer(line.bytes) {
        (value_len, LineTrailer::Seal(seal) | LineTrailer::ClosingSeal(seal)) => Some((value_len, seal)),
        (_, LineTrailer::NoSeal) => None,
    };
    before_lf.into_iter().chain(after_value)
}

/// Returns whether this is the seal of the group whose last line this is.
pub(super) fn verifies(mut chain: Chain, line: &Line<'_>, (value_len, seal): (usize, u32)) -> bool {
    chain.push(&line.bytes[..value_len]);
    chain.seal() == seal
}

/// Returns the number of bytes that differ.
pub(super) fn count_changed(stored: &[u8], expected: &[u8]) -> usize {
    stored.iter().zip(expected).filter(|(stored, expected)| stored != expected).count()
}
