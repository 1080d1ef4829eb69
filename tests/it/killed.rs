//! A writing process killed at random moments, over and over on one journal.

use std::{
    collections::{BTreeMap, HashMap},
    io::{BufRead, BufReader},
    thread,
};

use ministore_uring::{Backend, JournalOptions, MiniStore};

use crate::support::{
    Journal, SYNC_MODES, child, child_args, numbered, on_each_backend, original_replay, tell, told,
};

const ROUNDS: u32 = 25;
const WRITERS: u32 = 3;

/// Records of one batch.
const BATCH: u32 = 4;

/// Round, thread, count within them, place in a batch.
type Entry = (u32, u32, u32, u32);

/// What was acknowledged, by sequence number.
type Acknowledged = BTreeMap<u64, Entry>;

/// Small segments, so that every second kill hits a rotation.
fn open(backend: &str, path: &str, round: u32) -> MiniStore {
    let backend = if backend == "Uring" { Backend::Uring } else { Backend::Blocking };
    let mode = SYNC_MODES[round as usize % SYNC_MODES.len()];
    JournalOptions::new()
        .backend(backend)
        .sync_mode(mode)
        .max_segment_bytes(1000)
        .open_blocking(path)
        .unwrap()
}

/// Appends singly and in batches, tells what is acknowledged, until killed.
fn write_until_killed(backend: &str, path: &str, round: u32) {
    let store = &open(backend, path, round);
    thread::scope(|scope| {
        for writer in 0..WRITERS {
            scope.spawn(move || {
                for count in 0.. {
                    if count % 5 == 0 {
                        let batch = (0..BATCH).map(|place| (round, writer, count, place));
                        let numbers = store.blocking().append_batch(batch.clone()).unwrap();
                        for (seq, entry) in numbers.zip(batch) {
                            tell(&serde_json::to_string(&(seq, entry)).unwrap());
                        }
                    } else {
                        let entry = (round, writer, count, 0);
                        let seq = store.blocking().submit(&entry).unwrap().wait().unwrap();
                        tell(&serde_json::to_string(&(seq, entry)).unwrap());
                    }
                }
            });
        }
    });
}

/// Lets a child write until it has told `lines` records, kills it, and takes in what it told until then.
fn kill_after(
    journal: &Journal,
    backend: Backend,
    round: u32,
    lines: usize,
    acknowledged: &mut Acknowledged,
) {
    let args = [&format!("{backend:?}"), journal.path().to_str().unwrap(), &round.to_string()];
    let mut writer = child("killed::no_acknowledged_record_is_lost", &args).spawn().unwrap();
    let mut told_before_the_kill = 0;
    for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
        let line = line.unwrap();
        // The last line may be cut off.
        let Some((seq, entry)) = told(&line).and_then(|text| serde_json::from_str(text).ok()) else {
            continue;
        };
        assert_eq!(acknowledged.insert(seq, entry), None, "number {seq} was given twice");
        told_before_the_kill += 1;
        if told_before_the_kill == lines {
            writer.kill().unwrap();
        }
    }
    writer.wait().unwrap();
    assert!(told_before_the_kill >= lines, "round {round}: the child ended by itself");
}

/// All that was acknowledged is there under its number, nothing twice, and batches whole.
fn check(journal: &Journal, acknowledged: &Acknowledged) -> Vec<Entry> {
    let found = numbered::<Entry>(journal.path()).unwrap();
    assert!(found.iter().zip(1..).all(|((seq, _), n)| *seq == n), "numbers are consecutive");
    for (&seq, entry) in acknowledged {
        assert_eq!(found.get(seq as usize - 1), Some(&(seq, *entry)), "acknowledged");
    }
    let mut times = HashMap::new();
    for (_, (round, writer, count, place)) in &found {
        let batch: &mut Vec<_> = times.entry((round, writer, count)).or_default();
        batch.push(*place);
    }
    for ((round, writer, count), places) in times {
        let expected = if count % 5 == 0 { (0..BATCH).collect() } else { vec![0] };
        assert_eq!(places, expected, "round {round}, writer {writer}, count {count}");
    }
    found.into_iter().map(|(_, entry)| entry).collect()
}

#[test]
fn no_acknowledged_record_is_lost() {
    if let Some(args) = child_args() {
        return write_until_killed(&args[0], &args[1], args[2].parse().unwrap());
    }
    on_each_backend(|backend| {
        let journal = Journal::new();
        let mut acknowledged = Acknowledged::new();
        // Any sequence of counts will do: where a kill hits is random by itself.
        let mut random = 0x2545_f491_4f6c_dd1d_u64;
        for round in 0..ROUNDS {
            random ^= random << 13;
            random ^= random >> 7;
            random ^= random << 17;
            let lines = 1 + (random % 90) as usize;
            kill_after(&journal, backend, round, lines, &mut acknowledged);
            // Readers see everything before recovery, too.
            check(&journal, &acknowledged);
        }
        let store = JournalOptions::new().backend(backend).open_blocking(journal.path()).unwrap();
        store.blocking().close().unwrap();
        let found = check(&journal, &acknowledged);
        assert!(journal.names().len() > 5, "rotations were hit: {:?}", journal.names());
        assert_eq!(original_replay::<Entry>(journal.path()).unwrap(), found);
    });
}
