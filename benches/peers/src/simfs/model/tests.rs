//! Which data survives a power cut.
#![allow(clippy::unwrap_used, reason = "tests")]

use std::ffi::OsStr;

use super::{KeepPolicy, NameDurability, ROOT, SimDisk};
use crate::faults::random::Random;

fn after(disk: &SimDisk, keep: KeepPolicy) -> SimDisk {
    disk.power_cut(keep, &mut Random::new(1))
}

fn written() -> (SimDisk, u64) {
    let mut disk = SimDisk::default();
    let file = disk.create(ROOT, OsStr::new("a"), false);
    disk.write(file, 0, &[1; 2000]);
    (disk, file)
}

#[test]
fn unsynced_data_may_be_lost_or_kept() {
    let (disk, _) = written();
    assert_eq!(after(&disk, KeepPolicy::Nothing).lookup(ROOT, OsStr::new("a")), None);
    let all = after(&disk, KeepPolicy::All);
    let file = all.lookup(ROOT, OsStr::new("a")).unwrap();
    assert_eq!(all.read(file, 0, 4096).unwrap(), [1; 2000]);
}

#[test]
fn name_is_durable_after_configured_sync() {
    let (mut disk, file) = written();
    let mut other = disk.clone();
    disk.sync(file, NameDurability::WithDirectory);
    assert_eq!(after(&disk, KeepPolicy::Nothing).lookup(ROOT, OsStr::new("a")), None);
    disk.sync_directory(ROOT);
    assert_eq!(after(&disk, KeepPolicy::Nothing).read(file, 0, 4096).unwrap(), [1; 2000]);
    other.sync(file, NameDurability::WithFile);
    assert_eq!(after(&other, KeepPolicy::Nothing).lookup(ROOT, OsStr::new("a")), Some(file));
}

#[test]
fn data_of_failed_sync_is_readable_but_not_durable() {
    let (mut disk, file) = written();
    disk.sync_directory(ROOT);
    disk.fail_sync(file);
    disk.sync(file, NameDurability::WithFile);
    assert_eq!(disk.read(file, 0, 10).unwrap(), [1; 10]);
    assert_eq!(after(&disk, KeepPolicy::All).read(file, 0, 10).unwrap(), [0; 10]);
}

#[test]
fn sectors_tear_and_synced_ones_do_not() {
    let (mut disk, file) = written();
    disk.sync_directory(ROOT);
    disk.sync(file, NameDurability::WithFile);
    disk.write(file, 0, &[2; 2000]);
    let mut random = Random::new(7);
    let mut torn = 0;
    for _ in 0..50 {
        let data = disk.power_cut(KeepPolicy::Any, &mut random).read(file, 0, 2000).unwrap();
        assert!(data.chunks(512).all(|sector| sector.iter().all(|byte| *byte == sector[0])));
        torn += u32::from(data.contains(&1) && data.contains(&2));
    }
    assert!(torn > 10, "{torn}");
    assert_eq!(after(&disk, KeepPolicy::Nothing).read(file, 0, 2000).unwrap(), [1; 2000]);
}

#[test]
fn rename_is_atomic_and_truncation_is_volatile() {
    let (mut disk, file) = written();
    disk.sync(file, NameDurability::WithFile);
    assert!(disk.rename((ROOT, OsStr::new("a")), (ROOT, OsStr::new("b"))));
    disk.resize(file, 100);
    let before = after(&disk, KeepPolicy::Nothing);
    assert_eq!(before.lookup(ROOT, OsStr::new("a")), Some(file));
    assert_eq!(before.read(file, 0, 4096).unwrap(), [1; 2000]);
    let moved = after(&disk, KeepPolicy::All);
    assert_eq!(
        (moved.lookup(ROOT, OsStr::new("a")), moved.lookup(ROOT, OsStr::new("b"))),
        (None, Some(file))
    );
    assert_eq!(moved.read(file, 0, 4096).unwrap(), [1; 100]);
}
