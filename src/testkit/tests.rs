//! Tests of the simulated disk against the behaviour of real ones, and of the engine on it for faults that real disks
//! show too rarely.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

mod recovery;
mod retention;
mod walmq;

use std::{
    collections::HashSet,
    path::Path,
    sync::{Arc, LazyLock},
};

use tracing::{Dispatch, Subscriber, subscriber::NoSubscriber};

use super::{content::FileContent, rng::Rng, *};
use crate::{
    SyncKind, SyncMode,
    io::{FileHandle, OpenMode},
};

const SEEDS: u64 = 300;
const DIR: &str = "/d";
const FILE: &str = "/d/f";

fn create(disk: &SimDisk, path: &str) -> Arc<dyn FileHandle> {
    disk.fs().open(Path::new(path), OpenMode::CreateNew).unwrap()
}

/// Returns the contents that the power cuts of many seeds leave of a file.
fn contents_after_power_cut(prepare: impl Fn(&SimDisk)) -> HashSet<Option<Vec<u8>>> {
    let one = |seed| {
        let disk = SimDisk::new(seed);
        prepare(&disk);
        disk.restart();
        disk.read(FILE).ok()
    };
    (0..SEEDS).map(one).collect()
}

#[test]
fn synced_and_linked_data_survives_power_cuts() {
    let left = contents_after_power_cut(|disk| {
        let file = create(disk, FILE);
        file.write_at(&[1; 3000], 0).unwrap();
        file.sync().unwrap();
        disk.fs().sync_dir(Path::new(DIR)).unwrap();
    });
    assert_eq!(left, HashSet::from([Some(vec![1; 3000])]));
}

#[test]
fn file_sync_does_not_make_the_name_durable() {
    let left = contents_after_power_cut(|disk| {
        let file = create(disk, FILE);
        file.write_at(&[1; 10], 0).unwrap();
        file.sync().unwrap();
    });
    assert_eq!(left, HashSet::from([None, Some(vec![1; 10])]));
}

#[test]
fn power_cut_keeps_any_subset_of_unsynced_sectors() {
    let left = contents_after_power_cut(|disk| {
        let file = create(disk, FILE);
        file.write_at(&[1; 2048], 0).unwrap();
        file.sync().unwrap();
        disk.fs().sync_dir(Path::new(DIR)).unwrap();
        file.write_at(&[2; 2048], 0).unwrap();
    });
    let mut kept = HashSet::new();
    for bytes in left.into_iter().map(Option::unwrap) {
        assert_eq!(bytes.len(), 2048);
        assert!(bytes.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        kept.insert(bytes.chunks(512).map(|sector| sector[0] == 2).collect::<Vec<_>>());
    }
    assert_eq!(kept.len(), 16, "every subset of four sectors");
}

#[test]
fn truncated_bytes_return_only_if_truncate_lost() {
    let left = contents_after_power_cut(|disk| {
        let file = create(disk, FILE);
        file.write_at(&[1; 600], 0).unwrap();
        file.sync().unwrap();
        disk.fs().sync_dir(Path::new(DIR)).unwrap();
        file.set_len(100).unwrap();
        file.write_at(&[2; 500], 500).unwrap();
    });
    for bytes in left.iter().flatten() {
        let resurrected = bytes[100.min(bytes.len())..].contains(&1);
        // If the truncation was lost, the file still has its old size.
        assert!(!resurrected || bytes.len() == 600, "{} bytes", bytes.len());
        assert!(matches!(bytes.len(), 100 | 600 | 1000), "{} bytes", bytes.len());
    }
    assert!(left.len() > 4);
}

#[test]
fn direct_write_leaves_pending_data_pending() {
    for seed in 0..SEEDS {
        let mut content = FileContent::default();
        content.write(0, &[1; 8192]);
        content.write_through(4096, &[2; 4096]);
        content.power_cut(&mut Rng::new(seed));
        assert_eq!(content.len(), 8192);
        assert_eq!(content.cached()[4096..], [2; 4096]);
        assert!(content.cached()[..4096].iter().all(|byte| matches!(byte, 0 | 1)));
    }
}

#[test]
fn failed_sync_drops_pages_and_the_next_succeeds() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = create(&disk, FILE);
        disk.fs().sync_dir(Path::new(DIR)).unwrap();
        file.write_at(&[1; 512], 0).unwrap();
        disk.fail_sync(1);
        file.sync().unwrap_err();
        file.sync().unwrap();
        disk.restart();
        lost += u64::from(disk.read(FILE).unwrap() != [1; 512]);
    }
    assert!(lost > 0 && lost < SEEDS, "{lost}");
}

#[test]
fn failed_sync_is_reported_to_every_open_handle() {
    let disk = SimDisk::new(1);
    let first = create(&disk, FILE);
    let second = disk.fs().open(Path::new(FILE), OpenMode::ReadWrite).unwrap();
    first.write_at(&[1; 10], 0).unwrap();
    disk.fail_sync(1);
    first.sync().unwrap_err();
    first.sync().unwrap();
    second.sync().unwrap_err();
    second.sync().unwrap();
}

#[test]
fn names_are_lost_in_the_configured_order() {
    for how in [DirEntriesAfterCrash::Ordered, DirEntriesAfterCrash::Any] {
        let mut outcomes = HashSet::new();
        for seed in 0..SEEDS {
            let disk = SimDisk::new(seed);
            disk.dir_entries_after_crash(how);
            for path in ["/d/a", "/d/b"] {
                create(&disk, path);
            }
            disk.restart();
            outcomes.insert(disk.files().len() * 10 + usize::from(disk.read("/d/b").is_ok()));
        }
        // Neither, the first, both; and the second alone only without an order.
        let second_alone = outcomes.contains(&11);
        assert_eq!(
            (second_alone, outcomes.len()),
            if how == DirEntriesAfterCrash::Any { (true, 4) } else { (false, 3) }
        );
    }
}

#[test]
fn kill_keeps_the_page_cache_without_durability() {
    let mut lost = 0;
    for seed in 0..SEEDS {
        let disk = SimDisk::new(seed);
        let file = create(&disk, FILE);
        file.write_at(&[1; 10], 0).unwrap();
        disk.kill_after(1);
        file.set_len(0).unwrap_err();
        disk.restart();
        file.sync().expect_err("files that the dead process had open fail");
        assert!(disk.read(FILE).is_ok());
        disk.restart();
        lost += u64::from(disk.read(FILE).is_err());
    }
    assert!(lost > 0 && lost < SEEDS, "{lost}");
}

#[test]
fn full_disk_accepts_what_fits() {
    let disk = SimDisk::new(1);
    let file = create(&disk, FILE);
    disk.set_space_limit(700);
    file.write_at(&[1; 1000], 0).unwrap_err();
    assert_eq!(file.len().unwrap(), 700);
    file.set_len(100).unwrap();
    file.write_at(&[2; 600], 100).unwrap();
    disk.clear_space_limit();
    file.write_at(&[3; 1000], 700).unwrap();
}

#[test]
fn awaited_appends_make_the_same_operations() {
    let operations = || {
        let disk = SimDisk::new(7);
        let store = disk.open_blocking(JournalOptions::new().max_segment_bytes(300), "j").unwrap();
        (0..40).for_each(|number| store.blocking().append(&number).unwrap());
        store.blocking().close().unwrap();
        disk.operations()
    };
    assert_eq!(operations(), operations());
}

/// Every sync mode and every kind of write, on a file system that honours `O_DSYNC` and on one that does not.
#[test]
fn append_is_acknowledged_after_a_completed_sync() {
    for honors in [true, false] {
        for mode in [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync] {
            for (direct, preallocate) in [(true, true), (false, true), (false, false)] {
                let context = format!("honours O_DSYNC: {honors}, {mode}, direct: {direct}, {preallocate}");
                let disk = SimDisk::new(1);
                disk.honor_dsync(honors);
                let options =
                    JournalOptions::new().sync_mode(mode).direct_io(direct).preallocate(preallocate);
                let store = disk.open_blocking(options.max_segment_bytes(400), "j").unwrap();
                for number in 0..30u32 {
                    let before = disk.completed_syncs();
                    store.blocking().append(&number).unwrap();
                    assert!(
                        disk.completed_syncs() > before,
                        "{context}: {number} was acknowledged without a sync"
                    );
                }
                let is_dsync =
                    honors && (mode == SyncMode::Dsync || mode == SyncMode::Auto && direct && preallocate);
                let kind = if is_dsync { SyncKind::Dsync } else { SyncKind::Fdatasync };
                assert_eq!(store.stats().sync_mode, kind, "{context}");
                assert_eq!(store.stats().direct_io, honors && direct && preallocate, "{context}");
                disk.restart();
                let store = disk.open_blocking(JournalOptions::new(), "j").unwrap();
                assert_eq!(disk.reader("j").records::<u32>().map(Result::unwrap).count(), 30, "{context}");
                drop(store);
            }
        }
    }
}

/// Runs `f` with `subscriber` as the default of this thread.
///
/// While there is only one dispatcher, `tracing-core` enables a callsite by the default subscriber of the thread that
/// first reaches it, so another test without a subscriber would disable the callsite. With a second dispatcher it asks
/// all of them.
pub(crate) fn with_subscriber<T>(
    subscriber: impl Subscriber + Send + Sync + 'static,
    f: impl FnOnce() -> T,
) -> T {
    static SECOND: LazyLock<Dispatch> = LazyLock::new(|| Dispatch::new(NoSubscriber::new()));
    LazyLock::force(&SECOND);
    tracing::subscriber::with_default(subscriber, f)
}
