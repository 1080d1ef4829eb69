//! The reading thread: reads the inputs in order and splits them into blocks of complete lines.
//!
//! Lines do not depend on where reads end, so that a second reading of the same input finds the same lines. At most one line of
//! the maximum length is buffered; a longer one is emitted in pieces.

use std::{
    io::{self, Read},
    sync::{
        Arc,
        atomic::{AtomicU64, Ordering},
    },
};

use bytes::{Bytes, BytesMut};
use crossbeam_channel::Sender;

use super::{LINE_BYTES_MAX, input::Input};
use crate::exit::CliError;

/// The size of a read.
const READ_BYTES: usize = 256 * 1024;

/// Blocks share allocations of this size.
const BLOCK_BYTES: usize = 1024 * 1024;

/// An event that the reading thread sends to the main thread.
#[derive(Debug)]
pub(super) enum InputEvent {
    /// The following lines are those of this input.
    Opened(String),
    /// Complete lines; only the last line of an input may lack its LF.
    Lines(Bytes),
    /// A piece of a line that is longer than the limit, without its LF.
    Long { piece: Bytes, last: bool },
    /// Reading failed; nothing follows.
    Failed(CliError),
    /// Everything was read.
    End,
    /// Sent by another thread: the main thread must check for signals.
    Wake,
}

/// The main thread has dropped the receiver.
#[derive(Debug)]
struct Disconnected;

enum ReadError {
    Disconnected,
    Failed(io::Error),
}

impl From<Disconnected> for ReadError {
    fn from(_: Disconnected) -> Self {
        Self::Disconnected
    }
}

/// Reads every input to its end. Returns early if the receiver was dropped.
pub(super) fn read(inputs: &[Input], counter: &Arc<AtomicU64>, events: &Sender<InputEvent>) {
    for input in inputs {
        match read_one(input, counter, events) {
            Ok(()) => {}
            Err(ReadError::Disconnected) => return,
            Err(ReadError::Failed(error)) => {
                drop(events.send(InputEvent::Failed(input.failure(&error))));
                return;
            }
        }
    }
    drop(events.send(InputEvent::End));
}

fn read_one(input: &Input, counter: &Arc<AtomicU64>, events: &Sender<InputEvent>) -> Result<(), ReadError> {
    let counter = Arc::clone(counter);
    let count = move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    };
    let source = input.open(count).map_err(ReadError::Failed)?;
    let mut splitter =
        LineSplitter::new(LINE_BYTES_MAX, |event| events.send(event).map_err(|_| Disconnected));
    (splitter.emit)(InputEvent::Opened(input.name()))?;
    splitter.split(source)
}

/// Splits a stream into events.
struct LineSplitter<E> {
    line_bytes_max: usize,
    emit: E,
    /// Read and not yet emitted: never a complete line between two reads.
    buffer: BytesMut,
    /// The current line is longer than the limit, and its beginning has been emitted.
    in_long_line: bool,
}

impl<E: FnMut(InputEvent) -> Result<(), Disconnected>> LineSplitter<E> {
    fn new(line_bytes_max: usize, emit: E) -> Self {
        Self { line_bytes_max, emit, buffer: BytesMut::new(), in_long_line: false }
    }

    fn split(&mut self, mut source: impl Read) -> Result<(), ReadError> {
        loop {
            let fresh = self.buffer.len();
            match self.fill(&mut source) {
                Ok(0) => return Ok(self.end()?),
                Ok(_) => self.emit_lines(fresh)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(ReadError::Failed(error)),
            }
        }
    }

    /// Reads once, appending to the buffer.
    fn fill(&mut self, source: &mut impl Read) -> io::Result<usize> {
        let kept = self.buffer.len();
        if self.buffer.capacity() - kept < READ_BYTES {
            self.buffer.reserve(BLOCK_BYTES);
        }
        self.buffer.resize(kept + READ_BYTES, 0);
        let read = source.read(&mut self.buffer[kept..]);
        self.buffer.truncate(kept + read.as_ref().map_or(0, |&read| read));
        read
    }

    /// Emits complete lines; only the bytes from `fresh` on have not been searched yet.
    fn emit_lines(&mut self, fresh: usize) -> Result<(), Disconnected> {
        let mut fresh = fresh;
        if self.in_long_line {
            let end = memchr::memchr(b'\n', &self.buffer);
            self.emit_fragment(end)?;
            fresh = 0;
        }
        if let Some(last) = memchr::memrchr(b'\n', &self.buffer[fresh..]) {
            let lines = self.buffer.split_to(fresh + last + 1).freeze();
            (self.emit)(InputEvent::Lines(lines))?;
        }
        // One more byte may be the CR of a CR LF.
        if self.buffer.len() > self.line_bytes_max + 1 {
            self.in_long_line = true;
            self.emit_fragment(None)?;
        }
        Ok(())
    }

    /// Emits a piece of a line that is too long: the whole buffer, or up to the LF at `end`.
    fn emit_fragment(&mut self, end: Option<usize>) -> Result<(), Disconnected> {
        let piece = match end {
            None => self.buffer.split().freeze(),
            Some(at) => {
                let piece = self.buffer.split_to(at).freeze();
                drop(self.buffer.split_to(1));
                self.in_long_line = false;
                piece
            }
        };
        (self.emit)(InputEvent::Long { piece, last: end.is_some() })
    }

    /// Emits the last line, which may lack its LF.
    fn end(&mut self) -> Result<(), Disconnected> {
        let rest = self.buffer.split().freeze();
        if self.in_long_line {
            self.in_long_line = false;
            return (self.emit)(InputEvent::Long { piece: rest, last: true });
        }
        if rest.is_empty() { Ok(()) } else { (self.emit)(InputEvent::Lines(rest)) }
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
    fn split_text(text: &str, line_bytes_max: usize, step: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut long = Vec::new();
        let collect = |event| {
            match event {
                InputEvent::Lines(block) => {
                    let text = String::from_utf8(block.to_vec()).unwrap();
                    lines.extend(text.split_inclusive('\n').map(str::to_owned));
                }
                InputEvent::Long { piece, last } => {
                    long.extend_from_slice(&piece);
                    if last {
                        lines.push(format!("[{}]", String::from_utf8(std::mem::take(&mut long)).unwrap()));
                    }
                }
                other => panic!("{other:?}"),
            }
            Ok(())
        };
        assert!(LineSplitter::new(line_bytes_max, collect).split(SlowReader(text.as_bytes(), step)).is_ok());
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
    fn too_long_line_is_emitted_in_pieces() {
        for step in 1..12 {
            let lines = split_text("ab\n0123456789\nok\n", 4, step);
            assert_eq!((&*lines[0], &*lines[2]), ("ab\n", "ok\n"), "{step}");
            assert_eq!(lines[1].trim_matches(['[', ']', '\n']), "0123456789", "{step}");
        }
    }

    #[test]
    fn too_long_last_line_ends_with_the_input() {
        for step in 1..6 {
            assert_eq!(split_text("0123456789", 4, step), ["[0123456789]"], "{step}");
        }
    }

    #[test]
    fn cr_does_not_count_towards_the_limit() {
        for step in 1..8 {
            assert_eq!(split_text("0123\r\n0\n", 4, step), ["0123\r\n", "0\n"], "{step}");
        }
    }
}
