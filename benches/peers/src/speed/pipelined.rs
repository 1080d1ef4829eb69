//! Pipelined appends of ministore-uring, independent of the number of callers: `submit` with thousands in flight,
//! batches, raw JSON; and their limits, large writes on one thread.

use std::{collections::VecDeque, hint::black_box, sync::Arc, thread, time::Instant};

use bytes::Bytes;
use ministore_uring::{Append, MiniStore, PendingAppend};
use tokio::runtime::Runtime;

use super::{
    baseline::BULK_BYTES,
    phases::{CallerStats, Phases, Timing, Window},
    records::{RecordCursor, RecordPool},
    tasks::gather,
};
use crate::log_under_test::{LogError, LogResult, Record};

pub const TASKS: usize = 2;

/// The number of batches of about 1 MiB that one task has in flight.
pub const BATCHES_IN_FLIGHT: usize = 4;

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SubmitMethod {
    /// `submit`, one record per call.
    Submit,
    /// `submit_json`, one line per call, serialized before the clock starts.
    Json,
    /// `submit_batch`, about 1 MiB per call.
    Batch,
}

/// Returns the number of records of `record_bytes` bytes, with a line feed each, in about 1 MiB.
fn records_per_batch(record_bytes: usize) -> usize {
    (BULK_BYTES / (record_bytes + 1)).max(1)
}

enum RecordSource {
    Record(RecordCursor),
    Line(Vec<Bytes>, usize),
    Batch(RecordCursor, usize),
}

impl RecordSource {
    fn new(method: SubmitMethod, events: &RecordPool, task: usize) -> LogResult<Self> {
        let cursor = events.cursor(task);
        Ok(match method {
            SubmitMethod::Submit => Self::Record(cursor),
            SubmitMethod::Batch => Self::Batch(cursor, records_per_batch(events.bytes)),
            SubmitMethod::Json => {
                let lines =
                    cursor.all().iter().map(|record| Ok(Bytes::from(record.to_bytes()?.into_owned())));
                Self::Line(lines.collect::<LogResult<_>>()?, 0)
            }
        })
    }

    /// Submits the next records. Returns their number.
    async fn submit(&mut self, store: &MiniStore) -> LogResult<(PendingAppend, u64)> {
        let one = |pending| (pending, 1);
        match self {
            Self::Record(cursor) => store.submit(cursor.next_record()).await.map(one),
            Self::Line(lines, next) => {
                let line = lines[*next].clone();
                *next = (*next + 1) % lines.len();
                store.send(Append::json(line)?).await.map(one)
            }
            Self::Batch(cursor, count) => {
                let records: &[Record] = cursor.next_records(*count);
                let count = records.len() as u64;
                store.send(Append::batch(records)?).await.map(|pending| (pending, count))
            }
        }
        .map_err(LogError::from)
    }
}

/// Runs two tasks, each with `in_flight` calls submitted and not acknowledged: a task waits for its oldest call
/// before the next one.
pub fn in_flight(
    runtime: &Runtime,
    store: &MiniStore,
    method: SubmitMethod,
    in_flight: usize,
    events: &RecordPool,
    timing: Timing,
) -> LogResult<(CallerStats, Window)> {
    let phases = Arc::new(Phases::default());
    let sources =
        (0..TASKS).map(|task| RecordSource::new(method, events, task)).collect::<LogResult<Vec<_>>>()?;
    let tasks = sources.into_iter().map(|source| {
        Ok(runtime.spawn(run_task(
            store.clone(),
            source,
            in_flight,
            Arc::clone(&phases),
            CallerStats::new(TASKS)?,
        )))
    });
    let tasks = tasks.collect::<LogResult<Vec<_>>>()?;
    let window = phases.run(timing);
    Ok((gather(runtime, tasks, TASKS)?, window))
}

async fn run_task(
    store: MiniStore,
    mut source: RecordSource,
    in_flight: usize,
    phases: Arc<Phases>,
    mut stats: CallerStats,
) -> LogResult<CallerStats> {
    let mut pending: VecDeque<(Instant, PendingAppend, u64)> = VecDeque::with_capacity(in_flight);
    while phases.is_running() {
        if pending.len() == in_flight
            && let Some((start, oldest, records)) = pending.pop_front()
        {
            oldest.await?;
            stats.acknowledge(&phases, start, records);
        }
        let start = Instant::now();
        let (next, records) = source.submit(&store).await?;
        pending.push_back((start, next, records));
    }
    for (start, next, records) in pending {
        next.await?;
        stats.acknowledge(&phases, start, records);
    }
    Ok(stats)
}

/// Returns the lines of the records, cut off after `bytes` bytes.
pub fn lines(events: &RecordPool, bytes: usize) -> LogResult<Vec<u8>> {
    let mut lines = Vec::with_capacity(bytes + events.bytes + 1);
    let mut cursor = events.cursor(0);
    while lines.len() < bytes {
        lines.extend_from_slice(&cursor.next_record().to_bytes()?);
        lines.push(b'\n');
    }
    lines.truncate(bytes);
    Ok(lines)
}

/// Writes one time after the other on one thread, while `busy` threads compute. Each write counts as a record.
pub fn writes(
    mut write: impl FnMut() -> LogResult<()> + Send,
    busy: usize,
    timing: Timing,
) -> LogResult<(CallerStats, Window)> {
    let (phases, mut stats) = (Phases::default(), CallerStats::new(1)?);
    thread::scope(|scope| {
        for _ in 0..busy {
            scope.spawn(|| {
                let mut sum = 0_u64;
                while phases.is_running() {
                    (0..1000).for_each(|number| sum = black_box(sum.wrapping_add(number)));
                }
            });
        }
        let writer = scope.spawn(|| {
            while phases.is_running() {
                let start = Instant::now();
                write()?;
                stats.acknowledge(&phases, start, 1);
            }
            Ok::<_, LogError>(stats)
        });
        let window = phases.run(timing);
        Ok((writer.join().map_err(|_| LogError("the writer panicked".into()))??, window))
    })
}
