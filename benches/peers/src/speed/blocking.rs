//! The logs that block their callers, each called in the cheapest way that its documentation offers.

use std::{fmt, path::Path, sync::Arc};

use okaywal::{Configuration, LogVoid, WriteAheadLog};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch};

use super::threads::{Blocking, Caller};
use crate::{
    contestant::{Answer, Contestant, FRAME_BYTES, Refusal},
    contestants::raft_engine::Entries,
};

/// A contestant of the faults whose one call is as good as any: `wal-db`, `walrus-rust`, ours.
pub struct Plain(pub Box<dyn Contestant>);

impl fmt::Debug for Plain {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Plain").finish_non_exhaustive()
    }
}

impl Blocking for Plain {
    fn caller(&self, _: u32) -> Answer<Caller<'_>> {
        Ok(Box::new(|record| self.0.append(record)))
    }
}

/// `okaywal` as it is meant to be used: segments are emptied by checkpoints (`LogVoid`: nothing is kept, which costs nothing)
/// and written again in place. Its default sizes.
#[derive(Debug)]
pub struct Okaywal(WriteAheadLog);

impl Okaywal {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn open(dir: &Path) -> Answer<Self> {
        Configuration::default_for(dir).open(LogVoid).map(Self).map_err(Refusal::of)
    }
}

impl Blocking for Okaywal {
    fn caller(&self, _: u32) -> Answer<Caller<'_>> {
        Ok(Box::new(|record| {
            let line = record.to_bytes()?;
            let mut entry = self.0.begin_entry().map_err(Refusal::of)?;
            entry.write_chunk(&line).map_err(Refusal::of)?;
            entry.commit().map(drop).map_err(Refusal::of)
        }))
    }
}

/// `raft-engine`: every caller leads a Raft group of its own and counts its entries itself. Files of 64 MiB, as the others'.
pub struct RaftEngine(Arc<Engine>);

impl fmt::Debug for RaftEngine {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("RaftEngine").finish_non_exhaustive()
    }
}

impl RaftEngine {
    /// Opens or creates it.
    ///
    /// # Errors
    ///
    /// What the crate says.
    pub fn open(dir: &Path, segment_bytes: u64) -> Answer<Self> {
        let config = Config {
            dir: dir.join("engine").display().to_string(),
            target_file_size: raft_engine::ReadableSize(segment_bytes),
            ..Config::default()
        };
        Engine::open(config).map(|engine| Self(Arc::new(engine))).map_err(Refusal::of)
    }
}

impl Blocking for RaftEngine {
    fn caller(&self, number: u32) -> Answer<Caller<'_>> {
        let mut index: u64 = 0;
        let group = u64::from(number) + 1;
        Ok(Box::new(move |record| {
            index += 1;
            let mut value = Vec::with_capacity(record.fill.len() + FRAME_BYTES);
            value.extend(index.to_be_bytes());
            serde_json::to_writer(&mut value, record).map_err(Refusal::of)?;
            let mut batch = LogBatch::default();
            let entry = BytesValue { value, ..BytesValue::default() };
            batch.add_entries::<Entries>(group, &[entry]).map_err(Refusal::of)?;
            self.0.write(&mut batch, true).map(drop).map_err(Refusal::of)
        }))
    }
}
