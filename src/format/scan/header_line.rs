//! Reads the first line of a segment.

use std::io;

use super::{
    LineReader, ReadAt,
    lines::Line,
    tail::{NextGroupStart, is_unwritten},
};
use crate::format::{CLOSE_MARKER, Chain, HeaderError, SegmentHeader, header};

/// The first line of a segment, parsed.
#[derive(Debug)]
pub(super) struct FirstLine {
    pub(super) header: SegmentHeader,
    /// The start of the first group.
    pub(super) group: NextGroupStart,
    pub(super) data_end: u64,
    pub(super) has_newline: bool,
    pub(super) closed: bool,
}

/// Reads the header of a segment. Returns `Ok(Err(_))` if the first line is not a header.
///
/// # Errors
///
/// The error of a failed read.
pub(crate) fn read_header(source: impl ReadAt) -> io::Result<Result<SegmentHeader, HeaderError>> {
    let first = FirstLine::read(&mut LineReader::new(source, 0))?;
    Ok(first.map(|first| first.header))
}

/// Returns whether the first bytes are those of a journal, or a shorter file is a beginning of them. Any other file may have a
/// very long first line, whose end need not be searched for.
///
/// # Errors
///
/// The error of a failed read.
pub(crate) fn has_magic(source: impl ReadAt) -> io::Result<bool> {
    let mut first = [0; header::MAGIC_BYTES_MAX];
    let mut count = 0;
    while count < first.len() {
        match source.read_at(&mut first[count..], count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    Ok(header::starts_as_a_journal(&first[..count]))
}

impl FirstLine {
    /// Reads the first line. Afterwards `lines` is at the start of the first group.
    pub(super) fn read(lines: &mut LineReader<impl ReadAt>) -> io::Result<Result<Self, HeaderError>> {
        if !has_magic(lines.source())? {
            return Ok(Err(HeaderError::BadMagic));
        }
        let Some(line) = lines.next()? else {
            return Ok(Err(HeaderError::BadMagic));
        };
        if let Ok(first) = Self::parse(&line) {
            let is_split =
                first.header == SegmentHeader::Plain && is_only_a_link(lines.source(), first.group.offset)?;
            let split = || HeaderError::Corrupt("the header is broken in two lines".into());
            return Ok(if is_split { Err(split()) } else { Ok(first) });
        }
        // The writer may have written the LF after the header between two reads of this line: read it again.
        lines.rewind(0, u64::MAX);
        let Some(line) = lines.next()? else {
            return Ok(Err(HeaderError::BadMagic));
        };
        let first = Self::parse(&line).or_else(|error| Self::parse_run_on(&line).ok_or(error));
        if let Ok(first) = &first {
            lines.rewind(first.group.offset, u64::MAX);
        }
        Ok(first)
    }

    fn parse(line: &Line<'_>) -> Result<Self, HeaderError> {
        let text = line.bytes.trim_ascii_end();
        Ok(Self {
            header: SegmentHeader::parse(text)?,
            group: NextGroupStart { offset: line.end(), line: 2, chain: Chain::from_header(text) },
            data_end: text.len() as u64,
            has_newline: line.has_newline,
            closed: line.has_newline && line.bytes[text.len()..] == [CLOSE_MARKER],
        })
    }

    /// Parses a header without its LF: when the first group was torn, the sector with the header may still have its old bytes,
    /// and the written part of the group follows without an LF.
    fn parse_run_on(line: &Line<'_>) -> Option<Self> {
        let end = header::object_end(line.bytes)?;
        let (text, rest) = line.bytes.split_at(end);
        let header = SegmentHeader::parse(text).ok()?;
        let data_end = end as u64;
        is_unwritten(rest, data_end).then(|| Self {
            header,
            group: NextGroupStart { offset: data_end, line: 2, chain: Chain::from_header(text) },
            data_end,
            has_newline: false,
            closed: false,
        })
    }
}

/// Returns whether the file continues with the JSON object of a header and nothing more. That is a header whose space was
/// changed into an LF: a plain segment with such a record alone does not occur.
fn is_only_a_link(source: &impl ReadAt, offset: u64) -> io::Result<bool> {
    let mut start = [0; 512];
    let count = source.read_at(&mut start, offset)?;
    Ok(header::is_link_object(start[..count].trim_ascii_end()))
}
