//! Every record that was yielded in another process exists after any crash, with the same sequence number, and the
//! records after it follow.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use super::PolledFollower;
use crate::{
    JournalOptions, MiniStore, MiniStoreError, Result,
    internals::Rng,
    testkit::{DirectIo, SimDisk},
};

const SEEDS: u64 = 150;

const PATH: &str = "/j";

/// The number of times that each journal is opened.
const RUNS: u64 = 4;

fn options(rng: &mut Rng) -> JournalOptions {
    JournalOptions::new()
        .max_segment_bytes(rng.pick(&[600, 3000, 1 << 20]))
        .preallocate(rng.chance(70))
        .direct_io(rng.chance(50))
}

/// Chooses faults for the disk at random.
fn plan_faults(disk: &SimDisk, rng: &mut Rng) {
    disk.split_writes(rng.range(1, 5));
    disk.direct_io(rng.pick(&[DirectIo::Works, DirectIo::RefusedAtOpen]));
    disk.delay_allocation(rng.chance(30));
    let operations = rng.range(1, 120);
    match rng.below(4) {
        0 => disk.power_cut_after(operations),
        1 => disk.kill_after(operations),
        2 => disk.fail_sync(rng.range(1, 20)),
        _ => {}
    }
    if rng.chance(40) {
        disk.set_space_limit(rng.range(0, 6000));
    }
}

/// Appends a random number of batches, each value once; stops at an error other than a full disk.
fn append(store: &MiniStore, disk: &SimDisk, rng: &mut Rng, next_value: &mut u64) {
    for _ in 0..rng.range(1, 40) {
        let count = if rng.chance(30) { rng.range(2, 6) } else { 1 };
        let values: Vec<_> = (*next_value..*next_value + count).collect();
        *next_value += count;
        match store.blocking().append_batch(&values) {
            Ok(_) => {}
            Err(MiniStoreError::StorageFull { .. }) if rng.chance(30) => disk.clear_space_limit(),
            Err(MiniStoreError::StorageFull { .. }) => {}
            Err(_) => return,
        }
        if rng.chance(5) {
            let _ = store.blocking().rotate();
        }
    }
}

/// Opens the journal and appends, while `follower` is polled between any two disk operations. Returns the first error
/// of a poll that no fault of the disk caused.
fn run_store(
    disk: &SimDisk,
    rng: &mut Rng,
    follower: &Arc<Mutex<PolledFollower>>,
    next_value: &mut u64,
) -> Result<()> {
    plan_faults(disk, rng);
    let polled = (Arc::clone(follower), disk.clone());
    // A panic on the writer thread would only poison the store, so errors are returned instead.
    let failed = Arc::new(Mutex::new(Ok(())));
    let first_error = Arc::clone(&failed);
    disk.watch(Some(Box::new(move || {
        let outcome = polled.0.lock().unwrap().poll_now();
        let failing = polled.1.is_stopped() || polled.1.faults() > 0;
        let mut first_error = first_error.lock().unwrap();
        if first_error.is_ok() && !failing {
            *first_error = outcome;
        }
    })));
    let opened = disk.open_blocking(options(rng), PATH);
    if let Ok(store) = &opened {
        append(store, disk, rng, next_value);
        if rng.chance(50) {
            let _ = store.blocking().close();
        }
    }
    drop(opened);
    disk.watch(None);
    std::mem::replace(&mut *failed.lock().unwrap(), Ok(()))
}

#[test]
fn followed_records_survive_any_crash() {
    let (mut records_yielded, mut crashes) = (0, 0);
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(seed);
        let mut yielded: Vec<(u64, u64)> = Vec::new();
        let mut next_value = 1;
        for run in 0..RUNS {
            let from_seq = yielded.len() as u64 + 1;
            let follower =
                Arc::new(Mutex::new(PolledFollower::new(disk.file_system(), Path::new(PATH), from_seq)));
            run_store(&disk, &mut rng, &follower, &mut next_value).unwrap();
            crashes += u64::from(disk.is_stopped());
            disk.restart();
            disk.heal();
            yielded.append(&mut follower.lock().unwrap().yielded);
            drop(
                disk.open_blocking(JournalOptions::new(), PATH)
                    .map(|store| store.blocking().close())
                    .unwrap(),
            );
            let found: Vec<_> = disk
                .reader(PATH)
                .records::<u64>()
                .map(|record| record.map(|record| (record.seq, record.value)).unwrap())
                .collect();
            assert!(
                found.starts_with(&yielded),
                "seed {seed}, run {run}: {yielded:?} was yielded, {found:?} exist"
            );
        }
        let mut follower = PolledFollower::new(disk.file_system(), Path::new(PATH), yielded.len() as u64 + 1);
        follower.poll_now().unwrap();
        yielded.append(&mut follower.yielded);
        let found = disk.reader(PATH).records::<u64>().map(|record| record.unwrap().seq).collect::<Vec<_>>();
        assert_eq!(yielded.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), found, "seed {seed}");
        records_yielded += yielded.len();
    }
    assert!(records_yielded > 1000 && crashes > 40, "{records_yielded} records, {crashes} crashes");
    eprintln!("*** {SEEDS} journals, {records_yielded} records yielded, {crashes} crashes");
}

/// A writer's sync fails. Readers still get the record, from the page cache only, and a sync through a file that was
/// opened later reports no error.
#[test]
fn records_only_in_page_cache_are_not_followed() {
    let mut read_before = 0;
    for seed in 0..40 {
        let disk = SimDisk::new(seed);
        disk.direct_io(DirectIo::RefusedAtOpen);
        let store = disk.open_blocking(JournalOptions::new(), PATH).unwrap();
        store.blocking().append(&1_u64).unwrap();
        disk.fail_sync(1);
        assert!(store.blocking().append(&2_u64).is_err());
        drop(store);
        read_before += disk
            .reader(PATH)
            .records::<u64>()
            .filter(|record| matches!(record, Ok(record) if record.value == 2))
            .count();
        let mut follower = PolledFollower::new(disk.file_system(), Path::new(PATH), 1);
        follower.poll_now().unwrap();
        disk.restart();
        disk.open_blocking(JournalOptions::new(), PATH).unwrap().blocking().close().unwrap();
        let found: Vec<_> = disk.reader(PATH).records::<u64>().map(|record| record.unwrap().value).collect();
        assert!(
            found.starts_with(&follower.values()),
            "seed {seed}: {:?} was yielded, {found:?} exist",
            follower.values()
        );
    }
    assert!(read_before > 5, "{read_before} groups were readable before the crash: this test shows nothing");
}
