//! The first line of a segment.

use std::io;

use super::{
    LineReader, ReadAt,
    lines::Line,
    tail::{GroupStart, is_unwritten},
};
use crate::format::{CLOSE_MARKER, Chain, Header, HeaderError, header};

/// The header's line, taken apart.
#[derive(Debug)]
pub(super) struct FirstLine {
    pub(super) header: Header,
    /// Where the first group begins.
    pub(super) group: GroupStart,
    pub(super) data_end: u64,
    pub(super) has_newline: bool,
    pub(super) closed: bool,
}

/// What the first line of a segment says. `Ok(Err(fault))` where it is not a header.
///
/// # Errors
///
/// What the source says.
pub(crate) fn read_header(source: impl ReadAt) -> io::Result<Result<Header, HeaderError>> {
    let first = FirstLine::read(&mut LineReader::new(source, 0))?;
    Ok(first.map(|first| first.header))
}

/// Whether its first bytes are those of a journal, or all there are begin as those do. Something else need not be
/// searched for the end of its first line: it may be very large.
///
/// # Errors
///
/// What the source says.
pub(crate) fn has_magic(source: impl ReadAt) -> io::Result<bool> {
    let mut first = [0; header::MAGIC.len()];
    let mut count = 0;
    while count < first.len() {
        match source.read_at(&mut first[count..], count as u64) {
            Ok(0) => break,
            Ok(more) => count += more,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
    let text = first[..count].trim_ascii_end();
    Ok(header::MAGIC.starts_with(text) && !text.is_empty())
}

impl FirstLine {
    /// Reads it from the start of the file.
    pub(super) fn read(lines: &mut LineReader<impl ReadAt>) -> io::Result<Result<Self, HeaderError>> {
        if !has_magic(lines.source())? {
            return Ok(Err(HeaderError::BadMagic));
        }
        let Some(line) = lines.next()? else {
            return Ok(Err(HeaderError::BadMagic));
        };
        if let Ok(first) = Self::parse(&line) {
            let broken = first.header == Header::Plain && is_only_a_link(lines.source(), first.group.offset)?;
            let fault = || HeaderError::Corrupt("the header is broken in two lines".into());
            return Ok(if broken { Err(fault()) } else { Ok(first) });
        }
        // A file that is being written may have been read before and after an LF was put behind the header.
        lines.rewind(0, u64::MAX);
        let Some(line) = lines.next()? else {
            return Ok(Err(HeaderError::BadMagic));
        };
        let first = Self::parse(&line).or_else(|fault| Self::parse_run_on(&line).ok_or(fault));
        if let Ok(first) = &first {
            lines.rewind(first.group.offset, u64::MAX);
        }
        Ok(first)
    }

    fn parse(line: &Line<'_>) -> Result<Self, HeaderError> {
        let text = line.bytes.trim_ascii_end();
        Ok(Self {
            header: Header::parse(text)?,
            group: GroupStart { offset: line.end(), line: 2, chain: Chain::from_header(text) },
            data_end: text.len() as u64,
            has_newline: line.has_newline,
            closed: line.has_newline && line.bytes[text.len()..] == [CLOSE_MARKER],
        })
    }

    /// Where the first group was torn, the sector with the header may be as it was before: what was written of the group
    /// then runs on behind it.
    fn parse_run_on(line: &Line<'_>) -> Option<Self> {
        let end = memchr::memchr(b'}', line.bytes)? + 1;
        let (text, rest) = line.bytes.split_at(end);
        let header = Header::parse(text).ok()?;
        let data_end = end as u64;
        is_unwritten(rest, data_end).then(|| Self {
            header,
            group: GroupStart { offset: data_end, line: 2, chain: Chain::from_header(text) },
            data_end,
            has_newline: false,
            closed: false,
        })
    }
}

/// Whether nothing but a header's object stands from here on: a plain segment with such a record alone is not to be
/// expected, a header whose space was turned into an LF looks like that.
fn is_only_a_link(source: &impl ReadAt, offset: u64) -> io::Result<bool> {
    let mut start = [0; 512];
    let count = source.read_at(&mut start, offset)?;
    Ok(header::is_object(start[..count].trim_ascii_end()))
}
