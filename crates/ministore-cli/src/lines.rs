//! Splits bytes into blocks of complete lines, for every reader of lines: inputs of `ingest` and `import`, clients of `serve`.
//!
//! Lines do not depend on where reads end, so that a second reading of the same bytes finds the same lines. At most one line of
//! the maximum length is buffered; a longer one is returned in pieces.

use std::io::{self, Read};

use bytes::{Buf, Bytes, BytesMut};

/// The size of a read of [`LineReader`].
const READ_BYTES: usize = 256 * 1024;

/// Blocks of [`LineReader`] share allocations of this size.
const BLOCK_BYTES: usize = 1024 * 1024;

/// Bytes that do not count towards the limit of a line: a byte order mark, and the CR of a CR LF.
const UNCOUNTED_BYTES: usize = 4;

/// A part of the stream.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum LineBlock {
    /// Complete lines; only the last line of the stream may lack its LF.
    Lines(Bytes),
    /// A piece of a line that is longer than the limit, without its LF.
    LongLine { piece: Bytes, is_first: bool, is_last: bool },
}

/// The buffer of a stream. Its owner appends to [`buffer`](Self::buffer) and then calls [`next_block`](Self::next_block) until
/// it returns `None`.
#[derive(Debug)]
pub(crate) struct LineSplitter {
    pub(crate) buffer: BytesMut,
    pub(crate) max_line_bytes: usize,
    /// The length of the prefix of the buffer without an LF.
    scanned: usize,
    /// The current line is longer than the limit, and its beginning was returned.
    pub(crate) in_long_line: bool,
}

impl LineSplitter {
    pub(crate) fn new(max_line_bytes: usize) -> Self {
        Self { buffer: BytesMut::new(), max_line_bytes, scanned: 0, in_long_line: false }
    }

    /// Takes the complete lines from the buffer.
    pub(crate) fn next_block(&mut self) -> Option<LineBlock> {
        if self.in_long_line {
            return self.rest_of_long_line();
        }
        let last = memchr::memrchr(b'\n', &self.buffer[self.scanned..]);
        let lines = last.map(|at| self.buffer.split_to(self.scanned + at + 1).freeze());
        // The part after the last LF has none.
        self.scanned = self.buffer.len();
        if lines.is_some() || self.buffer.len() <= self.max_line_bytes + UNCOUNTED_BYTES {
            return lines.map(LineBlock::Lines);
        }
        self.in_long_line = true;
        self.scanned = 0;
        Some(LineBlock::LongLine { piece: self.buffer.split().freeze(), is_first: true, is_last: false })
    }

    fn rest_of_long_line(&mut self) -> Option<LineBlock> {
        let end = memchr::memchr(b'\n', &self.buffer);
        let piece = self.buffer.split_to(end.unwrap_or(self.buffer.len())).freeze();
        if end.is_some() {
            self.buffer.advance(1);
            self.in_long_line = false;
        }
        let is_last = end.is_some();
        (is_last || !piece.is_empty()).then_some(LineBlock::LongLine { piece, is_first: false, is_last })
    }

    /// Takes the last line, which has no LF, at the end of the stream.
    pub(crate) fn finish(&mut self) -> Option<LineBlock> {
        let rest = self.buffer.split().freeze();
        self.scanned = 0;
        if std::mem::take(&mut self.in_long_line) {
            return Some(LineBlock::LongLine { piece: rest, is_first: false, is_last: true });
        }
        (!rest.is_empty()).then_some(LineBlock::Lines(rest))
    }
}

/// Reads a stream in blocks.
#[derive(Debug)]
pub(crate) struct LineReader<R> {
    source: R,
    splitter: LineSplitter,
    at_end: bool,
}

impl<R: Read> LineReader<R> {
    pub(crate) fn new(source: R, max_line_bytes: usize) -> Self {
        Self { source, splitter: LineSplitter::new(max_line_bytes), at_end: false }
    }

    /// Returns the next block, or `None` at the end. Nothing of an incomplete line is returned after an error.
    pub(crate) fn next_block(&mut self) -> io::Result<Option<LineBlock>> {
        loop {
            if let Some(block) = self.splitter.next_block() {
                return Ok(Some(block));
            }
            if self.at_end {
                return Ok(None);
            }
            match self.fill() {
                Ok(0) => {
                    self.at_end = true;
                    return Ok(self.splitter.finish());
                }
                Ok(_) => {}
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Reads once, appending to the buffer.
    fn fill(&mut self) -> io::Result<usize> {
        let buffer = &mut self.splitter.buffer;
        let kept = buffer.len();
        if buffer.capacity() - kept < READ_BYTES {
            buffer.reserve(BLOCK_BYTES);
        }
        buffer.resize(kept + READ_BYTES, 0);
        let read = self.source.read(&mut buffer[kept..]);
        buffer.truncate(kept + read.as_ref().map_or(0, |&read| read));
        read
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// A source that returns at most `step` bytes per read.
    struct SlowReader<'a>(&'a [u8], usize);

    impl Read for SlowReader<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let step = self.1.min(buffer.len());
            self.0.read(&mut buffer[..step])
        }
    }

    /// Splits a text and returns its lines; a too long line is in brackets.
    fn split_text(text: &str, max_line_bytes: usize, step: usize) -> Vec<String> {
        let mut reader = LineReader::new(SlowReader(text.as_bytes(), step), max_line_bytes);
        let (mut lines, mut long) = (Vec::new(), Vec::new());
        while let Some(block) = reader.next_block().unwrap() {
            match block {
                LineBlock::Lines(block) => {
                    let text = String::from_utf8(block.to_vec()).unwrap();
                    lines.extend(text.split_inclusive('\n').map(str::to_owned));
                }
                LineBlock::LongLine { piece, is_first, is_last } => {
                    assert_eq!(is_first, long.is_empty());
                    long.extend_from_slice(&piece);
                    if is_last {
                        lines.push(format!("[{}]", String::from_utf8(std::mem::take(&mut long)).unwrap()));
                    }
                }
            }
        }
        lines
    }

    #[test]
    fn output_is_independent_of_read_size() {
        let text = "1\n\n\r\n{\"a\":2}\r\nlast";
        for step in 1..=text.len() {
            assert_eq!(split_text(text, 100, step), ["1\n", "\n", "\r\n", "{\"a\":2}\r\n", "last"], "{step}");
        }
    }

    #[test]
    fn too_long_line_is_returned_in_pieces() {
        for step in 1..15 {
            let lines = split_text("ab\n0123456789abc\nok\n", 4, step);
            assert_eq!((&*lines[0], &*lines[2]), ("ab\n", "ok\n"), "{step}");
            assert_eq!(lines[1].trim_matches(['[', ']', '\n']), "0123456789abc", "{step}");
        }
    }

    #[test]
    fn too_long_last_line_ends_with_the_input() {
        for step in 1..6 {
            assert_eq!(split_text("0123456789", 4, step), ["[0123456789]"], "{step}");
        }
    }

    #[test]
    fn bom_and_cr_do_not_count_towards_limit() {
        for step in 1..12 {
            assert_eq!(split_text("\u{feff}0123\r\n0\n", 4, step), ["\u{feff}0123\r\n", "0\n"], "{step}");
        }
    }
}
