//! One record that was looked up.

use std::{path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use crate::{
    Result,
    reader::{block_cursor::Record, raw_records::RawRecord},
};

/// One record, not parsed yet.
#[derive(Debug)]
pub(in crate::reader) struct FoundRecord {
    seq: u64,
    json: Vec<u8>,
    segment: Arc<Path>,
    offset: u64,
    line: u64,
}

impl FoundRecord {
    pub(in crate::reader) fn of(line: &RawRecord<'_>) -> Self {
        let &RawRecord { seq, json, segment, offset, line } = line;
        Self { seq, json: json.to_vec(), segment: segment.into(), offset, line }
    }

    pub(super) fn seq(&self) -> u64 {
        self.seq
    }

    pub(super) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(super) fn parse<T: DeserializeOwned>(&self) -> Result<Record<T>> {
        let Self { seq, json, segment, offset, line } = self;
        Record::parse(RawRecord { seq: *seq, json, segment, offset: *offset, line: *line })
    }
}
