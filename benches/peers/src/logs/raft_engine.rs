//! `raft-engine` 0.4.2, one Raft group per appender, one log entry per record.
//!
//! Acknowledgement: `Engine::write(batch, true)` returns `Ok`. Promise (README, "Write"): "the batch leader will call
//! `fdatasync()` after writing. This way, buffered data is guaranteed to be flushed out onto the storage"; "Raft Engine
//! provides atomic writes". A failed sync panics, on purpose (`src/file_pipe_log/log_file.rs`: "Panic if sync fails, in case of
//! data loss"). Damage: `RecoveryMode::TolerateTailCorruption` is the default.

use std::{
    collections::BTreeMap,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::log_under_test::{LogResult, LogUnderTest, Record, ReplayedItem};

/// An entry is its index (8 bytes) followed by the record's bytes.
#[derive(Debug, Clone, Copy)]
pub struct RecordEntries;

impl MessageExt for RecordEntries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

fn entry(index: u64, record: &Record) -> LogResult<BytesValue> {
    let mut value = index.to_be_bytes().to_vec();
    value.extend_from_slice(&record.to_bytes()?);
    Ok(BytesValue { value, ..BytesValue::default() })
}

pub struct RaftEngineLog {
    engine: Engine,
    /// One lock per Raft group: the indexes of a group must be consecutive, so one caller at a time writes them.
    group_locks: Mutex<BTreeMap<u64, Arc<Mutex<()>>>>,
}

impl RaftEngineLog {
    pub fn open(dir: &Path, segment_bytes: u64) -> LogResult<Self> {
        let config = Config {
            dir: dir.join("engine").display().to_string(),
            target_file_size: ReadableSize(segment_bytes),
            ..Config::default()
        };
        let engine = Engine::open(config)?;
        Ok(Self { engine, group_locks: Mutex::default() })
    }

    fn group_lock(&self, group: u64) -> Arc<Mutex<()>> {
        let mut group_locks = self.group_locks.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(group_locks.entry(group).or_default())
    }
}

impl LogUnderTest for RaftEngineLog {
    fn append(&self, record: &Record) -> LogResult<()> {
        let group = u64::from(record.appender) + 1;
        let group_lock = self.group_lock(group);
        let _guard = group_lock.lock().unwrap_or_else(PoisonError::into_inner);
        let next = self.engine.last_index(group).map_or(1, |last| last + 1);
        let mut batch = LogBatch::default();
        batch.add_entries::<RecordEntries>(group, &[entry(next, record)?])?;
        self.engine.write(&mut batch, true)?;
        Ok(())
    }

    fn replay(&self) -> LogResult<Vec<ReplayedItem>> {
        let mut items = Vec::new();
        for group in self.engine.raft_groups() {
            let (Some(first), Some(last)) = (self.engine.first_index(group), self.engine.last_index(group))
            else {
                continue;
            };
            let mut entries = Vec::new();
            self.engine.fetch_entries_to::<RecordEntries>(group, first, last + 1, None, &mut entries)?;
            items.extend(
                entries.iter().map(|entry| ReplayedItem::of_bytes(entry.value.get(8..).unwrap_or_default())),
            );
        }
        Ok(items)
    }
}
