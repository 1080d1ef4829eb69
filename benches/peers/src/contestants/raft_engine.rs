//! `raft-engine` 0.4.2, one Raft group an appender, one log entry a record.
//!
//! Acknowledgement: `Engine::write(batch, true)` returns `Ok`. Promise (README, "Write"): "the batch leader will call
//! `fdatasync()` after writing. This way, buffered data is guaranteed to be flushed out onto the storage"; "Raft Engine
//! provides atomic writes". A failed sync panics, on purpose (`src/file_pipe_log/log_file.rs`: "Panic if sync fails, in case of
//! data loss"). Damage: `RecoveryMode::TolerateTailCorruption` is the default.

use std::{
    collections::BTreeMap,
    fmt,
    path::Path,
    sync::{Arc, Mutex, PoisonError},
};

use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch, MessageExt, ReadableSize};

use crate::contestant::{Answer, Contestant, Found, Record, Refusal, Settings};

/// An entry is its index, 8 bytes, and the record's bytes.
#[derive(Debug, Clone, Copy)]
pub struct Entries;

impl MessageExt for Entries {
    type Entry = BytesValue;

    fn index(entry: &BytesValue) -> u64 {
        entry.value.first_chunk().map_or(0, |bytes| u64::from_be_bytes(*bytes))
    }
}

fn entry(index: u64, record: &Record) -> Answer<BytesValue> {
    let mut value = index.to_be_bytes().to_vec();
    value.extend(record.to_bytes()?);
    Ok(BytesValue { value, ..BytesValue::default() })
}

/// An open engine.
pub struct Log {
    engine: Engine,
    /// One lock a Raft group: the indexes of a group must be consecutive, and one leader writes them.
    leaders: Mutex<BTreeMap<u64, Arc<Mutex<()>>>>,
}

impl Log {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn open(dir: &Path, settings: Settings) -> Answer<Self> {
        let config = Config {
            dir: dir.join("engine").display().to_string(),
            target_file_size: ReadableSize(settings.segment_bytes),
            ..Config::default()
        };
        let engine = Engine::open(config).map_err(Refusal::of)?;
        Ok(Self { engine, leaders: Mutex::default() })
    }

    fn leader(&self, group: u64) -> Arc<Mutex<()>> {
        let mut leaders = self.leaders.lock().unwrap_or_else(PoisonError::into_inner);
        Arc::clone(leaders.entry(group).or_default())
    }

    /// Adds the records of one group to `batch`, behind what the group has. The group's leader must be held.
    fn add(&self, batch: &mut LogBatch, group: u64, records: &[&Record]) -> Answer<()> {
        let next = self.engine.last_index(group).map_or(1, |last| last + 1);
        let entries = (next..).zip(records).map(|(index, record)| entry(index, record));
        batch.add_entries::<Entries>(group, &entries.collect::<Answer<Vec<_>>>()?).map_err(Refusal::of)
    }
}

impl Contestant for Log {
    fn append(&self, record: &Record) -> Answer<()> {
        self.append_many(std::slice::from_ref(record))
    }

    fn append_many(&self, records: &[Record]) -> Answer<()> {
        let mut groups: BTreeMap<u64, Vec<&Record>> = BTreeMap::new();
        for record in records {
            groups.entry(u64::from(record.appender) + 1).or_default().push(record);
        }
        // In the order of the groups, so that two callers cannot wait for each other.
        let leaders: Vec<_> = groups.keys().map(|group| self.leader(*group)).collect();
        let _leading: Vec<_> =
            leaders.iter().map(|leader| leader.lock().unwrap_or_else(PoisonError::into_inner)).collect();
        let mut batch = LogBatch::default();
        for (group, records) in &groups {
            self.add(&mut batch, *group, records)?;
        }
        self.engine.write(&mut batch, true).map_err(Refusal::of)?;
        Ok(())
    }

    fn replay(&self) -> Answer<Vec<Found>> {
        let mut found = Vec::new();
        for group in self.engine.raft_groups() {
            let (Some(first), Some(last)) = (self.engine.first_index(group), self.engine.last_index(group))
            else {
                continue;
            };
            let mut entries = Vec::new();
            self.engine
                .fetch_entries_to::<Entries>(group, first, last + 1, None, &mut entries)
                .map_err(Refusal::of)?;
            found.extend(
                entries.iter().map(|entry| Found::of_bytes(entry.value.get(8..).unwrap_or_default())),
            );
        }
        Ok(found)
    }

    fn close(self: Box<Self>) -> Answer<()> {
        Ok(())
    }
}

impl fmt::Debug for Log {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Log").finish_non_exhaustive()
    }
}
