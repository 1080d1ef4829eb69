//! What survives a power cut, and what does not.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsStr;

use super::{Disk, Keep, Names, ROOT};
use crate::faults::random::Random;

fn after(disk: &Disk, keep: Keep) -> Disk {
    disk.cut(keep, &mut Random::new(1))
}

fn written() -> (Disk, u64) {
    let mut disk = Disk::default();
    let file = disk.make(ROOT, OsStr::new("a"), false);
    disk.write(file, 0, &[1; 2000]);
    (disk, file)
}

#[test]
fn what_was_not_synced_may_be_gone_or_there() {
    let (disk, _) = written();
    assert_eq!(after(&disk, Keep::Nothing).lookup(ROOT, OsStr::new("a")), None);
    let all = after(&disk, Keep::All);
    let file = all.lookup(ROOT, OsStr::new("a")).unwrap();
    assert_eq!(all.read(file, 0, 4096).unwrap(), [1; 2000]);
}

#[test]
fn a_name_needs_its_directory_synced_or_its_file_as_chosen() {
    let (mut disk, file) = written();
    let mut other = disk.clone();
    disk.sync(file, Names::WithTheDirectory);
    assert_eq!(after(&disk, Keep::Nothing).lookup(ROOT, OsStr::new("a")), None);
    disk.sync_directory(ROOT);
    assert_eq!(after(&disk, Keep::Nothing).read(file, 0, 4096).unwrap(), [1; 2000]);
    other.sync(file, Names::WithTheFile);
    assert_eq!(after(&other, Keep::Nothing).lookup(ROOT, OsStr::new("a")), Some(file));
}

#[test]
fn what_a_failed_sync_dropped_is_seen_and_never_written() {
    let (mut disk, file) = written();
    disk.sync_directory(ROOT);
    disk.fail_sync(file);
    disk.sync(file, Names::WithTheFile);
    assert_eq!(disk.read(file, 0, 10).unwrap(), [1; 10]);
    assert_eq!(after(&disk, Keep::All).read(file, 0, 10).unwrap(), [0; 10]);
}

#[test]
fn sectors_tear_and_synced_ones_do_not() {
    let (mut disk, file) = written();
    disk.sync_directory(ROOT);
    disk.sync(file, Names::WithTheFile);
    disk.write(file, 0, &[2; 2000]);
    let mut random = Random::new(7);
    let mut torn = 0;
    for _ in 0..50 {
        let data = disk.cut(Keep::Any, &mut random).read(file, 0, 2000).unwrap();
        assert!(data.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        torn += u32::from(data.contains(&1) && data.contains(&2));
    }
    assert!(torn > 10, "{torn}");
    assert_eq!(after(&disk, Keep::Nothing).read(file, 0, 2000).unwrap(), [1; 2000]);
}

#[test]
fn a_rename_is_whole_and_a_truncation_volatile() {
    let (mut disk, file) = written();
    disk.sync(file, Names::WithTheFile);
    assert!(disk.rename((ROOT, OsStr::new("a")), (ROOT, OsStr::new("b"))));
    disk.resize(file, 100);
    let before = after(&disk, Keep::Nothing);
    assert_eq!(before.lookup(ROOT, OsStr::new("a")), Some(file));
    assert_eq!(before.read(file, 0, 4096).unwrap(), [1; 2000]);
    let moved = after(&disk, Keep::All);
    assert_eq!(
        (moved.lookup(ROOT, OsStr::new("a")), moved.lookup(ROOT, OsStr::new("b"))),
        (None, Some(file))
    );
    assert_eq!(moved.read(file, 0, 4096).unwrap(), [1; 100]);
}
