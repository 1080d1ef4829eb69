//! Writes until it is killed, and tells what is acknowledged.

use std::{thread, time::Instant};

use ministore_crash::{
    child::tell,
    entry::{Entry, Mark},
    place::On,
    rounds::Writing,
};
use ministore_uring::{Append, JournalOptions, MiniStore, OpenReport, PendingAppend};

/// Appends of one thread in flight at a time, where it does not wait for each.
const IN_FLIGHT: usize = 6;

/// As [`Writing`] says.
pub(crate) fn run(args: &[&str]) {
    let writing = Writing::from_args(args);
    let store = &opened(writing.options(), args[1]);
    let round = writing.round;
    thread::scope(|scope| {
        scope.spawn(move || one_by_one(store, round, 0));
        scope.spawn(move || one_by_one(store, round, 1));
        scope.spawn(move || many_in_flight(store, round, 2));
    });
}

/// Opens the journal, recovering it, and closes it.
pub(crate) fn open_only(backend: &str, path: &str) {
    let backend: On = backend.parse().expect("a backend");
    let store = opened(JournalOptions::new().backend(backend.0), path);
    store.blocking().close().expect("it can be closed");
    tell("closed");
}

/// Tells before and after, so that whoever kills this process knows what it hit.
pub(super) fn opened(options: JournalOptions, path: &str) -> MiniStore {
    tell("opening");
    let begun = Instant::now();
    let store = options.open_blocking(path).unwrap_or_else(|error| panic!("cannot open: {error}"));
    let took = begun.elapsed();
    let OpenReport { next_seq, truncated, rotation_completed, .. } = store.open_report();
    let cut = truncated.as_ref().map_or(0, |cut| cut.bytes);
    tell(&format!("opened {} {next_seq} {cut} {rotation_completed}", took.as_micros()));
    store
}

fn first_mark(round: u32, writer: u32) -> Mark {
    Mark { round, writer, count: 0, place: 0 }
}

/// The records of the append that begins with this one.
fn append_of(first: Mark) -> Vec<Mark> {
    (0..first.of()).map(|place| Mark { place, ..first }).collect()
}

fn submit(store: &MiniStore, marks: &[Mark]) -> PendingAppend {
    let entries = marks.iter().map(|&mark| Entry::new(mark));
    match marks {
        [mark] => store.blocking().submit(&Entry::new(*mark)),
        _ => store.blocking().send(Append::batch(entries).expect("it can be serialized")),
    }
    .expect("it is accepted")
}

/// In one write, so that the line stands there whole for every record or for none.
fn acknowledge(first: u64, marks: &[Mark]) {
    for (seq, mark) in (first..).zip(marks) {
        let Mark { round, writer, count, place } = mark;
        tell(&format!("ack {seq} {round} {writer} {count} {place}"));
    }
}

pub(super) fn one_by_one(store: &MiniStore, round: u32, writer: u32) -> ! {
    let mut next = first_mark(round, writer);
    loop {
        let marks = append_of(next);
        let first = submit(store, &marks).wait().expect("it is made durable").seq;
        acknowledge(first, &marks);
        next.count += 1;
    }
}

pub(super) fn many_in_flight(store: &MiniStore, round: u32, writer: u32) -> ! {
    let mut next = first_mark(round, writer);
    loop {
        let mut in_flight = Vec::new();
        for _ in 0..IN_FLIGHT {
            let marks = append_of(next);
            in_flight.push((submit(store, &marks), marks));
            next.count += 1;
        }
        for (pending, marks) in in_flight {
            acknowledge(pending.wait().expect("it is made durable").seq, &marks);
        }
    }
}
