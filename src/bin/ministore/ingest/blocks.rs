//! Owns the reading thread: inputs in order, cut into blocks of whole lines.
//!
//! What a line is does not depend on where reads happen to end, so that a second reading of the same input finds the
//! same lines. No more than one line of the greatest length is ever gathered: a longer one goes on in pieces.

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
use crate::exit::Failure;

/// One read asks for so much.
const READ_BYTES: usize = 256 * 1024;

/// Blocks share allocations of this size.
const BLOCK_BYTES: usize = 1024 * 1024;

/// What the reading thread tells the main thread, in order.
#[derive(Debug)]
pub(super) enum Event {
    /// The lines that follow are those of this input.
    Opened(String),
    /// Whole lines; only an input's last one may lack its LF.
    Lines(Bytes),
    /// A piece of a line that is longer than the limit, without its LF.
    Long { piece: Bytes, last: bool },
    /// Reading failed; nothing follows.
    Failed(Failure),
    /// Everything was read.
    End,
    /// From elsewhere: something else than input is to be looked at.
    Wake,
}

/// The main thread has stopped listening.
#[derive(Debug)]
struct Gone;

enum Ended {
    Gone,
    Failed(io::Error),
}

impl From<Gone> for Ended {
    fn from(_: Gone) -> Self {
        Self::Gone
    }
}

/// Reads every input to its end. Returns early, without a word, where nobody listens any more.
pub(super) fn read(inputs: &[Input], counter: &Arc<AtomicU64>, events: &Sender<Event>) {
    for input in inputs {
        match read_one(input, counter, events) {
            Ok(()) => {}
            Err(Ended::Gone) => return,
            Err(Ended::Failed(error)) => {
                drop(events.send(Event::Failed(input.failure(&error))));
                return;
            }
        }
    }
    drop(events.send(Event::End));
}

fn read_one(input: &Input, counter: &Arc<AtomicU64>, events: &Sender<Event>) -> Result<(), Ended> {
    let counter = Arc::clone(counter);
    let count = move |bytes| {
        counter.fetch_add(bytes, Ordering::Relaxed);
    };
    let source = input.open(count).map_err(Ended::Failed)?;
    let mut cutter = Cutter::new(LINE_BYTES_MAX, |event| events.send(event).map_err(|_| Gone));
    (cutter.emit)(Event::Opened(input.name()))?;
    cutter.cut(source)
}

/// Cuts a stream into events.
struct Cutter<E> {
    line_bytes_max: usize,
    emit: E,
    /// Read and not yet handed on: never a whole line between two reads.
    buffer: BytesMut,
    /// The line that is being read is longer than the limit, and its beginning has been handed on.
    in_long_line: bool,
}

impl<E: FnMut(Event) -> Result<(), Gone>> Cutter<E> {
    fn new(line_bytes_max: usize, emit: E) -> Self {
        Self { line_bytes_max, emit, buffer: BytesMut::new(), in_long_line: false }
    }

    fn cut(&mut self, mut source: impl Read) -> Result<(), Ended> {
        loop {
            let fresh = self.buffer.len();
            match self.fill(&mut source) {
                Ok(0) => return Ok(self.end()?),
                Ok(_) => self.hand_on(fresh)?,
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(Ended::Failed(error)),
            }
        }
    }

    /// One read, behind what is there.
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

    /// Hands on what is complete; only the bytes from `fresh` on have not been searched yet.
    fn hand_on(&mut self, fresh: usize) -> Result<(), Gone> {
        let mut fresh = fresh;
        if self.in_long_line {
            let end = memchr::memchr(b'\n', &self.buffer);
            self.hand_on_piece(end)?;
            fresh = 0;
        }
        if let Some(last) = memchr::memrchr(b'\n', &self.buffer[fresh..]) {
            let lines = self.buffer.split_to(fresh + last + 1).freeze();
            (self.emit)(Event::Lines(lines))?;
        }
        // One byte more may yet turn out to be the CR of a CR LF.
        if self.buffer.len() > self.line_bytes_max + 1 {
            self.in_long_line = true;
            self.hand_on_piece(None)?;
        }
        Ok(())
    }

    /// Of a line that is too long: all there is, or up to the LF at `end`.
    fn hand_on_piece(&mut self, end: Option<usize>) -> Result<(), Gone> {
        let piece = match end {
            None => self.buffer.split().freeze(),
            Some(at) => {
                let piece = self.buffer.split_to(at).freeze();
                drop(self.buffer.split_to(1));
                self.in_long_line = false;
                piece
            }
        };
        (self.emit)(Event::Long { piece, last: end.is_some() })
    }

    /// The input has ended: so has its last line, LF or not.
    fn end(&mut self) -> Result<(), Gone> {
        let rest = self.buffer.split().freeze();
        if self.in_long_line {
            self.in_long_line = false;
            return (self.emit)(Event::Long { piece: rest, last: true });
        }
        if rest.is_empty() { Ok(()) } else { (self.emit)(Event::Lines(rest)) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Gives at most `step` bytes a read.
    struct Slow<'a>(&'a [u8], usize);

    impl Read for Slow<'_> {
        fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
            let step = self.1.min(buffer.len());
            self.0.read(&mut buffer[..step])
        }
    }

    /// The lines of a text, those that are too long in brackets, whatever blocks they came in.
    fn cut(text: &str, line_bytes_max: usize, step: usize) -> Vec<String> {
        let mut lines = Vec::new();
        let mut long = Vec::new();
        let collect = |event| {
            match event {
                Event::Lines(block) => {
                    let text = String::from_utf8(block.to_vec()).unwrap();
                    lines.extend(text.split_inclusive('\n').map(str::to_owned));
                }
                Event::Long { piece, last } => {
                    long.extend_from_slice(&piece);
                    if last {
                        lines.push(format!("[{}]", String::from_utf8(std::mem::take(&mut long)).unwrap()));
                    }
                }
                other => panic!("{other:?}"),
            }
            Ok(())
        };
        assert!(Cutter::new(line_bytes_max, collect).cut(Slow(text.as_bytes(), step)).is_ok());
        lines
    }

    #[test]
    fn lines_are_the_same_wherever_reads_end() {
        let text = "1\n\n\r\n{\"a\":2}\r\nlast";
        for step in 1..=text.len() {
            assert_eq!(cut(text, 100, step), ["1\n", "\n", "\r\n", "{\"a\":2}\r\n", "last"], "{step}");
        }
    }

    #[test]
    fn a_line_beyond_the_limit_comes_in_pieces_and_the_next_one_whole() {
        for step in 1..12 {
            let lines = cut("ab\n0123456789\nok\n", 4, step);
            assert_eq!((&*lines[0], &*lines[2]), ("ab\n", "ok\n"), "{step}");
            assert_eq!(lines[1].trim_matches(['[', ']', '\n']), "0123456789", "{step}");
        }
    }

    #[test]
    fn a_long_last_line_without_lf_ends_with_the_input() {
        for step in 1..6 {
            assert_eq!(cut("0123456789", 4, step), ["[0123456789]"], "{step}");
        }
    }

    #[test]
    fn the_cr_of_a_line_of_just_the_limit_does_not_count() {
        for step in 1..8 {
            assert_eq!(cut("0123\r\n0\n", 4, step), ["0123\r\n", "0\n"], "{step}");
        }
    }
}
