//! A directory with many other files: a listing takes longer than a rotation.

use std::{
    fs::File,
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ministore_uring::{MiniStore, Reader, maintenance::verify};

use crate::support::{TempJournal, block_on, for_each_backend};

/// The number of other files.
const OTHER_FILES: usize = 30_000;

/// The number of reads of each kind while the journal is rotated.
const READS: usize = 7;

fn crowd(journal: &TempJournal) {
    for number in 0..OTHER_FILES {
        File::create(journal.dir().join(format!("other-{number}"))).unwrap();
    }
}

/// Stops the rotating thread when it is dropped, also by a failed assertion.
struct StopRotation<'a>(&'a AtomicBool);

impl Drop for StopRotation<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Relaxed);
    }
}

/// Appends and rotates until `stop` is set.
fn rotate_until(store: &MiniStore, stop: &AtomicBool) {
    let mut next = 0_u64;
    while !stop.load(Ordering::Relaxed) {
        next += 1;
        store.blocking().append(&next).unwrap();
        store.blocking().rotate().unwrap();
    }
}

#[test]
fn reads_during_rotation_find_every_record() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        crowd(&journal);
        let store = options.preallocate(false).open_blocking(journal.path()).unwrap();
        store.blocking().append(&0_u64).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| rotate_until(&store, &stop));
            let _stop = StopRotation(&stop);
            let reader = Reader::open(journal.path()).unwrap();
            for _ in 0..READS {
                let durable_seq = store.durable_seq();
                let seqs: Vec<u64> = reader
                    .records::<u64>()
                    .map(|record| record.map(|record| record.seq))
                    .collect::<Result<_, _>>()
                    .unwrap();
                assert!(seqs.len() as u64 >= durable_seq, "{} of {durable_seq}", seqs.len());
                assert!(seqs.iter().copied().eq(1..=seqs.len() as u64), "{seqs:?}");

                let durable_seq = store.durable_seq();
                let replayed = block_on(MiniStore::replay::<u64, _>(journal.path())).unwrap();
                assert!(replayed.len() as u64 >= durable_seq);

                let durable_seq = store.durable_seq();
                assert_eq!(
                    reader.get::<u64>(durable_seq).unwrap().map(|record| record.seq),
                    Some(durable_seq)
                );

                let durable_seq = store.durable_seq();
                let report = verify(journal.path()).unwrap();
                assert_eq!(report.faults, []);
                assert!(report.records >= durable_seq);
            }
        });
        store.blocking().close().unwrap();
    });
}

#[test]
fn followers_keep_up_with_rotation() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        crowd(&journal);
        let store = options.preallocate(false).open_blocking(journal.path()).unwrap();
        let stop = AtomicBool::new(false);
        thread::scope(|scope| {
            scope.spawn(|| rotate_until(&store, &stop));
            let _stop = StopRotation(&stop);
            let follower = Reader::open(journal.path()).unwrap().follow::<u64>(1).unwrap();
            for (expected, record) in (1..=50).zip(follower) {
                assert_eq!(record.unwrap().seq, expected);
            }
        });
        store.blocking().close().unwrap();
    });
}
