//! Records out of a block, one by one: where the iterator and the streams meet.

use std::str;

use serde::{Deserialize, de::DeserializeOwned};

use super::feed::{Feed, Place};
use crate::{MiniStoreError, Result, scan::Block};

/// A record and its number.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Record<T> {
    /// Its sequence number: it never changes.
    pub seq: u64,
    /// What was appended.
    pub value: T,
}

/// A block that is being handed out, record by record.
#[derive(Debug, Default)]
pub(super) struct Cursor {
    block: Block,
    place: Option<Place>,
    index: usize,
}

impl Cursor {
    /// Takes the next block from a feed; `false` at the end of the journal.
    pub(super) fn refill(&mut self, feed: &mut Feed) -> Result<bool> {
        self.block.clear();
        self.index = 0;
        self.place = feed.fill(&mut self.block)?;
        Ok(self.place.is_some())
    }

    /// The next record from `from_seq` on; `None` where the block is used up.
    pub(super) fn next<T: DeserializeOwned>(&mut self, from_seq: u64) -> Option<Result<Record<T>>> {
        loop {
            let place = self.place.as_ref()?;
            let span = self.block.span(self.index)?;
            let (seq, line) = (place.seq + self.index as u64, place.line + self.index as u64);
            self.index += 1;
            if seq < from_seq {
                continue;
            }
            let decoded = parse(self.block.value(span));
            return Some(decoded.map(|value| Record { seq, value }).map_err(|source| {
                MiniStoreError::Record {
                    segment: place.segment.to_path_buf(),
                    offset: span.offset,
                    line,
                    seq,
                    source,
                }
            }));
        }
    }
}

/// A line's value. All of it is checked to be text at once, which is faster than string by string.
fn parse<'de, T: Deserialize<'de>>(line: &'de [u8]) -> serde_json::Result<T> {
    match str::from_utf8(line) {
        Ok(text) => serde_json::from_str(text),
        Err(_) => serde_json::from_slice(line),
    }
}
