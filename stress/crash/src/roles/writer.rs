//! A process that appends until it is killed and reports each acknowledgement.

use std::{thread, time::Instant};

use ministore_crash::{
    child::report,
    record::{RecordId, TestRecord},
};
use ministore_uring::{Append, Backend, JournalOptions, MiniStore, OpenReport, PendingAppend};

/// Appends that one pipelined thread has in flight.
const IN_FLIGHT: usize = 6;

/// Appends from three threads.
pub(crate) fn run(path: &str, round: &str, options: &str) {
    let store = &open(serde_json::from_str(options).expect("options"), path);
    let round = round.parse().expect("a round");
    thread::scope(|scope| {
        scope.spawn(move || append_one_by_one(store, round, 0));
        scope.spawn(move || append_one_by_one(store, round, 1));
        scope.spawn(move || append_pipelined(store, round, 2));
    });
}

/// Opens the journal, which recovers it, and closes it.
pub(crate) fn open_only(backend: &str, path: &str) {
    let backend: Backend = backend.parse().expect("a backend");
    let store = open(JournalOptions::new().backend(backend), path);
    store.blocking().close().expect("it can be closed");
    report("closed");
}

/// Opens the journal and reports before and after, so that the parent process knows what a kill interrupted.
pub(super) fn open(options: JournalOptions, path: &str) -> MiniStore {
    report("opening");
    let started = Instant::now();
    let store = options.open_blocking(path).unwrap_or_else(|error| panic!("cannot open: {error}"));
    let took = started.elapsed();
    let OpenReport { next_seq, truncated, rotation_completed, .. } = store.open_report();
    let truncated_bytes = truncated.as_ref().map_or(0, |tail| tail.bytes);
    report(&format!("opened {} {next_seq} {truncated_bytes} {rotation_completed}", took.as_micros()));
    store
}

fn first_id(round: u32, writer: u32) -> RecordId {
    RecordId { round, writer, count: 0, index: 0 }
}

/// Returns the records of the append that begins with `first`.
fn append_ids(first: RecordId) -> Vec<RecordId> {
    (0..first.batch_len()).map(|index| RecordId { index, ..first }).collect()
}

fn submit(store: &MiniStore, ids: &[RecordId]) -> PendingAppend {
    let records = ids.iter().map(|&id| TestRecord::new(id));
    match ids {
        [id] => store.blocking().submit(&TestRecord::new(*id)),
        _ => store.blocking().send(Append::batch(records).expect("it can be serialized")),
    }
    .expect("it is accepted")
}

fn acknowledge(first_seq: u64, ids: &[RecordId]) {
    for (seq, id) in (first_seq..).zip(ids) {
        let RecordId { round, writer, count, index } = id;
        report(&format!("ack {seq} {round} {writer} {count} {index}"));
    }
}

/// Appends, waiting for each acknowledgement.
pub(super) fn append_one_by_one(store: &MiniStore, round: u32, writer: u32) -> ! {
    let mut next = first_id(round, writer);
    loop {
        let ids = append_ids(next);
        let first_seq = submit(store, &ids).wait().expect("it is made durable").seq;
        acknowledge(first_seq, &ids);
        next.count += 1;
    }
}

/// Appends with [`IN_FLIGHT`] appends in flight.
pub(super) fn append_pipelined(store: &MiniStore, round: u32, writer: u32) -> ! {
    let mut next = first_id(round, writer);
    loop {
        let mut in_flight = Vec::new();
        for _ in 0..IN_FLIGHT {
            let ids = append_ids(next);
            in_flight.push((submit(store, &ids), ids));
            next.count += 1;
        }
        for (pending, ids) in in_flight {
            acknowledge(pending.wait().expect("it is made durable").seq, &ids);
        }
    }
}
