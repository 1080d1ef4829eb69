//! A kill or a power cut at every operation of a backup and of a restoration.

#![allow(clippy::unwrap_used, reason = "tests")]

use std::{io, path::PathBuf};

use super::*;
use crate::{JournalOptions, testkit::SimDisk};

const JOURNAL: &str = "/j.jsonl";
const COPY: &str = "/copy.jsonl";

/// Appends groups of three records, with a rotation after each but the last.
fn append(disk: &SimDisk, groups: u64) {
    let store = disk.open_blocking(JournalOptions::new(), JOURNAL).unwrap();
    for group in 1..=groups {
        store.blocking().append_batch(["a", "b", "c"]).unwrap();
        if group < groups {
            store.blocking().rotate().unwrap();
        }
    }
    store.blocking().hold("billing", 2).unwrap();
    store.blocking().close().unwrap();
}

fn transfer(disk: &SimDisk, sharing: Sharing, is_restore: bool) -> Result<BackupReport> {
    let fs: Arc<dyn FileSystem> = disk.file_system();
    let from = FileNames::resolve(&*fs, Path::new(JOURNAL))?;
    let to = FileNames::resolve(&*fs, Path::new(COPY))?;
    let source = SegmentSet::take(&*fs, &from)?;
    Transfer { fs, from, to, sharing, is_restore }.run(source)
}

/// Returns the records of the copy, which must be sound; 0 if there is none.
fn sound_records(disk: &SimDisk, what: &str) -> u64 {
    match disk.verify(COPY) {
        Err(MiniStoreError::Io { source }) if source.kind() == io::ErrorKind::NotFound => 0,
        found => {
            let found = found.unwrap();
            assert_eq!((found.faults, found.torn_tail), (Vec::new(), None), "{what}");
            found.records
        }
    }
}

fn assert_complete(disk: &SimDisk, records: u64, what: &str) {
    assert_eq!(sound_records(disk, what), records, "{what}");
    assert_eq!(disk.verify(COPY).unwrap().holds.get("billing"), Some(&2), "{what}");
    let files = disk.files();
    assert!(!files.iter().any(|path| path.to_string_lossy().contains("staged")), "{what}: {files:?}");
}

/// Stops the disk at each operation of a transfer, in both ways; `check` is called after the restart.
fn stop_at_each(prepared: &SimDisk, run: impl Fn(&SimDisk), check: impl Fn(&SimDisk, &str)) {
    for is_power_cut in [true, false] {
        for operation in 1.. {
            let disk = prepared.fork(operation);
            if is_power_cut {
                disk.power_cut_after(operation);
            } else {
                disk.kill_after(operation);
            }
            run(&disk);
            let is_last = !disk.is_stopped();
            disk.restart();
            check(&disk, &format!("operation {operation}, power cut: {is_power_cut}"));
            if is_last {
                assert!(operation > 10, "{operation}");
                break;
            }
        }
    }
}

#[test]
fn interrupted_first_backup_is_a_sound_journal() {
    for sharing in [Sharing::Inodes, Sharing::Nothing] {
        let disk = SimDisk::new(7);
        append(&disk, 4);
        stop_at_each(
            &disk,
            |disk| drop(transfer(disk, sharing, false)),
            |disk, what| {
                assert_eq!(sound_records(disk, what) % 3, 0, "{what}");
                transfer(disk, sharing, false).unwrap();
                assert_complete(disk, 12, what);
            },
        );
    }
}

#[test]
fn interrupted_later_backup_keeps_the_older_one() {
    for sharing in [Sharing::Inodes, Sharing::Nothing] {
        let disk = SimDisk::new(8);
        append(&disk, 2);
        transfer(&disk, sharing, false).unwrap();
        append(&disk, 3);
        stop_at_each(
            &disk,
            |disk| drop(transfer(disk, sharing, false)),
            |disk, what| {
                assert!((6..=15).contains(&sound_records(disk, what)), "{what}");
                transfer(disk, sharing, false).unwrap();
                assert_complete(disk, 15, what);
            },
        );
    }
}

#[test]
fn interrupted_restore_is_refused_until_complete() {
    let disk = SimDisk::new(9);
    append(&disk, 4);
    stop_at_each(
        &disk,
        |disk| drop(transfer(disk, Sharing::Blocks, true)),
        |disk, what| {
            let is_segment = |path: &PathBuf| {
                let text = path.to_string_lossy();
                text == COPY || text.starts_with("/copy.jsonl.0")
            };
            if disk.files().iter().any(is_segment) {
                let before = disk.files();
                let found = disk.verify(COPY).unwrap();
                if found.faults.is_empty() {
                    assert_eq!(found.records, 12, "{what}");
                    assert!(transfer(disk, Sharing::Blocks, true).is_err(), "{what}");
                    return;
                }
                disk.open_blocking(JournalOptions::new(), COPY).map(drop).unwrap_err();
                assert!(disk.reader(COPY).records::<String>().any(|record| record.is_err()), "{what}");
                assert_eq!(disk.files(), before, "{what}");
            }
            transfer(disk, Sharing::Blocks, true).unwrap();
            assert_complete(disk, 12, what);
        },
    );
}
