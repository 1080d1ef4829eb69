//! One measurement in this process: opens a log in an empty directory, applies load, closes it, and counts its
//! records.

use std::{path::Path, sync::Arc, time::Duration};

use ministore_uring::{MiniStore, Reader};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    async_logs::{SharedMinistore, open_ours},
    baseline::{BULK_BYTES, Baseline, InPlaceFile, WriteMethod},
    bench_case::{BenchCase, Role},
    blocking::{OkaywalBench, RaftEngineBench, SingleCallLog},
    echo::{Echo, EchoPayload},
    phases::{CallerStats, Measurement, Timing},
    pipelined::{self, SubmitMethod},
    records::RecordPool,
    sqlite, tasks,
    threads::{self, BlockingLog},
};
use crate::log_under_test::{LogError, LogKind, LogResult};

/// The size of a segment where it can be set: the default of ministore-uring.
const SEGMENT_BYTES: u64 = 64 << 20;

/// A segment that a short run fills many times.
const SMALL_SEGMENT_BYTES: u64 = 4 << 20;

/// A segment that no run can fill.
const ONE_SEGMENT_BYTES: u64 = 1 << 40;

#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
pub struct MeasurementConfig {
    pub case: BenchCase,
    pub callers: usize,
    pub record_bytes: usize,
    pub timing: Timing,
    /// The calls in flight of each task that submits.
    pub in_flight: usize,
    /// Whether the records of peers are counted too; ours always are.
    pub count_peers: bool,
}

type StatsAndWindow = (CallerStats, Duration);

impl MeasurementConfig {
    pub fn measure(&self, dir: &Path) -> LogResult<Measurement> {
        let events = RecordPool::new(self.record_bytes)?;
        let (stats, window) = self.load(dir, &events)?;
        let mut measurement = stats.measurement(window, self.record_bytes);
        if matches!(self.case, BenchCase::BulkFloorDirect | BenchCase::BulkFloorBuffered) {
            // The padding after the last whole record of each write counts, too.
            let records = pipelined::records_per_write(self.record_bytes) as f64;
            measurement.bytes_per_second = measurement.records_per_second / records * BULK_BYTES as f64;
        }
        if measurement.calls == 0 {
            return Err(LogError("nothing was acknowledged".into()));
        }
        measurement.stored = self.stored(dir)?;
        match measurement.stored {
            Some(stored) if stored != measurement.acknowledged => Err(LogError(format!(
                "{} records acknowledged, {stored} in the log",
                measurement.acknowledged
            ))),
            _ => Ok(measurement),
        }
    }

    fn load(&self, dir: &Path, events: &RecordPool) -> LogResult<StatsAndWindow> {
        match self.case {
            BenchCase::Append => self.ours(dir, events, None),
            BenchCase::AppendSmallSegments => self.ours(dir, events, Some(SMALL_SEGMENT_BYTES)),
            BenchCase::AppendOneSegment => self.ours(dir, events, Some(ONE_SEGMENT_BYTES)),
            BenchCase::Submit => self.pipelined(dir, events, SubmitMethod::Submit, self.in_flight),
            BenchCase::AppendJson => self.pipelined(dir, events, SubmitMethod::Json, self.in_flight),
            BenchCase::AppendBatch => {
                self.pipelined(dir, events, SubmitMethod::Batch, pipelined::BATCHES_IN_FLIGHT)
            }
            BenchCase::Ministore => {
                let runtime = tasks::runtime()?;
                let log = runtime.block_on(SharedMinistore::open(dir))?;
                tasks::closed_loop(&runtime, &Arc::new(log), self.callers, events, self.timing)
            }
            BenchCase::Echo => self.echo(events, EchoPayload::Line),
            BenchCase::EchoEmpty => self.echo(events, EchoPayload::Nothing),
            BenchCase::BulkFloorDirect => self.in_place(dir, events, WriteMethod::Direct),
            BenchCase::BulkFloorBuffered => self.in_place(dir, events, WriteMethod::Buffered),
            _ => threads::closed_loop(&*self.blocking(dir)?, self.callers, events, self.timing),
        }
    }

    fn blocking(&self, dir: &Path) -> LogResult<Box<dyn BlockingLog>> {
        let open_log = |kind: LogKind| kind.open(dir, SEGMENT_BYTES);
        Ok(match self.case {
            BenchCase::AppendBlocking => Box::new(SingleCallLog(open_log(LogKind::Ours)?)),
            BenchCase::WalDb => Box::new(SingleCallLog(open_log(LogKind::WalDb)?)),
            BenchCase::WalrusRust => Box::new(SingleCallLog(open_log(LogKind::Walrus)?)),
            BenchCase::Okaywal => Box::new(OkaywalBench::open(dir)?),
            BenchCase::RaftEngine => Box::new(RaftEngineBench::open(dir, SEGMENT_BYTES)?),
            BenchCase::Sqlite => Box::new(sqlite::SharedConnection::open(dir)?),
            BenchCase::SqliteConnections => Box::new(sqlite::ConnectionPerCaller::open(dir)?),
            BenchCase::FloorDirect => {
                Box::new(Baseline::prepare(dir, WriteMethod::Direct, self.record_bytes)?)
            }
            BenchCase::FloorBuffered => {
                Box::new(Baseline::prepare(dir, WriteMethod::Buffered, self.record_bytes)?)
            }
            #[cfg(feature = "rocksdb")]
            BenchCase::Rocksdb => Box::new(super::rocks::RocksDb::open(dir)?),
            other => return Err(LogError(format!("{}: not in this program", other.name()))),
        })
    }

    fn ours(&self, dir: &Path, events: &RecordPool, segment_bytes: Option<u64>) -> LogResult<StatsAndWindow> {
        let runtime = tasks::runtime()?;
        let log = Arc::new(open_ours(dir, segment_bytes)?);
        let result = tasks::closed_loop(&runtime, &log, self.callers, events, self.timing)?;
        log.blocking().close()?;
        Ok(result)
    }

    fn pipelined(
        &self,
        dir: &Path,
        events: &RecordPool,
        method: SubmitMethod,
        in_flight: usize,
    ) -> LogResult<StatsAndWindow> {
        let runtime = tasks::runtime()?;
        let log = open_ours(dir, None)?;
        let result = pipelined::in_flight(&runtime, &log, method, in_flight, events, self.timing)?;
        log.blocking().close()?;
        Ok(result)
    }

    fn echo(&self, events: &RecordPool, load: EchoPayload) -> LogResult<StatsAndWindow> {
        let runtime = tasks::runtime()?;
        let echo = Arc::new(Echo::start(load)?);
        tasks::closed_loop(&runtime, &echo, self.callers, events, self.timing)
    }

    fn in_place(&self, dir: &Path, events: &RecordPool, method: WriteMethod) -> LogResult<StatsAndWindow> {
        pipelined::in_place(InPlaceFile::prepare(dir, method, BULK_BYTES)?, events, self.timing)
    }

    /// Returns the number of records in the log, read with its own call; `None` if it is not read.
    fn stored(&self, dir: &Path) -> LogResult<Option<u64>> {
        let count_replayed = |kind: LogKind| {
            let log = kind.open(dir, SEGMENT_BYTES)?;
            Ok(Some(log.replay()?.len() as u64))
        };
        match self.case {
            case if case.role() == Role::Ours => count_ours(dir).map(Some),
            _ if !self.count_peers => Ok(None),
            BenchCase::Ministore => count_replayed(LogKind::Ministore),
            BenchCase::WalDb => count_replayed(LogKind::WalDb),
            BenchCase::WalrusRust => count_replayed(LogKind::Walrus),
            BenchCase::RaftEngine => count_replayed(LogKind::RaftEngine),
            BenchCase::Sqlite | BenchCase::SqliteConnections => sqlite::stored(dir).map(Some),
            #[cfg(feature = "rocksdb")]
            BenchCase::Rocksdb => super::rocks::stored(dir).map(Some),
            // okaywal's segments are emptied while it runs; limits store nothing.
            _ => Ok(None),
        }
    }
}

/// Counts the records of all segments, whose seals are checked, and compares the number with the durable sequence
/// number of the next open.
fn count_ours(dir: &Path) -> LogResult<u64> {
    let path = dir.join("journal");
    let mut stored = 0;
    for record in Reader::open(&path)?.records::<IgnoredAny>() {
        record?;
        stored += 1;
    }
    let durable = MiniStore::open_blocking(&path)?.durable_seq();
    if durable == stored {
        Ok(stored)
    } else {
        Err(LogError(format!("{stored} records read, but {durable} durable")))
    }
}
