//! A record: with its value, without parsing, and its position in a segment.

use std::{path::Path, str, sync::Arc};

use serde::Deserialize;

use crate::{MiniStoreError, Result, format::scan::Block};

/// A record and its sequence number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<T> {
    /// Its sequence number: it never changes.
    pub seq: u64,
    /// The deserialized value.
    pub value: T,
}

impl<T> Record<T> {
    pub(super) fn parse<'a>(record: RawRecord<'a>) -> Result<Self>
    where
        T: Deserialize<'a>,
    {
        Ok(Self { seq: record.seq, value: record.parse()? })
    }
}

/// A record as it was appended, not parsed: one JSON value and its sequence number. Valid until the next one is read.
#[derive(Debug, Clone, Copy)]
pub struct RawRecord<'a> {
    /// Its sequence number: it never changes.
    pub seq: u64,
    /// The record, byte for byte as it was appended, without a line feed, white space or seal.
    pub json: &'a [u8],
    pub(crate) segment: &'a Path,
    /// Its byte offset in the file.
    pub(crate) offset: u64,
    /// Its line, counted from 1 in the file.
    pub(crate) line: u64,
}

impl<'a> RawRecord<'a> {
    /// Returns the record's value. It may borrow from the record: strings without an escape (`&str`), a
    /// [`RawValue`](serde_json::value::RawValue).
    ///
    /// # Errors
    ///
    /// [`Record`](MiniStoreError::Record): the record is not a `T`.
    pub fn parse<T: Deserialize<'a>>(&self) -> Result<T> {
        // Checking the whole record for UTF-8 at once is faster than serde_json's check of each string.
        let parsed = match str::from_utf8(self.json) {
            Ok(text) => serde_json::from_str(text),
            Err(_) => serde_json::from_slice(self.json),
        };
        parsed.map_err(|source| MiniStoreError::Record {
            segment: self.segment.to_path_buf(),
            offset: self.offset,
            line: self.line,
            seq: self.seq,
            source,
        })
    }
}

/// The position of the records of a block.
#[derive(Debug, Clone)]
pub(super) struct RecordPosition {
    pub(super) segment: Arc<Path>,
    /// The sequence number of the first record.
    pub(super) seq: u64,
    /// The line of the first record, counted from 1 in the file.
    pub(super) line: u64,
}

/// Returns the record `seq` of a block whose records begin at `position`.
pub(super) fn record_at<'a>(
    block: &'a Block,
    position: &'a RecordPosition,
    seq: u64,
) -> Option<RawRecord<'a>> {
    let index = seq.checked_sub(position.seq)?;
    let span = block.span(usize::try_from(index).ok()?)?;
    Some(RawRecord {
        seq,
        json: block.value(span),
        segment: &position.segment,
        offset: span.offset,
        line: position.line + index,
    })
}
