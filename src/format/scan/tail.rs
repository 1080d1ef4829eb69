//! Classifies the bytes from the first group that does not verify: a torn tail, which was never acknowledged, or corruption.
//!
//! One commit is in flight at a time, so only the last group can be torn. The bytes after a group that does not verify show which
//! of the two it is.

use std::io;

use serde::de::IgnoredAny;

use super::{
    Block, LineReader, ReadAt, ResyncScanner,
    lines::Line,
    stored_seal::{MAX_CHANGED_SEAL_BYTES, count_changed, stored_seals, verifies},
};
use crate::format::{CLOSE_MARKER, Chain, LF, PADDING, SEAL_LEN, line::embedded_seals, seal};

/// The smallest unit that a disk writes whole: a write is torn only between two of them.
const SECTOR_BYTES: u64 = 512;

/// Bytes of a seal, the close marker and the last LF.
const CLOSING_BYTES: usize = SEAL_LEN + 2;

/// The bytes after the last verified group that are not padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// The offset of the first byte that is not verified.
    pub(crate) offset: u64,
    /// The line with its first text, counted from 1 in the file.
    pub(crate) line: u64,
    /// The number of bytes up to the last one that is not a space.
    pub(crate) bytes: u64,
    /// `true`: acknowledged data is corrupt. `false`: the tail is torn, and its bytes were never acknowledged.
    pub(crate) is_corrupt: bool,
    /// Something in the tail verifies: truncating it would discard acknowledged data that is intact.
    pub(crate) has_verified_data: bool,
    pub(crate) reason: &'static str,
}

/// The start of a group, and the chain at it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct NextGroupStart {
    pub(super) offset: u64,
    pub(super) line: u64,
    pub(super) chain: Chain,
}

/// The classification of the bytes from the first group that does not verify.
pub(super) struct TailAnalysis {
    /// The end of that group if it is whole and only the LF after its seal is missing.
    pub(super) verified_to: Option<u64>,
    pub(super) tail: Tail,
    pub(super) file_end: u64,
}

/// Reads from `start`, the group that does not verify, to the end of the file, and classifies it.
pub(super) fn classify_tail<S: ReadAt>(
    source: &S,
    start: NextGroupStart,
    plain: bool,
) -> io::Result<TailAnalysis> {
    let rest = survey(source, start)?;
    let embedded = find_embedded(source, start)?;
    let offset = embedded.as_ref().map_or(start.offset, |found| found.end);
    let corruption = if embedded.as_ref().is_some_and(|found| !found.can_be_torn) {
        Some("the byte after a commit group is not what was written")
    } else if rest.later_group_verifies {
        Some("a commit group does not verify, and a later one does")
    } else if rest.lines_follow_space {
        Some("lines follow white space that only the end of a commit group has")
    } else if has_changed_seal(source, start)? {
        Some("a seal is not what was written")
    } else if rest.closed || looks_closed(source, start, rest.file_end)? {
        Some("a commit group of a closed segment does not verify")
    } else if plain && embedded.is_none() && rest.has_seal {
        Some("the lines under the first seal do not verify")
    } else {
        None
    };
    let tail = Tail {
        offset,
        line: embedded.as_ref().map_or(start.line, |found| found.line),
        bytes: rest.text_end.saturating_sub(offset),
        is_corrupt: corruption.is_some(),
        has_verified_data: corruption.is_some() && any_group_verifies(source, start, offset)?,
        reason: corruption.unwrap_or("the last commit group is incomplete"),
    };
    Ok(TailAnalysis { verified_to: embedded.map(|found| found.end), tail, file_end: rest.file_end })
}

/// Returns whether a group after the first one, which does not verify, is found by the scan of a damaged segment.
fn any_group_verifies<S: ReadAt>(source: &S, start: NextGroupStart, offset: u64) -> io::Result<bool> {
    let mut resync =
        ResyncScanner::new(source, offset, start.line, (offset == start.offset).then_some(start.chain));
    let mut block = Block::default();
    while let Some(group) = resync.next(&mut block)? {
        if group.verified {
            return Ok(true);
        }
        block.clear();
    }
    Ok(false)
}

/// The last line of a plain segment that no seal covers.
pub(super) struct LastPlainLine {
    /// The line without the white space at its end.
    pub(super) value: Vec<u8>,
    /// Its length without padding. A partly written seal counts.
    pub(super) text_len: u64,
    /// The length of the complete JSON value at its start, if there is one. A number may have been truncated between two digits, so
    /// it counts as complete only if the TAB of a seal follows.
    pub(super) complete_len: Option<usize>,
}

pub(super) fn read_last_plain_line<S: ReadAt>(source: &S, line_offset: u64) -> io::Result<LastPlainLine> {
    let mut lines = LineReader::new(source, line_offset);
    let line = lines.next()?.map(|line| line.bytes.to_vec()).unwrap_or_default();
    let value = line.trim_ascii_end().to_vec();
    let mut values = serde_json::Deserializer::from_slice(&value).into_iter::<IgnoredAny>();
    let is_value = matches!(values.next(), Some(Ok(_)));
    let len = values.byte_offset();
    let is_number = value[..len].last().is_some_and(u8::is_ascii_digit);
    let is_delimited = !is_number || line.get(len) == Some(&seal::ONE);
    let complete_len = (is_value && is_delimited).then_some(len);
    let text_len = line.iter().rposition(|&b| b != PADDING).map_or(0, |last| last as u64 + 1);
    Ok(LastPlainLine { value, text_len, complete_len })
}

/// The bytes from the first group that does not verify to the end of the file.
struct TailSurvey {
    later_group_verifies: bool,
    /// A line with text follows a line that ends in white space. No line inside a group ends in white space, and at most one
    /// more group follows the end of a group; an editor leaves such lines everywhere (CRLF, tabs converted to spaces).
    lines_follow_space: bool,
    has_seal: bool,
    closed: bool,
    /// The offset after the last byte that is not a space.
    text_end: u64,
    file_end: u64,
}

fn survey<S: ReadAt>(source: &S, start: NextGroupStart) -> io::Result<TailSurvey> {
    let mut lines = LineReader::new(source, start.offset);
    let mut found = TailSurvey {
        later_group_verifies: false,
        lines_follow_space: false,
        has_seal: false,
        closed: false,
        text_end: start.offset,
        file_end: start.offset,
    };
    // Each group is checked against the *stored* seal before it, so that one corrupt group does not hide the ones after it.
    let mut chain: Option<Chain> = None;
    let mut any_ended_in_space = false;
    while let Some(line) = lines.next()? {
        found.lines_follow_space |=
            any_ended_in_space && !line.bytes.iter().all(|byte| b" \t\r\0".contains(byte));
        any_ended_in_space |= ends_in_space(&line);
        found.closed = line.has_newline && ends_with_close_marker(line.bytes);
        found.file_end = line.end();
        found.text_end = match line.bytes.iter().rposition(|&b| b != PADDING) {
            _ if line.has_newline => line.end(),
            Some(last) => line.offset + last as u64 + 1,
            None => found.text_end,
        };
        let stored = stored_seals(&line).next();
        if let Some(chain) = &mut chain {
            found.later_group_verifies |= stored_seals(&line).any(|seal| verifies(*chain, &line, seal));
            chain.push(line.bytes);
        }
        if let Some((_, seal)) = stored {
            found.has_seal = true;
            chain = Some(Chain::from_seal(seal));
        }
    }
    Ok(found)
}

/// Returns whether a line ends in white space that a torn write cannot have left: the unwritten part of a group extends to the
/// end of a sector.
fn ends_in_space(line: &Line<'_>) -> bool {
    let has_space = line.has_newline && line.bytes.last().is_some_and(u8::is_ascii_whitespace);
    has_space && !(line.end() - 1).is_multiple_of(SECTOR_BYTES)
}

/// Returns whether a line ends in a seal and the close marker.
fn ends_with_close_marker(line: &[u8]) -> bool {
    let trailer = line.split_last_chunk::<{ SEAL_LEN + 1 }>();
    trailer.is_some_and(|(_, end)| end[SEAL_LEN] == CLOSE_MARKER && seal::decode(end).is_some())
}

/// A whole group whose last line continues after its seal.
struct EmbeddedGroup {
    /// The offset after the seal.
    end: u64,
    line: u64,
    /// The bytes after the seal can be left from a torn write of the next group.
    can_be_torn: bool,
}

fn find_embedded<S: ReadAt>(source: &S, start: NextGroupStart) -> io::Result<Option<EmbeddedGroup>> {
    let mut lines = LineReader::new(source, start.offset);
    let mut chain = start.chain;
    let mut number = start.line;
    while let Some(line) = lines.next()? {
        // The bytes of the line are added once, however many seals it has.
        let (mut with_line, mut pushed) = (chain, 0);
        with_line.push(&[]);
        for (at, seal) in embedded_seals(line.bytes) {
            with_line.push_raw(&line.bytes[pushed..at]);
            pushed = at;
            if with_line.seal() == seal {
                let end = line.offset + (at + SEAL_LEN) as u64;
                let can_be_torn = is_unwritten(&line.bytes[at + SEAL_LEN..], end);
                return Ok(Some(EmbeddedGroup { end, line: number, can_be_torn }));
            }
        }
        chain.push(line.bytes);
        number += 1;
    }
    Ok(None)
}

/// Returns whether these bytes, at `offset`, can be the rest of a sector with the next LF that was not written.
pub(super) fn is_unwritten(bytes: &[u8], offset: u64) -> bool {
    // Padding, or the zeros of a block that was not written; possibly after a close marker whose LF was not written.
    let closed = usize::from(bytes.first() == Some(&CLOSE_MARKER));
    let sector_rest = (SECTOR_BYTES - offset % SECTOR_BYTES) as usize - closed;
    bytes[closed..].iter().take(sector_rest).all(|byte| matches!(byte, &PADDING | 0))
}

/// Returns whether an LF follows a seal with one or two changed bytes: an LF follows only a whole group.
fn has_changed_seal<S: ReadAt>(source: &S, start: NextGroupStart) -> io::Result<bool> {
    let mut lines = LineReader::new(source, start.offset);
    let mut chain = start.chain;
    // The last bytes before the next LF, across lines: a byte changed into an LF splits the line with the seal.
    let mut recent = Vec::new();
    while let Some(line) = lines.next()?.filter(|line| line.has_newline) {
        recent.extend_from_slice(line.bytes);
        let excess = recent.len().saturating_sub(SEAL_LEN);
        chain.push_raw(&recent[..excess]);
        recent.drain(..excess);
        let changed = count_changed(&recent, &seal::encode(chain.seal()));
        if recent.len() == SEAL_LEN && (1..=MAX_CHANGED_SEAL_BYTES).contains(&changed) {
            return Ok(true);
        }
        recent.push(LF);
    }
    Ok(false)
}

/// Returns whether the file ends as a closed segment, in the expected seal, the close marker and an LF, with at most two bytes
/// changed. If only the marker and the LF are unwritten, the close itself was interrupted, and the segment is not closed.
fn looks_closed<S: ReadAt>(source: &S, start: NextGroupStart, file_end: u64) -> io::Result<bool> {
    let Some(text_end) = file_end.checked_sub(CLOSING_BYTES as u64).filter(|&end| end > start.offset) else {
        return Ok(false);
    };
    let mut lines = LineReader::with_limit(source, start.offset, text_end);
    let mut chain = start.chain;
    while let Some(line) = lines.next()? {
        chain.push(line.bytes);
    }
    let mut stored = [0; CLOSING_BYTES];
    if source.read_at(&mut stored, text_end)? != CLOSING_BYTES {
        return Ok(false);
    }
    let mut expected = seal::encode(chain.seal()).to_vec();
    expected.extend_from_slice(&[CLOSE_MARKER, LF]);
    let is_unwritten = |(stored, expected): (&u8, &u8)| stored == expected || matches!(stored, &PADDING | 0);
    let close_interrupted = stored[SEAL_LEN..].iter().zip(&expected[SEAL_LEN..]).all(is_unwritten);
    if close_interrupted && stored[..SEAL_LEN] == expected[..SEAL_LEN] {
        return Ok(false);
    }
    Ok(count_changed(&stored, &expected) <= MAX_CHANGED_SEAL_BYTES)
}
