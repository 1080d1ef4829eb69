//! Reads a file line by line in bounded memory: a run of padding takes a counter, not a buffer.

use std::io;

use super::{
    ReadAt,
    block::{Block, ValueRun},
};
use crate::{
    format::{LF, PADDING},
    options::{LINE_BYTES_LIMIT, ReadLimits},
};

/// Spaces that are kept in the buffer of a run at its end: more than the longest run that can end a seal.
const BUFFERED_SPACES: usize = 64;

/// One line, without its LF.
#[derive(Debug)]
pub(crate) struct Line<'a> {
    /// Its bytes. They contain at least [`BUFFERED_SPACES`] of a run of spaces that ends the file.
    pub(crate) bytes: &'a [u8],
    /// Its offset in the file.
    pub(crate) offset: u64,
    /// An LF follows.
    pub(crate) has_newline: bool,
    /// The number of further spaces after `bytes`, which end the file.
    pub(crate) more_padding: u64,
}

impl Line<'_> {
    /// Returns the offset after the line and its LF.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64 + self.more_padding + u64::from(self.has_newline)
    }
}

/// Reads a file line by line.
#[derive(Debug)]
pub(crate) struct LineReader<S> {
    source: S,
    /// Zeroed once when it grows, not before every read.
    buffer: Vec<u8>,
    /// Start of the bytes in `buffer` that were not returned yet.
    start: usize,
    /// End of the bytes in `buffer` that were read.
    end: usize,
    /// Offset in the file of the next read: after the bytes in `buffer` and `spaces`.
    read_to: u64,
    /// Number of spaces that follow the bytes in `buffer` and were dropped from it.
    spaces: u64,
    /// Offset in the file at which reading stops, as if the file ended there.
    limit: u64,
    pub(super) limits: ReadLimits,
    /// Bytes of the next read.
    read_bytes: usize,
    /// Memory of [`values`](Self::values), used again by each call.
    ends: Vec<usize>,
}

impl ValueRun<'_> {
    /// Returns the offset of the last line in the file.
    pub(crate) fn last_offset(&self) -> u64 {
        let before_last = self.ends.len().checked_sub(2).map(|index| self.ends[index] + 1);
        self.offset + before_last.unwrap_or(0) as u64
    }
}

impl<S: ReadAt> LineReader<S> {
    /// Returns a reader that starts at `offset`.
    pub(crate) fn new(source: S, offset: u64) -> Self {
        Self::with_limit(source, offset, u64::MAX)
    }

    /// Returns a reader that starts at `offset` and stops at `limit`.
    pub(crate) fn with_limit(source: S, offset: u64, limit: u64) -> Self {
        let limits = source.read_limits();
        Self {
            source,
            buffer: Vec::new(),
            start: 0,
            end: 0,
            read_to: offset,
            spaces: 0,
            limit,
            limits,
            read_bytes: limits.first_read_bytes,
            ends: Vec::new(),
        }
    }

    /// Continues at `offset`, with a new `limit`.
    pub(crate) fn rewind(&mut self, offset: u64, limit: u64) {
        (self.start, self.end) = (0, 0);
        self.read_to = offset;
        self.spaces = 0;
        self.limit = limit;
    }

    pub(crate) fn source(&self) -> &S {
        &self.source
    }

    /// Returns the size of the buffer.
    #[cfg(test)]
    pub(super) fn buffer_bytes(&self) -> usize {
        self.buffer.capacity()
    }

    /// Returns the offset of the next line.
    pub(crate) fn position(&self) -> u64 {
        self.read_to - self.spaces - (self.end - self.start) as u64
    }

    /// Returns the next line, or `None` at the end. The last line may lack its LF; an empty rest is not a line.
    ///
    /// # Errors
    ///
    /// The error of a failed read; `InvalidData` for a line longer than any record can be.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(found) = memchr::memchr(LF, &self.buffer[searched..self.end]) {
                return Ok(Some(self.take(searched + found, true)));
            }
            searched = self.end - self.start;
            self.compact();
            let more = self.fill()?;
            // Folding may have removed spaces from the buffer, never an LF.
            searched = searched.min(self.end);
            if !more {
                return Ok((self.end > 0).then(|| self.take(self.end, false)));
            }
        }
    }

    /// Returns the next lines in the buffer that are only values, if there are any. The last line in the buffer is always left to
    /// [`next`](Self::next), and with it the last line of the file.
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

    /// Appends the next lines to a block, without the white space at their ends. Returns `false` at the end of the file.
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

    /// Removes the returned lines from the buffer.
    fn compact(&mut self) {
        self.buffer.copy_within(self.start..self.end, 0);
        (self.start, self.end) = (0, self.end - self.start);
    }

    /// Reads more bytes of the unfinished line. Returns `false` at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.fold_spaces();
        let want = usize::try_from(self.limit.saturating_sub(self.read_to)).unwrap_or(usize::MAX);
        let old_end = self.end;
        let read_end = old_end + want.min(self.read_bytes);
        self.grow(read_end);
        let count = read_some(&self.source, &mut self.buffer[old_end..read_end], self.read_to)?;
        if count == self.read_bytes {
            self.read_bytes = (self.read_bytes * 4).min(self.limits.read_bytes);
        }
        self.end += count;
        self.read_to += count as u64;
        if self.spaces > 0 && count > 0 {
            self.unfold_spaces(old_end)?;
        }
        if self.end as u64 > LINE_BYTES_LIMIT + self.limits.read_bytes as u64 {
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

    /// Replaces a long run of spaces at the end of the unfinished line by a count.
    fn fold_spaces(&mut self) {
        let unread = &self.buffer[..self.end];
        let kept = unread.iter().rposition(|&b| b != PADDING).map_or(0, |at| at + 1) + BUFFERED_SPACES;
        if kept < self.end {
            self.spaces += (self.end - kept) as u64;
            self.end = kept;
        }
    }

    /// Inserts the counted spaces before the bytes just read, unless those are only spaces too.
    fn unfold_spaces(&mut self, old_end: usize) -> io::Result<()> {
        let fresh = old_end..self.end;
        if is_padding(&self.buffer[fresh.clone()]) {
            self.spaces += fresh.len() as u64;
            self.end = old_end;
            return Ok(());
        }
        if self.spaces > LINE_BYTES_LIMIT {
            return Err(self.too_long());
        }
        let spaces = std::mem::take(&mut self.spaces) as usize;
        self.grow(self.end + spaces);
        self.buffer.copy_within(fresh, old_end + spaces);
        self.buffer[old_end..old_end + spaces].fill(PADDING);
        self.end += spaces;
        Ok(())
    }
}

/// Returns whether these are only spaces: megabytes of them follow the data of a segment in use.
fn is_padding(bytes: &[u8]) -> bool {
    // Without a branch per byte, so that the compiler vectorizes it.
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
