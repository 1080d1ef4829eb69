//! One measurement in this process: opens a log in an empty directory, applies load, closes it, and counts its
//! records.

use std::{path::Path, sync::Arc};

use ministore_uring::{JournalOptions, MiniStore, Reader};
use serde::{Deserialize, Serialize, de::IgnoredAny};

use super::{
    async_logs::{SharedMinistore, open_ours},
    baseline::{BLOCK, BULK_BYTES, Baseline, GrowingFile, InPlaceFile, WriteMethod},
    bench_case::{BenchCase, Role},
    blocking::{OkaywalBench, RaftEngineBench, SingleCallLog, open_raft_log},
    echo::Echo,
    half_busy, not_durable,
    phases::{CallerStats, Measurement, Timing, Window},
    pipelined::{self, SubmitMethod},
    records::{RecordKind, RecordPool},
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
    pub records: RecordKind,
    pub timing: Timing,
    /// The calls in flight of each task that submits.
    pub in_flight: usize,
    /// Whether the records of peers are counted too; ours always are.
    pub count_peers: bool,
    /// The size of a write to a growing file: the mean one of the compared case in this round, if it is known.
    pub write_bytes: Option<f64>,
}

/// The counts, the window, and the mean number of bytes in one write, where it is known.
type LoadResult = LogResult<(CallerStats, Window, Option<f64>)>;

impl MeasurementConfig {
    pub fn measure(&self, dir: &Path) -> LogResult<Measurement> {
        let events = RecordPool::new(self.records)?;
        let (stats, window, write_bytes) = self.load(dir, &events)?;
        let mut measurement = stats.measurement(window, self.records.bytes);
        measurement.write_bytes = write_bytes;
        if let (Role::Limit, Some(bytes)) = (self.case.role(), write_bytes) {
            measurement.bytes_per_second = measurement.records_per_second * bytes;
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

    fn load(&self, dir: &Path, events: &RecordPool) -> LoadResult {
        let unknown_writes = |(stats, window)| (stats, window, None);
        match self.case {
            BenchCase::Append | BenchCase::AppendHalfBusy => self.ours(dir, events, JournalOptions::new()),
            BenchCase::AppendNoSpin | BenchCase::AppendHalfBusyNoSpin => {
                self.ours(dir, events, JournalOptions::new().spin(false))
            }
            BenchCase::AppendSmallSegments => {
                self.ours(dir, events, JournalOptions::new().max_segment_bytes(SMALL_SEGMENT_BYTES))
            }
            BenchCase::AppendOneSegment => {
                let options = JournalOptions::new().max_segment_bytes(ONE_SEGMENT_BYTES).preallocate(false);
                self.ours(dir, events, options)
            }
            BenchCase::Submit => self.pipelined(dir, events, SubmitMethod::Submit, self.in_flight),
            BenchCase::AppendJson => self.pipelined(dir, events, SubmitMethod::Json, self.in_flight),
            BenchCase::AppendBatch => {
                self.pipelined(dir, events, SubmitMethod::Batch, pipelined::BATCHES_IN_FLIGHT)
            }
            BenchCase::Ministore => {
                let runtime = tasks::runtime()?;
                let log = runtime.block_on(SharedMinistore::open(dir))?;
                tasks::closed_loop(&runtime, &Arc::new(log), self.callers, events, self.timing)
                    .map(unknown_writes)
            }
            BenchCase::Echo => {
                let (runtime, echo) = (tasks::runtime()?, Arc::new(Echo::start()?));
                tasks::closed_loop(&runtime, &echo, self.callers, events, self.timing).map(unknown_writes)
            }
            BenchCase::BulkFloorDirect => self.in_place(dir, events, WriteMethod::Direct),
            BenchCase::BulkFloorBuffered => self.in_place(dir, events, WriteMethod::Buffered),
            BenchCase::GrowingSubmit | BenchCase::GrowingBatch | BenchCase::GrowingJson => {
                self.growing(dir, events)
            }
            _ => {
                let log = self.blocking(dir)?;
                threads::closed_loop(&*log, self.callers, events, self.timing).map(unknown_writes)
            }
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
            BenchCase::RaftLog => Box::new(SingleCallLog(Box::new(open_raft_log(dir, SEGMENT_BYTES)?))),
            BenchCase::WrittenOnly => Box::new(not_durable::WrittenFile::open(dir)?),
            BenchCase::Sqlite => Box::new(sqlite::SharedConnection::open(dir)?),
            BenchCase::SqliteConnections => Box::new(sqlite::ConnectionPerCaller::open(dir)?),
            BenchCase::FloorDirect => {
                Box::new(Baseline::prepare(dir, WriteMethod::Direct, self.records.bytes)?)
            }
            BenchCase::FloorBuffered => {
                Box::new(Baseline::prepare(dir, WriteMethod::Buffered, self.records.bytes)?)
            }
            #[cfg(feature = "rocksdb")]
            BenchCase::Rocksdb => Box::new(super::rocks::RocksDb::open(dir)?),
            other => return Err(LogError(format!("{}: not in this program", other.name()))),
        })
    }

    fn ours(&self, dir: &Path, events: &RecordPool, options: JournalOptions) -> LoadResult {
        let runtime = tasks::runtime()?;
        let log = Arc::new(open_ours(dir, options)?);
        if matches!(self.case, BenchCase::AppendHalfBusy | BenchCase::AppendHalfBusyNoSpin) {
            half_busy::start(&runtime)?;
        }
        let (stats, window) = tasks::closed_loop(&runtime, &log, self.callers, events, self.timing)?;
        let write_bytes = mean_write(&log);
        log.blocking().close()?;
        Ok((stats, window, write_bytes))
    }

    fn pipelined(
        &self,
        dir: &Path,
        events: &RecordPool,
        method: SubmitMethod,
        in_flight: usize,
    ) -> LoadResult {
        let runtime = tasks::runtime()?;
        let log = open_ours(dir, JournalOptions::new())?;
        let (stats, window) = pipelined::in_flight(&runtime, &log, method, in_flight, events, self.timing)?;
        let write_bytes = mean_write(&log);
        log.blocking().close()?;
        Ok((stats, window, write_bytes))
    }

    fn in_place(&self, dir: &Path, events: &RecordPool, method: WriteMethod) -> LoadResult {
        let mut file = InPlaceFile::prepare(dir, method, BULK_BYTES)?;
        let bytes = pipelined::lines(events, BULK_BYTES)?;
        let (stats, window) = pipelined::writes(|| file.write(&bytes), 0, self.timing)?;
        Ok((stats, window, Some(bytes.len() as f64)))
    }

    fn growing(&self, dir: &Path, events: &RecordPool) -> LoadResult {
        let bytes = self.write_bytes.map_or(BULK_BYTES, |bytes| bytes as usize);
        let bytes = bytes.next_multiple_of(BLOCK);
        let mut file = GrowingFile::create(dir, &pipelined::lines(events, bytes)?)?;
        let (stats, window) = pipelined::writes(|| file.append(), pipelined::TASKS, self.timing)?;
        Ok((stats, window, Some(bytes as f64)))
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
            BenchCase::RaftLog => count_replayed(LogKind::RaftLog),
            BenchCase::WrittenOnly => not_durable::stored(dir).map(Some),
            BenchCase::Sqlite | BenchCase::SqliteConnections => sqlite::stored(dir).map(Some),
            #[cfg(feature = "rocksdb")]
            BenchCase::Rocksdb => super::rocks::stored(dir).map(Some),
            // okaywal's segments are emptied while it runs; limits store nothing.
            _ => Ok(None),
        }
    }
}

/// Returns the mean number of bytes in a group: records with a line feed each. A group is one write.
fn mean_write(log: &MiniStore) -> Option<f64> {
    let stats = log.stats();
    (stats.groups > 0).then(|| (stats.bytes + stats.records) as f64 / stats.groups as f64)
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
