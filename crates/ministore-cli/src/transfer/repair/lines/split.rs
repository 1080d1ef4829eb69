//! Splits a line, or the part of a line between NUL bytes, into records and what is removed.

use std::ops::Range;

use super::{
    BYTE_ORDER_MARK,
    value::{Interruption, end_of_value, is_blank, is_object_start, skip_blanks},
};

/// Why bytes are removed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) enum Reason {
    ByteOrderMark,
    NulBytes,
    /// Not a complete record: a torn one, a part of one, or not JSON.
    Fragment,
    /// A complete value that no journal accepts.
    NotARecord,
    /// A line that is too long for memory.
    TooLong,
}

/// A record or removed bytes. White space is between them.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct LinePart {
    pub(super) range: Range<usize>,
    /// `None`: a record.
    pub(super) removed: Option<Reason>,
}

/// Splits a text without LF and NUL; `report` gets its parts in order. `is_whole_line`: it may also be a record that is neither an
/// array nor an object. Needs no memory for the parts: there may be millions of them.
pub(super) fn split<E>(
    text: &[u8],
    is_whole_line: bool,
    is_record: &impl Fn(&[u8]) -> bool,
    report: impl FnMut(LinePart) -> Result<(), E>,
) -> Result<(), E> {
    let mut splitter = Splitter { text, is_record, report, done: 0, examined: 0 };
    splitter.run(is_whole_line)?;
    debug_assert!(splitter.examined <= EXAMINED_MAX * text.len(), "linear work");
    Ok(())
}

/// The most times that a byte is examined: in a torn record whose last string is that of the next record, too, while a record is
/// searched, and when the records that were found are reported.
const EXAMINED_MAX: usize = 5;

struct Splitter<'a, F, R> {
    text: &'a [u8],
    is_record: &'a F,
    report: R,
    /// The end of the last part.
    done: usize,
    /// The number of bytes that were examined, each time they were.
    examined: usize,
}

/// Values that follow each other without anything but white space between them.
struct ValueChain {
    start: usize,
    /// The first byte after them and white space.
    end: usize,
    /// If a value starts at `end` and is not complete: where it is interrupted.
    interruption: Option<Interruption>,
}

impl<F, R, E> Splitter<'_, F, R>
where
    F: Fn(&[u8]) -> bool,
    R: FnMut(LinePart) -> Result<(), E>,
{
    fn run(&mut self, is_whole_line: bool) -> Result<(), E> {
        let start = self.skip_marks(0);
        let end = trimmed(self.text);
        if start >= end {
            return self.remove_until(end);
        }
        if is_whole_line && (self.is_record)(&self.text[start..end]) {
            return self.add(start..end, None);
        }
        let is_value = matches!(self.text[start], b'{' | b'[');
        let mut next = if is_value { Some(start) } else { self.search(start) };
        while let Some(at) = next {
            let chain = self.chain(at);
            if self.is_certain(&chain, at == start) {
                self.keep_chain(&chain)?;
            }
            next = match chain.interruption {
                Some(Interruption { object: Some(object), .. }) => Some(object),
                Some(Interruption { at, object: None }) => self.search(at),
                None => self.search(chain.end),
            };
        }
        self.remove_until(end)
    }

    /// Returns the values of one kind (arrays or objects) that follow each other from `start` on.
    fn chain(&mut self, start: usize) -> ValueChain {
        let mut chain = ValueChain { start, end: start, interruption: None };
        while self.text.get(chain.end) == Some(&self.text[start]) {
            match self.end_of_value(chain.end) {
                Ok(end) => chain.end = self.skip_marks(end),
                Err(interruption) => {
                    chain.interruption = Some(interruption);
                    break;
                }
            }
        }
        chain
    }

    fn keep_chain(&mut self, chain: &ValueChain) -> Result<(), E> {
        let mut at = chain.start;
        while at < chain.end
            && let Ok(end) = self.end_of_value(at)
        {
            let is_record = (self.is_record)(&self.text[at..end]);
            self.add(at..end, (!is_record).then_some(Reason::NotARecord))?;
            at = self.skip_marks(end);
        }
        Ok(())
    }

    fn end_of_value(&mut self, start: usize) -> Result<usize, Interruption> {
        let found = end_of_value(self.text, start);
        self.examined += found.as_ref().map_or_else(|interruption| interruption.at, |&end| end) - start;
        found
    }

    /// Whether the values are records, and not parts of a torn record: decided by what follows them.
    fn is_certain(&self, chain: &ValueChain, is_first: bool) -> bool {
        match self.text.get(chain.end) {
            None => true,
            // A comma at the end of the line, as between the elements of an array.
            Some(b',') => skip_blanks(self.text, chain.end + 1) == self.text.len(),
            Some(b':' | b'}' | b']') => false,
            // `[12]` before other text may be part of that text.
            Some(_) if self.text[chain.start] == b'[' => false,
            // Another record follows, torn itself.
            Some(b'{') if is_object_start(self.text, chain.end) => true,
            Some(_) => is_first,
        }
    }

    /// Searches an object that is not nested: none that follows a colon, a comma or an opening bracket.
    fn search(&mut self, from: usize) -> Option<usize> {
        let mut at = from;
        let found = loop {
            let Some(brace) = memchr::memchr(b'{', &self.text[at..]) else { break None };
            at += brace;
            let before = self.text[..at].iter().rev().find(|&&byte| !is_blank(byte));
            if is_object_start(self.text, at) && !before.is_some_and(|byte| b":,[".contains(byte)) {
                break Some(at);
            }
            at += 1;
        };
        self.examined += found.unwrap_or(self.text.len()) - from;
        found
    }

    /// Reports a value, after what is removed before it.
    fn add(&mut self, range: Range<usize>, removed: Option<Reason>) -> Result<(), E> {
        self.remove_until(range.start)?;
        self.done = range.end;
        (self.report)(LinePart { range, removed })
    }

    /// Removes everything up to `end` that is not white space.
    fn remove_until(&mut self, end: usize) -> Result<(), E> {
        let text = &self.text[..end];
        loop {
            let start = skip_blanks(text, self.done);
            if start == end {
                return Ok(());
            }
            let is_mark = text[start..].starts_with(BYTE_ORDER_MARK);
            let range = if is_mark { start..start + BYTE_ORDER_MARK.len() } else { start..trimmed(text) };
            let reason = if is_mark { Reason::ByteOrderMark } else { Reason::Fragment };
            self.done = range.end;
            (self.report)(LinePart { range, removed: Some(reason) })?;
        }
    }

    /// Skips white space and byte order marks.
    fn skip_marks(&self, mut at: usize) -> usize {
        loop {
            at = skip_blanks(self.text, at);
            if !self.text[at..].starts_with(BYTE_ORDER_MARK) {
                return at;
            }
            at += BYTE_ORDER_MARK.len();
        }
    }
}

/// The length of a text without the white space at its end.
fn trimmed(text: &[u8]) -> usize {
    text.iter().rposition(|&byte| !is_blank(byte)).map_or(0, |last| last + 1)
}

#[cfg(test)]
mod tests;
