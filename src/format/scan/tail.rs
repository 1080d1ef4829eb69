//! What bytes that do not verify mean: the rest of a group that was never acknowledged, or damage.
//!
//! One commit is in flight at a time, so at most one group can be torn, and it is the last. Whatever a group
//! that fails is followed by tells the two apart.

use std::io;

use serde::de::IgnoredAny;

use super::{LineReader, ReadAt, lines::Line};
use crate::format::{
    CLOSE_MARKER, Chain, LF, LineTrailer, PADDING, SEAL_LEN, line::embedded_seals, parse_trailer, seal,
};

/// Smallest unit that a disk writes whole: a torn write is torn between two of them.
const SECTOR_BYTES: u64 = 512;

/// Bytes of a seal, the closed mark and the last LF.
const CLOSING_BYTES: usize = SEAL_LEN + 2;

/// How many bytes of a seal (and of what follows it) may be damaged for it to be recognized all the same.
const SEAL_FAULTS_MAX: usize = 2;

/// What follows the last verified group and is not padding.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Tail {
    /// Where it begins: the first byte that is not verified.
    pub(crate) offset: u64,
    /// The line its first line of text is on, counted from 1 in the file.
    pub(crate) line: u64,
    /// Bytes up to the last one that is not a space.
    pub(crate) bytes: u64,
    /// Whether acknowledged data is damaged; else these bytes were never acknowledged.
    pub(crate) damaged: bool,
    pub(crate) reason: &'static str,
}

/// Where a group begins, and the chain there.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct GroupStart {
    pub(super) offset: u64,
    pub(super) line: u64,
    pub(super) chain: Chain,
}

/// What was found out about the bytes from a failed group on.
pub(super) struct TailAnalysis {
    /// The failed group is whole up to here: only the LF behind its seal is missing.
    pub(super) verified_to: Option<u64>,
    pub(super) tail: Tail,
    pub(super) file_end: u64,
}

/// Looks at everything from `start`, where a group failed, to the end of the file.
pub(super) fn classify_tail<S: ReadAt>(
    source: &S,
    start: GroupStart,
    plain: bool,
) -> io::Result<TailAnalysis> {
    let rest = survey(source, start)?;
    let embedded = find_embedded(source, start)?;
    let offset = embedded.as_ref().map_or(start.offset, |found| found.end);
    let damage = if embedded.as_ref().is_some_and(|found| !found.can_be_torn) {
        Some("the byte after a commit group is not what was written")
    } else if rest.later_group_verifies {
        Some("a commit group does not verify, and a later one does")
    } else if rest.lines_follow_space {
        Some("lines follow white space that only the end of a commit group has")
    } else if has_damaged_seal(source, start)? {
        Some("a seal is not what was written")
    } else if rest.closed || looks_closed(source, start, rest.file_end)? {
        Some("a commit group of a closed segment does not verify")
    } else if plain && embedded.is_none() && rest.sealed {
        Some("the lines under the first seal do not verify")
    } else {
        None
    };
    let tail = Tail {
        offset,
        line: embedded.as_ref().map_or(start.line, |found| found.line),
        bytes: rest.text_end.saturating_sub(offset),
        damaged: damage.is_some(),
        reason: damage.unwrap_or("the last commit group is incomplete"),
    };
    Ok(TailAnalysis { verified_to: embedded.map(|found| found.end), tail, file_end: rest.file_end })
}

/// The last line of a plain segment's lines that no seal covers.
pub(super) struct LastPlainLine {
    /// Without the white space at its end.
    pub(super) value: Vec<u8>,
    /// How many of its bytes are not padding: what may have been begun of a seal included.
    pub(super) text_len: u64,
    /// How many of its bytes are a whole JSON value, if it begins with one. A number may have been cut off
    /// between two digits: it counts as whole only where the TAB of a seal was begun behind it.
    pub(super) complete_len: Option<usize>,
}

pub(super) fn plain_last<S: ReadAt>(source: &S, line_offset: u64) -> io::Result<LastPlainLine> {
    let mut lines = LineReader::new(source, line_offset);
    let line = lines.next()?.map(|line| line.bytes.to_vec()).unwrap_or_default();
    let value = line.trim_ascii_end().to_vec();
    let mut values = serde_json::Deserializer::from_slice(&value).into_iter::<IgnoredAny>();
    let whole = matches!(values.next(), Some(Ok(_)));
    let len = values.byte_offset();
    let is_number = value[..len].last().is_some_and(u8::is_ascii_digit);
    let delimited = !is_number || line.get(len) == Some(&seal::ONE);
    let complete_len = (whole && delimited).then_some(len);
    let text_len = line.iter().rposition(|&b| b != PADDING).map_or(0, |last| last as u64 + 1);
    Ok(LastPlainLine { value, text_len, complete_len })
}

/// What stands from a failed group to the end of the file.
struct TailSurvey {
    later_group_verifies: bool,
    /// Inside a group no line ends in white space. Behind the end of one stands at most one more group; an editor
    /// leaves such lines everywhere (CRLF, tabs turned into spaces).
    lines_follow_space: bool,
    sealed: bool,
    closed: bool,
    /// Behind the last byte that is not a space.
    text_end: u64,
    file_end: u64,
}

fn survey<S: ReadAt>(source: &S, start: GroupStart) -> io::Result<TailSurvey> {
    let mut lines = LineReader::new(source, start.offset);
    let mut found = TailSurvey {
        later_group_verifies: false,
        lines_follow_space: false,
        sealed: false,
        closed: false,
        text_end: start.offset,
        file_end: start.offset,
    };
    // Each group is checked against the seal that *stands* before it, so that one damaged group does not hide
    // the ones behind it.
    let mut chain: Option<Chain> = None;
    let mut ended_in_space = false;
    while let Some(line) = lines.next()? {
        found.lines_follow_space |=
            ended_in_space && !line.bytes.iter().all(|byte| b" \t\r\0".contains(byte));
        ended_in_space |= ends_in_space(&line);
        found.closed = line.has_newline && ends_closed(line.bytes);
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
            found.sealed = true;
            chain = Some(Chain::from_seal(seal));
        }
    }
    Ok(found)
}

/// Whether a line ends in white space that a torn write cannot have left there: what was not written of a group goes
/// on to the end of a sector.
fn ends_in_space(line: &Line<'_>) -> bool {
    let spaced = line.has_newline && line.bytes.last().is_some_and(u8::is_ascii_whitespace);
    spaced && !(line.end() - 1).is_multiple_of(SECTOR_BYTES)
}

/// Where a line's seal may stand, and its value: before its LF, whatever white space a changed byte put before it; or
/// where its white space begins.
pub(super) fn stored_seals(line: &Line<'_>) -> impl Iterator<Item = (usize, u32)> {
    let before_lf = line.bytes.len().checked_sub(SEAL_LEN).filter(|_| line.has_newline);
    let before_lf = before_lf.and_then(|at| Some((at, seal::decode(&line.bytes[at..])?)));
    let behind_value = match parse_trailer(line.bytes) {
        (value_len, LineTrailer::Sealed(seal) | LineTrailer::Closed(seal)) => Some((value_len, seal)),
        (_, LineTrailer::Unsealed) => None,
    };
    before_lf.into_iter().chain(behind_value)
}

/// Whether a group that this line ends has this seal.
pub(super) fn verifies(mut chain: Chain, line: &Line<'_>, (value_len, seal): (usize, u32)) -> bool {
    chain.push(&line.bytes[..value_len]);
    chain.seal() == seal
}

/// Whether a line ends as a closed segment's last one does.
fn ends_closed(line: &[u8]) -> bool {
    let sealed = line.split_last_chunk::<{ SEAL_LEN + 1 }>();
    sealed.is_some_and(|(_, end)| end[SEAL_LEN] == CLOSE_MARKER && seal::decode(end).is_some())
}

/// A group that is whole, whose last line goes on behind its seal.
struct EmbeddedGroup {
    /// Behind the seal.
    end: u64,
    line: u64,
    /// Whether a torn write of the next group can have left the byte that follows.
    can_be_torn: bool,
}

fn find_embedded<S: ReadAt>(source: &S, start: GroupStart) -> io::Result<Option<EmbeddedGroup>> {
    let mut lines = LineReader::new(source, start.offset);
    let mut chain = start.chain;
    let mut number = start.line;
    while let Some(line) = lines.next()? {
        // Read once, however many seals there are.
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

/// Whether these bytes, from `offset` on, can stand where the sector with the next LF was not written.
pub(super) fn is_unwritten(bytes: &[u8], offset: u64) -> bool {
    // Padding, or what a file system shows of a block that was not written; perhaps behind a closed mark whose LF was
    // not written.
    let closed = usize::from(bytes.first() == Some(&CLOSE_MARKER));
    let sector_rest = (SECTOR_BYTES - offset % SECTOR_BYTES) as usize - closed;
    bytes[closed..].iter().take(sector_rest).all(|byte| matches!(byte, &PADDING | 0))
}

/// Whether a seal with a byte or two changed stands before an LF: only a group that was whole is followed by one.
fn has_damaged_seal<S: ReadAt>(source: &S, start: GroupStart) -> io::Result<bool> {
    let mut lines = LineReader::new(source, start.offset);
    let mut chain = start.chain;
    // The last bytes before the next LF, for a byte changed into an LF splits the seal's line.
    let mut recent = Vec::new();
    while let Some(line) = lines.next()?.filter(|line| line.has_newline) {
        recent.extend_from_slice(line.bytes);
        let settled = recent.len().saturating_sub(SEAL_LEN);
        chain.push_raw(&recent[..settled]);
        recent.drain(..settled);
        let faults = count_faults(&recent, &seal::encode(chain.seal()));
        if recent.len() == SEAL_LEN && (1..=SEAL_FAULTS_MAX).contains(&faults) {
            return Ok(true);
        }
        recent.push(LF);
    }
    Ok(false)
}

/// Whether the file ends as a closed one does, save a byte or two: the seal that belongs there, the closed mark
/// and an LF. Where only the last two are missing, and nothing else stands there, the closing itself was cut off.
fn looks_closed<S: ReadAt>(source: &S, start: GroupStart, file_end: u64) -> io::Result<bool> {
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
    let closing_begun = stored[SEAL_LEN..].iter().zip(&expected[SEAL_LEN..]).all(is_unwritten);
    if closing_begun && stored[..SEAL_LEN] == expected[..SEAL_LEN] {
        return Ok(false);
    }
    Ok(count_faults(&stored, &expected) <= SEAL_FAULTS_MAX)
}

fn count_faults(stored: &[u8], expected: &[u8]) -> usize {
    stored.iter().zip(expected).filter(|(stored, expected)| stored != expected).count()
}
