//! Lines out of a file, in bounded memory: a run of padding costs a counter, not a buffer.

use std::io;

use super::{Block, ReadAt};
use crate::{format::LF, format::PADDING, options::LINE_BYTES_LIMIT};

/// Bytes asked for in the first read: a small journal, or a header, needs no more.
const READ_BYTES_MIN: usize = if cfg!(any(test, feature = "_fuzz")) { 512 } else { 4 * 1024 };

/// Bytes asked for in one read, after some. Few in unit tests, so that lines straddle reads.
pub(super) const READ_BYTES: usize = if cfg!(any(test, feature = "_fuzz")) { 512 } else { 256 * 1024 };

/// How many spaces of a run at the end of what was read are kept as bytes: more than the longest run of them
/// that can end a seal.
const SPACES_KEPT: usize = 64;

/// One line, without its LF.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// Its bytes. Of a run of spaces that ends the file, [`SPACES_KEPT`] at least stand here.
    pub(crate) bytes: &'a [u8],
    /// Where it begins in the file.
    pub(crate) offset: u64,
    /// Whether an LF follows.
    pub(crate) has_newline: bool,
    /// Further spaces behind `bytes`, which end the file.
    pub(crate) more_padding: u64,
}

impl Line<'_> {
    /// The offset right behind the line and its LF.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64 + self.more_padding + u64::from(self.has_newline)
    }
}

/// Reads a file line by line.
#[derive(Debug)]
pub(crate) struct LineReader<S> {
    source: S,
    /// Room for what is read: cleared once, when it grows, and not before every read.
    buffer: Vec<u8>,
    /// What of `buffer` was not handed out yet begins here.
    start: usize,
    /// What of `buffer` was read ends here.
    end: usize,
    /// Where in the file the byte after what was read (and `spaces`) stands.
    read_to: u64,
    /// Spaces that follow in the file and were dropped from `buffer`.
    spaces: u64,
    /// Stop here, as if the file ended.
    limit: u64,
    /// Bytes to ask for in the next read.
    read_bytes: usize,
    /// Of [`values`](Self::values), kept to be used again.
    ends: Vec<usize>,
}

/// Consecutive lines that are values and nothing else: none is empty, none ends in white space, so that no seal and no
/// padding is among them.
#[derive(Debug)]
pub(crate) struct ValueRun<'a> {
    /// As they stand in the file, with the LFs between them.
    pub(crate) bytes: &'a [u8],
    /// Where the first begins in the file.
    pub(crate) offset: u64,
    /// Where each ends in `bytes`.
    pub(crate) ends: &'a [usize],
}

impl ValueRun<'_> {
    /// Where the last begins in the file.
    pub(crate) fn last_offset(&self) -> u64 {
        let before_last = self.ends.len().checked_sub(2).map(|index| self.ends[index] + 1);
        self.offset + before_last.unwrap_or(0) as u64
    }
}

impl<S: ReadAt> LineReader<S> {
    /// Reads from `offset` on.
    pub(crate) fn new(source: S, offset: u64) -> Self {
        Self::with_limit(source, offset, u64::MAX)
    }

    /// Reads from `offset` up to `limit`.
    pub(crate) fn with_limit(source: S, offset: u64, limit: u64) -> Self {
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            read_to: offset,
            spaces: 0,
            limit,
            read_bytes: READ_BYTES_MIN,
            ends: Vec::new(),
        }
    }

    /// Starts anew at `offset`, with a new `limit`.
    pub(crate) fn rewind(&mut self, offset: u64, limit: u64) {
        (self.start, self.end) = (0, 0);
        self.read_to = offset;
        self.spaces = 0;
        self.limit = limit;
    }

    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// Memory held.
    #[cfg(test)]
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Where the next line begins.
    pub(crate) fn position(&self) -> u64 {
        self.read_to - self.spaces - (self.end - self.start) as u64
    }

    /// The next line, or `None` at the end. The last line may lack its LF; an empty rest is no line.
    ///
    /// # Errors
    ///
    /// What the source says; `InvalidData` for a line longer than any record may be.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(found) = memchr::memchr(LF, &self.buffer[searched..self.end]) {
                return Ok(Some(self.take(searched + found, true)));
            }
            searched = self.end - self.start;
            self.make_room();
            let more = self.fill()?;
            // Folding may have shortened the buffer; what it moved out holds no LF.
            searched = searched.min(self.end);
            if !more {
                return Ok((self.end > 0).then(|| self.take(self.end, false)));
            }
        }
    }

    /// The next lines, as far as they are in memory and nothing but values; perhaps none. Whatever else stands in
    /// memory is for [`next`](Self::next): always at least one line, so that the last line of a file is.
    pub(crate) fn values(&mut self) -> Option<ValueRun<'_>> {
        self.ends.clear();
        let unread = &self.buffer[self.start..self.end];
        let mut line_start = 0;
        let mut stopped = false;
        for lf in memchr::memchr_iter(LF, unread) {
            stopped = lf == line_start || unread[lf - 1].is_ascii_whitespace();
            if stopped {
                break;
            }
            self.ends.push(lf);
            line_start = lf + 1;
        }
        if !stopped {
            self.ends.pop();
        }
        let &len = self.ends.last()?;
        let (offset, start) = (self.position(), self.start);
        self.start += len + 1;
        Some(ValueRun { bytes: &self.buffer[start..start + len], offset, ends: &self.ends })
    }

    /// Adds some more lines to a block, without the white space at their ends; `false` where there are none.
    pub(crate) fn push_some(&mut self, block: &mut Block) -> io::Result<bool> {
        if let Some(values) = self.values() {
            block.push_values(&values);
        } else if let Some(line) = self.next()? {
            block.push(line.bytes.trim_ascii_end(), line.offset);
        } else {
            return Ok(false);
        }
        Ok(true)
    }

    fn take(&mut self, end: usize, has_newline: bool) -> Line<'_> {
        let offset = self.position();
        let start = self.start;
        self.start = end + usize::from(has_newline);
        let more_padding = if has_newline { 0 } else { std::mem::take(&mut self.spaces) };
        Line { bytes: &self.buffer[start..end], offset, has_newline, more_padding }
    }

    /// Drops what was handed out.
    fn make_room(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }

    /// Reads more behind the unfinished line; `false` at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.fold_spaces();
        let want = usize::try_from(self.limit.saturating_sub(self.read_to)).unwrap_or(usize::MAX);
        let held = self.end;
        let room_end = held + want.min(self.read_bytes);
        self.grow(room_end);
        let count = read_some(&self.source, &mut self.buffer[held..room_end], self.read_to)?;
        if count == self.read_bytes {
            self.read_bytes = (self.read_bytes * 4).min(READ_BYTES);
        }
        self.end += count;
        self.read_to += count as u64;
        if self.spaces > 0 && count > 0 {
            self.unfold_spaces(held)?;
        }
        if self.end as u64 > LINE_BYTES_LIMIT + READ_BYTES as u64 {
            return Err(self.too_long());
        }
        Ok(count > 0)
    }

    fn grow(&mut self, len: usize) {
        if self.buffer.len() < len {
            self.buffer.resize(len, 0);
        }
    }

    fn too_long(&self) -> io::Error {
        let text = format!("the line from byte {} on is longer than any record may be", self.position());
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// Moves a long run of spaces at the end of the unfinished line out of the buffer.
    fn fold_spaces(&mut self) {
        let unread = &self.buffer[..self.end];
        let kept = unread.iter().rposition(|&b| b != PADDING).map_or(0, |at| at + 1) + SPACES_KEPT;
        if kept < self.end {
            self.spaces += (self.end - kept) as u64;
            self.end = kept;
        }
    }

    /// Puts the spaces back in front of what was just read behind them, unless that is nothing but spaces too.
    fn unfold_spaces(&mut self, held: usize) -> io::Result<()> {
        let fresh = held..self.end;
        if is_padding(&self.buffer[fresh.clone()]) {
            self.spaces += fresh.len() as u64;
            self.end = held;
            return Ok(());
        }
        if self.spaces > LINE_BYTES_LIMIT {
            return Err(self.too_long());
        }
        let spaces = std::mem::take(&mut self.spaces) as usize;
        self.grow(self.end + spaces);
        self.buffer.copy_within(fresh, held + spaces);
        self.buffer[held..held + spaces].fill(PADDING);
        self.end += spaces;
        Ok(())
    }
}

/// Whether these are spaces only: there are megabytes of them behind a segment that is in use.
fn is_padding(bytes: &[u8]) -> bool {
    // Without a branch for each byte, so that it is done many at a time.
    let is_padding = |bytes: &[u8]| bytes.iter().fold(0, |seen, &byte| seen | (byte ^ PADDING)) == 0;
    bytes.chunks(256).all(is_padding)
}

fn read_some(source: &impl ReadAt, into: &mut [u8], offset: u64) -> io::Result<usize> {
    loop {
        match source.read_at(into, offset) {
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            result => return result,
        }
    }
}
