//! Lines out of a file, in bounded memory: a run of padding costs a counter, not a buffer.

use std::io;

use super::ReadAt;
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
    pub(crate) terminated: bool,
    /// Further spaces behind `bytes`, which end the file.
    pub(crate) more_padding: u64,
}

impl Line<'_> {
    /// The offset right behind the line and its LF.
    pub(crate) fn end(&self) -> u64 {
        self.offset + self.bytes.len() as u64 + self.more_padding + u64::from(self.terminated)
    }
}

/// Reads a file line by line.
#[derive(Debug)]
pub(crate) struct LineReader<S> {
    source: S,
    buffer: Vec<u8>,
    /// What of `buffer` was not handed out yet.
    start: usize,
    /// Where in the file the byte after `buffer` (and `spaces`) stands.
    read_to: u64,
    /// Spaces that follow `buffer` in the file and were dropped from it.
    spaces: u64,
    /// Stop here, as if the file ended.
    limit: u64,
    /// Bytes to ask for in the next read.
    read_bytes: usize,
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
            read_to: offset,
            spaces: 0,
            limit,
            read_bytes: READ_BYTES_MIN,
        }
    }

    /// Starts anew at `offset`, with a new `limit`.
    pub(crate) fn rewind(&mut self, offset: u64, limit: u64) {
        self.buffer.clear();
        self.start = 0;
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
        self.read_to - self.spaces - (self.buffer.len() - self.start) as u64
    }

    /// The next line, or `None` at the end. The last line may lack its LF; an empty rest is no line.
    ///
    /// # Errors
    ///
    /// What the source says; `InvalidData` for a line longer than any record may be.
    pub(crate) fn next(&mut self) -> io::Result<Option<Line<'_>>> {
        let mut searched = self.start;
        loop {
            if let Some(found) = memchr::memchr(LF, &self.buffer[searched..]) {
                return Ok(Some(self.take(searched + found, true)));
            }
            searched = self.buffer.len();
            let moved = self.make_room();
            searched -= moved;
            let more = self.fill()?;
            // Folding may have shortened the buffer; what it moved out holds no LF.
            searched = searched.min(self.buffer.len());
            if !more {
                let unread = !self.buffer[self.start..].is_empty();
                return Ok(unread.then(|| self.take(self.buffer.len(), false)));
            }
        }
    }

    fn take(&mut self, end: usize, terminated: bool) -> Line<'_> {
        let offset = self.position();
        let start = self.start;
        self.start = end + usize::from(terminated);
        let more_padding = if terminated { 0 } else { std::mem::take(&mut self.spaces) };
        Line { bytes: &self.buffer[start..end], offset, terminated, more_padding }
    }

    /// Drops what was handed out; says by how much the rest moved.
    fn make_room(&mut self) -> usize {
        let moved = self.start;
        self.buffer.drain(..moved);
        self.start = 0;
        moved
    }

    /// Reads more behind the unfinished line; `false` at the end of the file.
    fn fill(&mut self) -> io::Result<bool> {
        self.fold_spaces();
        let want = usize::try_from(self.limit.saturating_sub(self.read_to)).unwrap_or(usize::MAX);
        let held = self.buffer.len();
        self.buffer.resize(held + want.min(self.read_bytes), 0);
        let count = read_some(&self.source, &mut self.buffer[held..], self.read_to);
        self.buffer.truncate(held + *count.as_ref().unwrap_or(&0));
        let count = count?;
        if count == self.read_bytes {
            self.read_bytes = (self.read_bytes * 4).min(READ_BYTES);
        }
        self.read_to += count as u64;
        if self.spaces > 0 && count > 0 {
            self.unfold_spaces(held)?;
        }
        if self.buffer.len() as u64 > LINE_BYTES_LIMIT + READ_BYTES as u64 {
            return Err(self.too_long());
        }
        Ok(count > 0)
    }

    fn too_long(&self) -> io::Error {
        let text = format!("the line from byte {} on is longer than any record may be", self.position());
        io::Error::new(io::ErrorKind::InvalidData, text)
    }

    /// Moves a long run of spaces at the end of the unfinished line out of the buffer.
    fn fold_spaces(&mut self) {
        let kept = self.buffer.iter().rposition(|&b| b != PADDING).map_or(0, |at| at + 1) + SPACES_KEPT;
        if kept < self.buffer.len() {
            self.spaces += (self.buffer.len() - kept) as u64;
            self.buffer.truncate(kept);
        }
    }

    /// Puts the spaces back in front of what was just read behind them, unless that is nothing but spaces too.
    fn unfold_spaces(&mut self, held: usize) -> io::Result<()> {
        if is_padding(&self.buffer[held..]) {
            self.spaces += (self.buffer.len() - held) as u64;
            self.buffer.truncate(held);
            return Ok(());
        }
        let fresh = self.buffer.split_off(held);
        if self.spaces > LINE_BYTES_LIMIT {
            return Err(self.too_long());
        }
        let spaces = std::mem::take(&mut self.spaces) as usize;
        self.buffer.resize(held + spaces, PADDING);
        self.buffer.extend_from_slice(&fresh);
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
