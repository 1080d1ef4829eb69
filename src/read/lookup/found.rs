//! A single record that was looked up.

use std::{path::Path, sync::Arc};

use serde::de::DeserializeOwned;

use crate::{
    Result,
    read::record::{RawRecord, Record},
};

/// An owned record that was not deserialized yet.
#[derive(Debug)]
pub(crate) struct FoundRecord {
    seq: u64,
    json: Vec<u8>,
    segment: Arc<Path>,
    offset: u64,
    line: u64,
}

impl FoundRecord {
    pub(in crate::read) fn of(record: &RawRecord<'_>) -> Self {
        let &RawRecord { seq, json, segment, offset, line } = record;
        Self { seq, json: json.to_vec(), segment: segment.into(), offset, line }
    }

    pub(crate) fn seq(&self) -> u64 {
        self.seq
    }

    pub(crate) fn json(&self) -> &[u8] {
        &self.json
    }

    pub(crate) fn parse<T: DeserializeOwned>(&self) -> Result<Record<T>> {
        let Self { seq, json, segment, offset, line } = self;
        Record::parse(RawRecord { seq: *seq, json, segment, offset: *offset, line: *line })
    }
}
