//! Ours in bulk, whatever the number of callers: `submit` with thousands in flight, batches, lines that are JSON already;
//! and the limit for it, 1 MiB writes in place.

use std::{
    collections::VecDeque,
    sync::Arc,
    thread,
    time::{Duration, Instant},
};

use bytes::Bytes;
use ministore_uring::{Append, MiniStore, PendingAppend};
use tokio::runtime::Runtime;

use super::{
    events::{Events, Walk},
    floor::{BULK_BYTES, InPlace},
    phases::{Phases, Tally, Timing},
    tasks::gather,
};
use crate::contestant::{Answer, Record, Refusal};

/// How many tasks hand records over.
pub const TASKS: usize = 2;

/// How many batches of about 1 MiB one task has in flight.
pub const BATCHES_IN_FLIGHT: usize = 4;

/// What the tasks do.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Manner {
    /// `submit`, one record a call.
    Submit,
    /// `submit_json`, one line a call, made before the clock starts.
    Json,
    /// `submit_batch`, about 1 MiB a call.
    Batch,
}

/// How many records of `record_bytes` bytes, and a line feed each, are about 1 MiB.
#[must_use]
pub fn records_per_write(record_bytes: usize) -> usize {
    (BULK_BYTES / (record_bytes + 1)).max(1)
}

/// What is handed over at once.
enum Load {
    Record(Walk),
    Line(Vec<Bytes>, usize),
    Batch(Walk, usize),
}

impl Load {
    fn new(manner: Manner, events: &Events, task: usize) -> Answer<Self> {
        let walk = events.walk(task);
        Ok(match manner {
            Manner::Submit => Self::Record(walk),
            Manner::Batch => Self::Batch(walk, records_per_write(events.bytes)),
            Manner::Json => {
                let lines = walk.all().iter().map(|record| record.to_bytes().map(Bytes::from));
                Self::Line(lines.collect::<Answer<_>>()?, 0)
            }
        })
    }

    /// Hands over what comes next; how many records that is.
    async fn submit(&mut self, store: &MiniStore) -> Answer<(PendingAppend, u64)> {
        let one = |pending| (pending, 1);
        match self {
            Self::Record(walk) => store.submit(walk.next_record()).await.map(one),
            Self::Line(lines, next) => {
                let line = lines[*next].clone();
                *next = (*next + 1) % lines.len();
                store.send(Append::json(line).map_err(Refusal::of)?).await.map(one)
            }
            Self::Batch(walk, count) => {
                let records: &[Record] = walk.next_records(*count);
                let count = records.len() as u64;
                store.send(Append::batch(records).map_err(Refusal::of)?).await.map(|pending| (pending, count))
            }
        }
        .map_err(Refusal::of)
    }
}

/// Two tasks, each with `in_flight` calls handed over and not yet acknowledged: it waits for the oldest before the next.
///
/// # Errors
///
/// The first that a task met.
pub fn in_flight(
    runtime: &Runtime,
    store: &MiniStore,
    manner: Manner,
    in_flight: usize,
    events: &Events,
    timing: Timing,
) -> Answer<(Tally, Duration)> {
    let phases = Arc::new(Phases::default());
    let loads = (0..TASKS).map(|task| Load::new(manner, events, task)).collect::<Answer<Vec<_>>>()?;
    let tasks = loads.into_iter().map(|load| {
        Ok(runtime.spawn(one_task(store.clone(), load, in_flight, Arc::clone(&phases), Tally::new(TASKS)?)))
    });
    let tasks = tasks.collect::<Answer<Vec<_>>>()?;
    let window = phases.pass(timing);
    Ok((gather(runtime, tasks, TASKS)?, window))
}

async fn one_task(
    store: MiniStore,
    mut load: Load,
    in_flight: usize,
    phases: Arc<Phases>,
    mut tally: Tally,
) -> Answer<Tally> {
    let mut pending: VecDeque<(Instant, PendingAppend, u64)> = VecDeque::with_capacity(in_flight);
    while phases.go_on() {
        if pending.len() == in_flight
            && let Some((start, oldest, records)) = pending.pop_front()
        {
            oldest.await.map_err(Refusal::of)?;
            tally.acknowledge(&phases, start, records);
        }
        let start = Instant::now();
        let (next, records) = load.submit(&store).await?;
        pending.push_back((start, next, records));
    }
    for (start, next, records) in pending {
        next.await.map_err(Refusal::of)?;
        tally.acknowledge(&phases, start, records);
    }
    Ok(tally)
}

/// 1 MiB after the other, on one thread; a record in the tally is as many bytes as in the events.
///
/// # Errors
///
/// What the operating system says.
pub fn in_place(mut file: InPlace, events: &Events, timing: Timing) -> Answer<(Tally, Duration)> {
    let records = records_per_write(events.bytes);
    let mut bytes = Vec::with_capacity(BULK_BYTES);
    let mut walk = events.walk(0);
    for _ in 0..records {
        bytes.extend(walk.next_record().to_bytes()?);
        bytes.push(b'\n');
    }
    bytes.resize(BULK_BYTES, b' ');
    let (phases, mut tally) = (Phases::default(), Tally::new(1)?);
    thread::scope(|scope| {
        let writer = scope.spawn(|| {
            while phases.go_on() {
                let start = Instant::now();
                file.write(&bytes)?;
                tally.acknowledge(&phases, start, records as u64);
            }
            Ok(tally)
        });
        let window = phases.pass(timing);
        Ok((writer.join().map_err(|_| Refusal("the writer panicked".into()))??, window))
    })
}
