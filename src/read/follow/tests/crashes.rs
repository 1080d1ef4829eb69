//! Whatever was handed out to another process is there after any crash, under its number, and what follows it follows.

use std::{
    path::Path,
    sync::{Arc, Mutex},
};

use super::Eye;
use crate::{
    JournalOptions, MiniStore, MiniStoreError, Result,
    testkit::{DirectIo, SimDisk, sim::Rng},
};

const SEEDS: u64 = 150;

const PATH: &str = "/j";

/// Lives of one journal.
const LIVES: u64 = 4;

fn options(rng: &mut Rng) -> JournalOptions {
    JournalOptions::new()
        .max_segment_bytes(rng.pick(&[600, 3000, 1 << 20]))
        .preallocate(rng.chance(70))
        .direct_io(rng.chance(50))
}

/// Makes the disk as bad as it may be.
fn plan(disk: &SimDisk, rng: &mut Rng) {
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

/// Appends until something fails for good, or it is enough; every value but once.
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

/// One life of the journal, looked at between any two operations. Hands back what the first look said that failed while the
/// disk was still at work.
fn live(disk: &SimDisk, rng: &mut Rng, eye: &Arc<Mutex<Eye>>, next_value: &mut u64) -> Result<()> {
    plan(disk, rng);
    let watched = (Arc::clone(eye), disk.clone());
    // A panic on the writer's thread would only end the store.
    let failed = Arc::new(Mutex::new(Ok(())));
    let first = Arc::clone(&failed);
    disk.watch(Some(Box::new(move || {
        let looked = watched.0.lock().unwrap().poll_now();
        let failing = watched.1.is_stopped() || watched.1.faults() > 0;
        let mut first = first.lock().unwrap();
        if first.is_ok() && !failing {
            *first = looked;
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
    let (mut handed_out, mut crashes) = (0, 0);
    for seed in 0..SEEDS {
        let mut rng = Rng::new(seed);
        let disk = SimDisk::new(seed);
        let mut seen: Vec<(u64, u64)> = Vec::new();
        let mut next_value = 1;
        for life in 0..LIVES {
            let from_seq = seen.len() as u64 + 1;
            let eye = Arc::new(Mutex::new(Eye::new(disk.seen_from_now_on(), Path::new(PATH), from_seq)));
            live(&disk, &mut rng, &eye, &mut next_value).unwrap();
            crashes += u64::from(disk.is_stopped());
            disk.restart();
            disk.heal();
            seen.append(&mut eye.lock().unwrap().seen);
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
                found.starts_with(&seen),
                "seed {seed}, life {life}: {seen:?} was handed out of {found:?}"
            );
        }
        let mut eye = Eye::new(disk.seen_from_now_on(), Path::new(PATH), seen.len() as u64 + 1);
        eye.poll_now().unwrap();
        seen.append(&mut eye.seen);
        let found = disk.reader(PATH).records::<u64>().map(|record| record.unwrap().seq).collect::<Vec<_>>();
        assert_eq!(seen.iter().map(|(seq, _)| *seq).collect::<Vec<_>>(), found, "seed {seed}");
        handed_out += seen.len();
    }
    assert!(handed_out > 1000 && crashes > 40, "{handed_out} records, {crashes} crashes");
    eprintln!("*** {SEEDS} journals, {handed_out} records handed out, {crashes} crashes");
}

/// A writer's sync fails: what it wrote is still read, as whole as any, from the page cache alone. Whoever opens the file
/// after that is told nothing by a sync of its own.
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
        let mut eye = Eye::new(disk.seen_from_now_on(), Path::new(PATH), 1);
        eye.poll_now().unwrap();
        disk.restart();
        disk.open_blocking(JournalOptions::new(), PATH).unwrap().blocking().close().unwrap();
        let found: Vec<_> = disk.reader(PATH).records::<u64>().map(|record| record.unwrap().value).collect();
        assert!(
            found.starts_with(&eye.values()),
            "seed {seed}: {:?} was handed out of {found:?}",
            eye.values()
        );
    }
    assert!(read_before > 5, "{read_before} such groups were read by others: this test shows nothing");
}
