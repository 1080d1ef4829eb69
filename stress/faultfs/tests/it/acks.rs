//! No append is acknowledged before a completed sync that covers it, for every backend, sync mode and kind of mount:
//! the file system counts its syncs, and a power cut after each acknowledgement finds the record.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    fs,
    path::{Path, PathBuf},
};

use ministore_faultfs::{MountOptions, Op};
use ministore_uring::{JournalOptions, SyncMode};

use crate::{
    loop_disk::{KINDS, LoopDisk},
    rig::{Lane, Rig, backends, finish, fuse_works, say},
};

const APPENDS: u64 = 20;

/// Small, so that rotations are among the appends.
const SEGMENT_BYTES: u64 = 600;

/// What libfuse asks of the kernel by default, what its option `direct_io` adds, and neither.
const MOUNTS: [(&str, MountOptions); 3] = [
    ("no asynchronous direct I/O", mount(false, false)),
    ("asynchronous direct I/O", mount(true, false)),
    ("asynchronous direct I/O, FOPEN_DIRECT_IO", mount(true, true)),
];

const fn mount(async_direct_io: bool, open_direct_io: bool) -> MountOptions {
    MountOptions { async_direct_io, open_direct_io, unaligned_direct_io: true, max_write_bytes: None }
}

fn lanes() -> Vec<Lane> {
    let mut lanes = Vec::new();
    for backend in backends() {
        for sync in [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync] {
            for (direct, preallocate) in [(true, true), (false, true), (false, false)] {
                lanes.push(Lane { backend, direct, sync, trusted: false, preallocate, group_bytes: 1 });
            }
        }
    }
    lanes
}

/// Appends one record after the other. Returns the ones that a power cut right after their acknowledgement would have
/// taken, and how many syncs there were meanwhile.
fn uncovered(lane: Lane, mount: MountOptions) -> (BTreeSet<u64>, u64) {
    let rig = Rig::mounted(lane, mount);
    let store = rig.open(lane.options().max_segment_bytes(SEGMENT_BYTES)).unwrap();
    let before = rig.fs.count(Op::Sync).unwrap();
    let mut uncovered = BTreeSet::new();
    for number in 0..APPENDS {
        let record = format!("record-{number:04}");
        let syncs = rig.fs.count(Op::Sync).unwrap();
        finish(store.append(&record)).unwrap();
        let synced = rig.fs.count(Op::Sync).unwrap() > syncs;
        let copy = rig.aside();
        rig.fs.power_cut(copy.path()).unwrap();
        let holds = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).contains(&record);
        let found = fs::read_dir(copy.path()).unwrap().any(|entry| holds(entry.unwrap().path()));
        if !(synced && found) {
            uncovered.insert(number);
        }
    }
    let syncs = rig.fs.count(Op::Sync).unwrap() - before;
    finish(store.close()).unwrap();
    (uncovered, syncs)
}

#[test]
fn append_is_acknowledged_after_a_covering_sync() {
    if !fuse_works() {
        return;
    }
    let mut least = u64::MAX;
    for (name, mount) in MOUNTS {
        for lane in lanes() {
            let (uncovered, syncs) = uncovered(lane, mount);
            assert!(uncovered.is_empty(), "{lane}, {name}: acknowledged without a sync: {uncovered:?}");
            assert!(syncs >= APPENDS, "{lane}, {name}: {syncs} syncs for {APPENDS} acknowledgements");
            least = least.min(syncs);
        }
    }
    say(&format!(
        "faultfs: at least {least} syncs for {APPENDS} acknowledgements, for every backend, mode and mount"
    ));
}

/// The check above, on the engine as it was: with `O_DSYNC` relied on. Where the kernel honours the flag after all, there
/// is nothing to find.
#[test]
fn trusted_dsync_on_fuse_is_found_by_the_check() {
    if !fuse_works() {
        return;
    }
    for backend in backends() {
        let lane = Lane {
            backend,
            direct: true,
            sync: SyncMode::Dsync,
            trusted: true,
            preallocate: true,
            group_bytes: 1,
        };
        let found = MOUNTS.map(|(_, mount)| uncovered(lane, mount).0.len());
        assert_eq!(found[0], 0, "{lane}: synchronous direct I/O honours O_DSYNC");
        say(&format!(
            "faultfs: O_DSYNC trusted, {backend:?}: of {APPENDS} acknowledgements without a sync: {} with asynchronous \
             direct I/O, {} with FOPEN_DIRECT_IO",
            found[1], found[2]
        ));
    }
}

#[test]
fn stats_name_fdatasync_on_fuse_for_every_mode() {
    if !fuse_works() {
        return;
    }
    for lane in lanes() {
        let rig = Rig::mounted(lane, MOUNTS[1].1);
        let store = rig.open(lane.options()).unwrap();
        finish(store.append("record")).unwrap();
        let stats = store.stats();
        assert_eq!((stats.sync_mode.to_string().as_str(), stats.direct_io), ("fdatasync", false), "{lane}");
        finish(store.close()).unwrap();
    }
}

/// The sync modes that the options ask for, and what a store in `dir` uses.
fn modes_in(dir: &Path) -> Vec<(SyncMode, String, bool)> {
    let mut modes = Vec::new();
    for backend in backends() {
        for mode in [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync] {
            let options = JournalOptions::new().backend(backend).sync_mode(mode).max_segment_bytes(1 << 16);
            let store = finish(options.open(dir.join(format!("{backend:?}-{mode}")))).unwrap();
            finish(store.append("record")).unwrap();
            let stats = store.stats();
            modes.push((mode, stats.sync_mode.to_string(), stats.direct_io));
            finish(store.close()).unwrap();
        }
    }
    modes
}

#[test]
fn dsync_is_used_on_ext4_xfs_and_btrfs() {
    for kind in KINDS {
        let Some(disk) = LoopDisk::new(kind) else { continue };
        for (mode, used, direct) in modes_in(disk.path()) {
            let expected = if mode == SyncMode::Fdatasync { "fdatasync" } else { "dsync" };
            assert_eq!((used.as_str(), direct), (expected, true), "{}, {mode}", kind.name);
        }
    }
}

#[test]
fn overlayfs_is_not_trusted() {
    let ext4 = KINDS[0];
    let Some(disk) = LoopDisk::new(ext4) else { return };
    let [lower, upper, work, merged] =
        ["lower", "upper", "work", "merged"].map(|name| disk.path().join(name));
    for dir in [&lower, &upper, &work, &merged] {
        fs::create_dir(dir).unwrap();
    }
    let options =
        format!("lowerdir={},upperdir={},workdir={}", lower.display(), upper.display(), work.display());
    let options = CString::new(options).unwrap();
    if let Err(error) = mount_overlay(&merged, &options) {
        return say(&format!("SKIPPED: overlayfs: {error}"));
    }
    let modes = modes_in(&merged);
    rustix::mount::unmount(&merged, rustix::mount::UnmountFlags::DETACH).unwrap();
    for (mode, used, direct) in modes {
        assert_eq!((used.as_str(), direct), ("fdatasync", false), "{mode}");
    }
}

fn mount_overlay(merged: &Path, options: &CStr) -> rustix::io::Result<()> {
    rustix::mount::mount("overlay", merged, "overlay", rustix::mount::MountFlags::empty(), options)
}

/// On NFS the kernel's own counts of requests are compared. Needs a mount: `MINISTORE_NFS_DIR` names a directory on it.
#[test]
fn nfs_append_is_acknowledged_after_a_request() {
    let Some(dir) = std::env::var_os("MINISTORE_NFS_DIR").map(PathBuf::from) else {
        return say("SKIPPED: NFS: MINISTORE_NFS_DIR names no directory on an NFS mount");
    };
    let dir = tempfile::tempdir_in(dir).unwrap();
    for (mode, used, direct) in modes_in(dir.path()) {
        assert_eq!((used.as_str(), direct), ("fdatasync", false), "{mode}");
    }
    let store = finish(JournalOptions::new().open(dir.path().join("j"))).unwrap();
    for number in 0..APPENDS {
        let before = nfs_requests(&fs::read_to_string("/proc/self/mountstats").unwrap());
        finish(store.append(&number)).unwrap();
        let after = nfs_requests(&fs::read_to_string("/proc/self/mountstats").unwrap());
        assert!(after > before, "{number} was acknowledged without a write or a commit on the server");
    }
    finish(store.close()).unwrap();
}

/// WRITE and COMMIT requests of all NFS mounts.
fn nfs_requests(mountstats: &str) -> u64 {
    let count = |line: &str| {
        let (op, counts) = line.trim().split_once(": ")?;
        ["WRITE", "COMMIT"].contains(&op).then(|| counts.split(' ').next()?.parse::<u64>().ok())?
    };
    mountstats.lines().filter_map(count).sum()
}

#[test]
fn nfs_requests_are_read_from_mountstats() {
    let text = "device s:/x mounted on /m with fstype nfs4 statvers=1.1\n\tper-op statistics\n\
                \t        READ: 9 9 0 0\n\t       WRITE: 21 21 0 3 4\n\t      COMMIT: 5 5 0 0\n";
    assert_eq!(nfs_requests(text), 26);
}
