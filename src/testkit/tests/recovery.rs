//! Bugs of the engine that the simulation found, one test each.

use super::*;
use crate::{
    RecoveryPolicy,
    internals::{BackgroundPace, StepOutcome},
};

#[test]
fn power_cut_in_recovery_after_kill_loses_nothing() {
    for seed in 0..1600 {
        let disk = SimDisk::new(seed);
        let options = JournalOptions::new().direct_io(false).preallocate(false).max_segment_bytes(100);
        let store = disk.open_blocking(options.clone(), "j").unwrap();
        disk.kill_after(1 + seed % 40);
        let mut acknowledged = 0;
        while store.blocking().append(&"a".repeat(40)).is_ok() {
            acknowledged += 1;
        }
        disk.restart();
        disk.power_cut_after(1 + seed / 40 % 10);
        let _ = disk.open_blocking(options.clone(), "j");
        disk.restart();
        let _store = disk.open_blocking(options, "j").unwrap_or_else(|error| panic!("seed {seed}: {error}"));
        assert!(
            disk.reader("j").records::<String>().map(Result::unwrap).count() >= acknowledged,
            "seed {seed}"
        );
    }
}

#[test]
fn segments_are_deleted_in_order_at_any_power_cut() {
    for seed in 0..60 {
        let disk = SimDisk::new(seed);
        let many = JournalOptions::new().max_segment_bytes(100);
        let store = disk.open_blocking(many.clone(), "j").unwrap();
        (0..30).for_each(|number| store.blocking().append(&(number, "a".repeat(60))).unwrap());
        store.blocking().close().unwrap();
        let store = disk.open_blocking(many.max_segments(2), "j").unwrap();
        disk.power_cut_after(20 + seed % 40);
        while store.blocking().append(&(99, "a".repeat(60))).is_ok() {}
        disk.restart();
        let _store = disk.open_blocking(JournalOptions::new(), "j").unwrap();
        let found: Vec<_> = disk.reader("j").records::<(u64, String)>().map(Result::unwrap).collect();
        assert!(found.windows(2).all(|pair| pair[0].seq + 1 == pair[1].seq), "seed {seed}");
    }
}

#[test]
fn interrupted_close_is_not_damage() {
    for seed in 0..200 {
        let disk = SimDisk::new(seed);
        let store = disk.open_blocking(JournalOptions::new(), "j").unwrap();
        store.blocking().append(&1).unwrap();
        disk.power_cut_after(1 + seed % 4);
        let _ = store.blocking().close();
        disk.restart();
        let found: Vec<_> = disk.reader("j").records::<u64>().map(|record| record.unwrap().value).collect();
        assert_eq!(found, [1], "seed {seed}");
        disk.open_blocking(JournalOptions::new(), "j").unwrap();
    }
}

#[test]
fn direct_write_refused_in_rotation_is_buffered() {
    for steps in 0..30 {
        let disk = SimDisk::in_lock_step(steps);
        disk.direct_io(DirectIo::RefusedAtWrite);
        disk.background_pace(BackgroundPace::Starved);
        let path = Path::new("/d/j");
        let (store, mut writer) = disk.open_stepped(JournalOptions::new(), path).unwrap();
        let first = pollster::block_on(store.submit(&"a".repeat(200))).unwrap();
        while disk.advance_background() || writer.step(true) == StepOutcome::Busy {}
        first.wait().unwrap();
        drop(store);
        while writer.step(true) != StepOutcome::Ended {}

        // A rotation is due at once, and has made this many steps when the first commit is made.
        let options = JournalOptions::new().max_segment_bytes(300);
        let (store, mut writer) = disk.open_stepped(options, path).unwrap();
        for _ in 0..steps {
            disk.advance_background();
            if disk.files().contains(&"/d/j.001".into()) {
                break;
            }
            writer.step(true);
        }
        let second = pollster::block_on(store.submit(&2)).unwrap();
        while writer.step(false) == StepOutcome::Busy || disk.advance_background() {}
        assert_eq!(second.wait().unwrap().seq, 2, "{steps} background operations");
    }
}

#[test]
fn vanished_legacy_records_are_not_built_on() {
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let options = JournalOptions::new().checksums(false).recovery(RecoveryPolicy::TruncateAtFirstError);
        let store = disk.open_blocking(options.clone(), "j").unwrap();
        store.blocking().append(&"synced").unwrap();
        disk.fail_sync(1);
        store.blocking().append(&"a".repeat(3000)).unwrap_err();
        drop(store);

        let store = disk.open_blocking(options, "j").unwrap();
        store.blocking().append(&"after it").unwrap();
        store.blocking().close().unwrap();
        let found: Vec<_> =
            disk.reader("j").records::<String>().map(|record| record.map(|found| found.value)).collect();
        let texts: Vec<_> =
            found.iter().flatten().map(String::as_str).filter(|text| text.len() < 3000).collect();
        assert!(found.iter().all(Result::is_ok) && texts == ["synced", "after it"], "seed {seed}: {found:?}");
    }
}

#[test]
fn close_marker_lost_by_failed_sync_is_restored() {
    for seed in 0..300 {
        let disk = SimDisk::new(seed);
        let options = JournalOptions::new().direct_io(false).preallocate(seed % 2 == 0);
        let store = disk.open_blocking(options.clone(), "j").unwrap();
        store.blocking().append(&1).unwrap();
        disk.fail_sync(1 + seed % 12);
        let _ = store.blocking().rotate();
        drop(store);
        disk.heal();

        let store = disk.open_blocking(options, "j").unwrap();
        store.blocking().append(&2).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&3).unwrap();
        store.blocking().close().unwrap();
        disk.forget_dropped();
        let verified = disk.verify("j").unwrap();
        assert!(verified.faults.is_empty(), "seed {seed}: {:?}", verified.faults);
        let found: Vec<u64> = disk.reader("j").records().map(|record| record.unwrap().value).collect();
        assert_eq!(found, [1, 2, 3], "seed {seed}");
    }
}

#[test]
fn full_disk_at_close_leaves_no_damage() {
    let mut refused = 0;
    for space in 0..120 {
        let disk = SimDisk::new(space);
        let options = JournalOptions::new().preallocate(false).direct_io(false);
        let store = disk.open_blocking(options.clone(), "j").unwrap();
        store.blocking().append(&1).unwrap();
        disk.set_space_limit(space);
        let _ = store.blocking().rotate();
        let closed = store.blocking().close();
        assert!(matches!(closed, Ok(()) | Err(MiniStoreError::StorageFull { .. })), "{closed:?}");
        refused += usize::from(closed.is_err());
        assert!(disk.verify("j").unwrap().faults.is_empty(), "space for {space} bytes: {closed:?}");
        disk.clear_space_limit();
        let store = disk.open_blocking(options, "j").unwrap();
        store.blocking().append(&2).unwrap();
        store.blocking().close().unwrap();
        assert!(disk.verify("j").unwrap().faults.is_empty(), "space for {space} bytes");
        let found: Vec<u64> = disk.reader("j").records().map(|record| record.unwrap().value).collect();
        assert_eq!(found, [1, 2], "space for {space} bytes");
    }
    assert!(refused > 0, "the disk was never too full to close a segment");
}

#[test]
fn seqs_continue_after_segment_creation_enospc() {
    for space in 0..80 {
        let disk = SimDisk::new(space);
        let options = JournalOptions::new().max_segments(1).preallocate(false);
        let store = disk.open_blocking(options.clone(), "j").unwrap();
        (0..5).for_each(|number| store.blocking().append(&number).unwrap());
        disk.set_space_limit(space);
        let _ = store.blocking().rotate();
        let _ = store.blocking().close();
        disk.clear_space_limit();
        let store = disk.open_blocking(options, "j").unwrap();
        assert_eq!(store.open_report().next_seq, 6, "space for {space} bytes");
    }
}
