//! Writers of one journal that are killed at random moments.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader},
    thread,
};

use fastrand::Rng;
use ministore_uring::{Backend, Header, JournalOptions, MiniStore};

use crate::support::{
    TempJournal, child, child_args, legacy_replay, numbered, on_each_backend, report, reported, sync_modes,
};

const ROUNDS: u32 = 25;
const WRITERS: u32 = 3;

/// The number of records per batch.
const BATCH: u32 = 4;

/// Round, thread, count within them, index in the batch.
type KilledRecord = (u32, u32, u32, u32);

/// The acknowledged records, by sequence number.
type Acknowledged = BTreeMap<u64, KilledRecord>;

/// Returns the header of the segments: each kind on one of the backends.
fn header_on(backend: Backend) -> Header {
    if backend == Backend::Blocking { Header::Json } else { Header::Comment }
}

/// Opens with small segments, so that every second kill hits a rotation.
fn open(backend: &str, path: &str, round: u32) -> MiniStore {
    let backend: Backend = backend.parse().unwrap();
    let modes = sync_modes(backend);
    JournalOptions::new()
        .backend(backend)
        .sync_mode(modes[round as usize % modes.len()])
        .header(header_on(backend))
        .max_segment_bytes(1000)
        .open_blocking(path)
        .unwrap()
}

/// Appends records and batches and reports the acknowledged ones, until killed.
fn write_until_killed(backend: &str, path: &str, round: u32) {
    let store = &open(backend, path, round);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for count in 0.. {
                    if count % 5 == 0 {
                        let batch = (0..BATCH).map(|index| (round, writer, count, index));
                        let numbers = store.blocking().append_batch(batch.clone()).unwrap();
                        for (seq, record) in numbers.zip(batch) {
                            report(&serde_json::to_string(&(seq, record)).unwrap());
                        }
                    } else {
                        let record = (round, writer, count, 0);
                        let seq = store.blocking().submit(&record).unwrap().wait().unwrap();
                        report(&serde_json::to_string(&(seq, record)).unwrap());
                    }
                }
            });
        }
    });
}

/// Runs a writer until it has reported `lines` records, kills it, and collects what it reported.
fn kill_after(
    journal: &TempJournal,
    backend: Backend,
    round: u32,
    lines: usize,
    acknowledged: &mut Acknowledged,
) {
    let args = [&backend.to_string(), journal.path().to_str().unwrap(), &round.to_string()];
    let mut writer = child("killed::kill_loses_no_acknowledged_record", &args).spawn().unwrap();
    let mut reported_records = 0;
    for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The last line may be incomplete.
        let Some((seq, record)) = reported(&line).and_then(|text| serde_json::from_str(text).ok()) else {
            continue;
        };
        assert_eq!(acknowledged.insert(seq, record), None, "number {seq} was given twice");
        reported_records += 1;
        if reported_records == lines {
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    assert!(reported_records >= lines, "round {round}: the child ended by itself");
}

/// Checks that every acknowledged record exists under its number, no record twice, and batches as a whole.
fn check(journal: &TempJournal, acknowledged: &Acknowledged) -> Vec<KilledRecord> {
    let found = numbered::<KilledRecord>(journal.path()).unwrap();
    assert!(found.iter().zip(1..).all(|((seq, _), n)| *seq == n), "numbers are consecutive");
    for (&seq, record) in acknowledged {
        assert_eq!(found.get(seq as usize - 1), Some(&(seq, *record)), "acknowledged");
    }
    let mut times = HashMap::new();
    for (_, (round, writer, count, index)) in &found {
        let batch: &mut Vec<_> = times.entry((round, writer, count)).or_default();
        batch.push(*index);
    }
    for ((round, writer, count), indexes) in times {
        let expected = if count % 5 == 0 { (0..BATCH).collect() } else { vec![0] };
        assert_eq!(indexes, expected, "round {round}, writer {writer}, count {count}");
    }
    found.into_iter().map(|(_, record)| record).collect()
}

#[test]
fn kill_loses_no_acknowledged_record() {
    if let Some(args) = child_args() {
        return write_until_killed(&args[0], &args[1], args[2].parse().unwrap());
    }
    on_each_backend(|backend| {
        let journal = TempJournal::new();
        let mut acknowledged = Acknowledged::new();
        // A fixed sequence of counts: the moment of a kill is random anyway.
        let mut random = Rng::with_seed(1);
        for round in 0..ROUNDS {
            kill_after(&journal, backend, round, random.usize(1..=90), &mut acknowledged);
            // Readers see everything before recovery too.
            check(&journal, &acknowledged);
        }
        let store = JournalOptions::new().backend(backend).open_blocking(journal.path()).unwrap();
        store.blocking().close().unwrap();
        let found = check(&journal, &acknowledged);
        assert!(journal.names().len() > 5, "rotations were hit: {:?}", journal.names());
        if header_on(backend) == Header::Comment {
            assert_eq!(legacy_replay::<KilledRecord>(journal.path()).unwrap(), found);
        }
    });
}
