//! Splits a stream at LF and NUL bytes, and counts the damage. A run of NUL bytes of any length needs no memory, and a line that
//! is too long is reported in pieces.

use std::{collections::BTreeMap, mem};

use super::{
    Reason,
    split::{LinePart, split},
};

/// The size of a piece of a line that is too long.
const PIECE_BYTES: usize = 64 * 1024;

/// The place of bytes in the input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Place {
    /// Counted from 0.
    pub(crate) offset: u64,
    /// Counted from 1.
    pub(crate) line: u64,
    /// Counted from 1, in bytes.
    pub(crate) column: u64,
}

/// A part of the input that is not white space.
#[derive(Debug, PartialEq, Eq)]
pub(crate) enum RepairEvent<'a> {
    Record {
        place: Place,
        record: &'a [u8],
    },
    Removed {
        place: Place,
        reason: Reason,
        bytes: &'a [u8],
    },
    NulBytes {
        place: Place,
        length: u64,
    },
    /// A piece of a line that is too long for memory; it is removed.
    LongLine {
        place: Place,
        piece: &'a [u8],
        is_first: bool,
        is_last: bool,
    },
}

/// The number of removed parts with the same reason, and of their bytes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct RemovedTotals {
    pub(crate) parts: u64,
    pub(crate) bytes: u64,
}

/// The counts of a repair.
#[derive(Debug, Default, PartialEq, Eq)]
pub(crate) struct Damage {
    pub(crate) lines: u64,
    pub(crate) records: u64,
    /// Lines that end in CR LF.
    pub(crate) crlf_lines: u64,
    /// Lines with more than one record.
    pub(crate) split_lines: u64,
    pub(crate) removed: BTreeMap<Reason, RemovedTotals>,
}

impl Damage {
    /// Whether every line is a record or blank, and ends in LF.
    pub(crate) fn is_none(&self) -> bool {
        self.crlf_lines == 0 && self.split_lines == 0 && self.removed.is_empty()
    }

    fn add(&mut self, reason: Reason, parts: u64, bytes: u64) {
        let totals = self.removed.entry(reason).or_default();
        totals.parts += parts;
        totals.bytes += bytes;
    }
}

/// What ends a text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum TextEnd {
    Lf,
    Nul,
    Input,
}

/// The state between two chunks of the input. `F` decides whether a complete value is an accepted record.
#[derive(Debug)]
pub(crate) struct LineRepair<F> {
    is_record: F,
    text_bytes_max: usize,
    damage: Damage,
    /// The place of the next byte.
    next: Place,
    /// The text before it, since the last LF or NUL.
    text: Vec<u8>,
    text_place: Place,
    /// The text is longer than the maximum, and its beginning was reported.
    in_long_line: bool,
    /// The number of NUL bytes directly before the next byte.
    nul_bytes: u64,
    /// A NUL byte was found in this line.
    has_nul: bool,
    records_of_line: u64,
}

impl<F: Fn(&[u8]) -> bool> LineRepair<F> {
    /// `text_bytes_max`: the most bytes of a line, or of a part of it between NUL bytes, that are kept in memory.
    pub(crate) fn new(text_bytes_max: usize, is_record: F) -> Self {
        let start = Place { offset: 0, line: 1, column: 1 };
        Self {
            is_record,
            text_bytes_max,
            damage: Damage::default(),
            next: start,
            text: Vec::new(),
            text_place: start,
            in_long_line: false,
            nul_bytes: 0,
            has_nul: false,
            records_of_line: 0,
        }
    }

    /// Processes the next bytes of the input. `report` gets its parts in order.
    pub(crate) fn push<E>(
        &mut self,
        mut chunk: &[u8],
        report: &mut impl FnMut(RepairEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        while let Some(&first) = chunk.first() {
            let length = match first {
                b'\n' => {
                    self.end_line(report)?;
                    1
                }
                0 => {
                    let length = chunk.iter().position(|&byte| byte != 0).unwrap_or(chunk.len());
                    self.add_nul_bytes(length, report)?;
                    length
                }
                _ => {
                    let length = memchr::memchr2(b'\n', 0, chunk).unwrap_or(chunk.len());
                    self.add_text(&chunk[..length], report)?;
                    length
                }
            };
            chunk = &chunk[length..];
        }
        Ok(())
    }

    /// Ends the input.
    pub(crate) fn finish<E>(
        mut self,
        report: &mut impl FnMut(RepairEvent<'_>) -> Result<(), E>,
    ) -> Result<Damage, E> {
        self.end_nul_bytes(report)?;
        self.end_text(TextEnd::Input, report)?;
        if self.next.column > 1 {
            self.count_line();
        }
        Ok(self.damage)
    }

    fn add_text<E>(
        &mut self,
        text: &[u8],
        report: &mut impl FnMut(RepairEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.end_nul_bytes(report)?;
        if self.text.is_empty() && !self.in_long_line {
            self.text_place = self.next;
        }
        if self.in_long_line {
            self.report_long(text, false, false, report)?;
        } else if self.text.len() + text.len() > self.text_bytes_max {
            self.in_long_line = true;
            self.damage.add(Reason::TooLong, 1, 0);
            let start = mem::take(&mut self.text);
            for (index, piece) in start.chunks(PIECE_BYTES).chain([text]).enumerate() {
                self.report_long(piece, index == 0, false, report)?;
            }
        } else {
            self.text.extend_from_slice(text);
        }
        self.advance(text.len());
        Ok(())
    }

    fn report_long<E>(
        &mut self,
        piece: &[u8],
        is_first: bool,
        is_last: bool,
        report: &mut impl FnMut(RepairEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        self.damage.add(Reason::TooLong, 0, piece.len() as u64);
        report(RepairEvent::LongLine { place: self.text_place, piece, is_first, is_last })
    }

    fn add_nul_bytes<E>(
        &mut self,
        length: usize,
        report: &mut impl FnMut(RepairEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if self.nul_bytes == 0 {
            self.end_text(TextEnd::Nul, report)?;
            self.text_place = self.next;
            self.has_nul = true;
        }
        self.nul_bytes += length as u64;
        self.advance(length);
        Ok(())
    }

    fn end_nul_bytes<E>(
        &mut self,
        report: &mut impl FnMut(RepairEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        let length = mem::take(&mut self.nul_bytes);
        if length == 0 {
            return Ok(());
        }
        self.damage.add(Reason::NulBytes, 1, length);
        report(RepairEvent::NulBytes { place: self.text_place, length })
    }

    fn end_line<E>(&mut self, report: &mut impl FnMut(RepairEvent<'_>) -> Result<(), E>) -> Result<(), E> {
        self.end_nul_bytes(report)?;
        self.end_text(TextEnd::Lf, report)?;
        self.count_line();
        self.has_nul = false;
        self.next = Place { offset: self.next.offset + 1, line: self.next.line + 1, column: 1 };
        Ok(())
    }

    fn count_line(&mut self) {
        self.damage.lines += 1;
        self.damage.split_lines += u64::from(mem::take(&mut self.records_of_line) > 1);
    }

    fn end_text<E>(
        &mut self,
        end: TextEnd,
        report: &mut impl FnMut(RepairEvent<'_>) -> Result<(), E>,
    ) -> Result<(), E> {
        if mem::take(&mut self.in_long_line) {
            return self.report_long(b"", false, true, report);
        }
        let text = mem::take(&mut self.text);
        let has_cr = end == TextEnd::Lf && text.ends_with(b"\r");
        self.damage.crlf_lines += u64::from(has_cr);
        let Place { offset, line, column } = self.text_place;
        let is_whole_line = self.is_whole_line(&text, end);
        let (damage, records_of_line) = (&mut self.damage, &mut self.records_of_line);
        split(&text, is_whole_line, &self.is_record, |LinePart { range, removed }| {
            let before = range.start as u64;
            let place = Place { offset: offset + before, line, column: column + before };
            let bytes = &text[range];
            match removed {
                None => {
                    damage.records += 1;
                    *records_of_line += 1;
                    report(RepairEvent::Record { place, record: bytes })
                }
                Some(reason) => {
                    damage.add(reason, 1, bytes.len() as u64);
                    report(RepairEvent::Removed { place, reason, bytes })
                }
            }
        })?;
        // The allocation is used again.
        self.text = text;
        self.text.clear();
        Ok(())
    }

    /// Whether a text is a line of its own. A number without LF may be the beginning of a longer one.
    fn is_whole_line(&self, text: &[u8], end: TextEnd) -> bool {
        let is_number =
            || text.trim_ascii_start().first().is_some_and(|&first| first == b'-' || first.is_ascii_digit());
        match end {
            TextEnd::Lf => !self.has_nul,
            TextEnd::Nul => false,
            TextEnd::Input => !self.has_nul && !is_number(),
        }
    }

    fn advance(&mut self, bytes: usize) {
        self.next.offset += bytes as u64;
        self.next.column += bytes as u64;
    }
}
