//! The logs with blocking calls, each called in the cheapest way that its documentation offers.

use std::{path::Path, sync::Arc, time::Duration};

use okaywal::{Configuration, LogVoid, WriteAheadLog};
use protobuf::well_known_types::BytesValue;
use raft_engine::{Config, Engine, LogBatch};

use super::threads::{AppendFn, BlockingLog};
use crate::{
    log_under_test::{FRAME_BYTES, LogError, LogResult, LogUnderTest},
    logs::{raft_engine::RecordEntries, raft_log::RaftLogLog},
};

/// A log whose single append call is also its fastest: `wal-db`, `walrus-rust`, `raft-log`, ministore-uring.
pub struct SingleCallLog(pub Box<dyn LogUnderTest>);

impl BlockingLog for SingleCallLog {
    fn caller(&self, _: u32) -> LogResult<AppendFn<'_>> {
        Ok(Box::new(|record| self.0.append(record)))
    }
}

/// `okaywal` as intended: checkpoints empty the segments (`LogVoid` keeps nothing, which costs nothing), and they
/// are written again in place. Uses its default sizes.
#[derive(Debug)]
pub struct OkaywalBench(WriteAheadLog);

impl OkaywalBench {
    pub fn open(dir: &Path) -> LogResult<Self> {
        Configuration::default_for(dir).open(LogVoid).map(Self).map_err(LogError::from)
    }
}

impl BlockingLog for OkaywalBench {
    fn caller(&self, _: u32) -> LogResult<AppendFn<'_>> {
        Ok(Box::new(|record| {
            let line = record.to_bytes()?;
            let mut entry = self.0.begin_entry()?;
            entry.write_chunk(&line)?;
            entry.commit().map(drop).map_err(LogError::from)
        }))
    }
}

/// How long the worker of `raft-log` waits for more flushes. Its default, 1 ms, is slower with few callers and no faster
/// with many; without any wait every flush has a sync of its own.
const FLUSH_BATCH_WAIT: Duration = Duration::from_micros(20);

/// Opens `raft-log` with the wait that is best for one caller and for many.
pub fn open_raft_log(dir: &Path, segment_bytes: u64) -> LogResult<RaftLogLog> {
    RaftLogLog::open(dir, segment_bytes, Some(FLUSH_BATCH_WAIT))
}

/// `raft-engine`: every caller writes its own Raft group and counts the entries itself. Uses files of 64 MiB, as the
/// others.
pub struct RaftEngineBench(Arc<Engine>);

impl RaftEngineBench {
    pub fn open(dir: &Path, segment_bytes: u64) -> LogResult<Self> {
        let config = Config {
            dir: dir.join("engine").display().to_string(),
            target_file_size: raft_engine::ReadableSize(segment_bytes),
            ..Config::default()
        };
        Engine::open(config).map(|engine| Self(Arc::new(engine))).map_err(LogError::from)
    }
}

impl BlockingLog for RaftEngineBench {
    fn caller(&self, number: u32) -> LogResult<AppendFn<'_>> {
        let mut index: u64 = 0;
        let group = u64::from(number) + 1;
        Ok(Box::new(move |record| {
            index += 1;
            let mut value = Vec::with_capacity(record.fill.len() + FRAME_BYTES);
            value.extend(index.to_be_bytes());
            match &record.json {
                Some(json) => value.extend_from_slice(json),
                None => serde_json::to_writer(&mut value, record)?,
            }
            let mut batch = LogBatch::default();
            let entry = BytesValue { value, ..BytesValue::default() };
            batch.add_entries::<RecordEntries>(group, &[entry])?;
            self.0.write(&mut batch, true).map(drop).map_err(LogError::from)
        }))
    }
}
