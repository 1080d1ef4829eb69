//! No append is acknowledged before a completed sync that covers it, for every backend, sync mode and kind of mount:
//! the file system counts its syncs, and a power cut after each acknowledgement finds the record.

use std::{
    collections::BTreeSet,
    ffi::{CStr, CString},
    fs,
    path::{Path, PathBuf},
};

use ministore_faultfs::{MountOptions, NameDurability, Op, mounts::temp_dir, recording::KeptWrites};
use ministore_uring::{Backend, JournalOptions, SyncMode};

use crate::{
    fixture::{Fixture, StoreConfig, backends, block_on, fuse_works, report},
    loop_disk::{FILE_SYSTEMS, LoopDisk},
};

const APPENDS: u64 = 20;

/// Small, so that some appends rotate.
const SEGMENT_BYTES: u64 = 600;

/// Neither option, libfuse's default, and libfuse's default with its option `direct_io`.
const MOUNTS: [(&str, MountOptions); 3] = [
    ("no asynchronous direct I/O", mount(false, false)),
    ("asynchronous direct I/O", mount(true, false)),
    ("asynchronous direct I/O, FOPEN_DIRECT_IO", mount(true, true)),
];

const fn mount(async_direct_io: bool, open_direct_io: bool) -> MountOptions {
    MountOptions {
        async_direct_io,
        open_direct_io,
        unaligned_direct_io: true,
        max_write_bytes: None,
        names: NameDurability::AtOnce,
    }
}

fn configs() -> Vec<StoreConfig> {
    let mut configs = Vec::new();
    for backend in backends() {
        for sync in [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync] {
            for (direct, preallocate) in [(true, true), (false, true), (false, false)] {
                configs.push(StoreConfig {
                    backend,
                    direct,
                    sync,
                    trusted: false,
                    preallocate,
                    group_bytes: 1,
                });
            }
        }
    }
    configs.retain(StoreConfig::is_supported);
    configs
}

/// Appends records one by one. Returns the ones that a power cut right after their acknowledgement would lose, and
/// the number of syncs during the appends.
fn uncovered(config: StoreConfig, mount: MountOptions) -> (BTreeSet<u64>, u64) {
    let fixture = Fixture::mounted(config, mount);
    let store = fixture.open(config.options().max_segment_bytes(SEGMENT_BYTES)).unwrap();
    let before = fixture.fs.count(Op::Sync).unwrap();
    let mut uncovered = BTreeSet::new();
    for number in 0..APPENDS {
        let record = format!("record-{number:04}");
        let syncs = fixture.fs.count(Op::Sync).unwrap();
        block_on(store.append(&record)).unwrap();
        let synced = fixture.fs.count(Op::Sync).unwrap() > syncs;
        let copy = temp_dir().unwrap();
        fixture.fs.power_cut(copy.path(), KeptWrites::Nothing).unwrap();
        let holds = |path| String::from_utf8_lossy(&fs::read(path).unwrap()).contains(&record);
        let is_stored = fs::read_dir(copy.path()).unwrap().any(|entry| holds(entry.unwrap().path()));
        if !(synced && is_stored) {
            uncovered.insert(number);
        }
    }
    let syncs = fixture.fs.count(Op::Sync).unwrap() - before;
    block_on(store.close()).unwrap();
    (uncovered, syncs)
}

#[test]
fn append_is_acknowledged_after_a_covering_sync() {
    if !fuse_works() {
        return;
    }
    let mut least = u64::MAX;
    for (name, mount) in MOUNTS {
        for config in configs() {
            let (uncovered, syncs) = uncovered(config, mount);
            assert!(uncovered.is_empty(), "{config}, {name}: acknowledged without a sync: {uncovered:?}");
            assert!(syncs >= APPENDS, "{config}, {name}: {syncs} syncs for {APPENDS} acknowledgements");
            least = least.min(syncs);
        }
    }
    report(&format!(
        "faultfs: at least {least} syncs for {APPENDS} acknowledgements, for every backend, mode and mount"
    ));
}

/// Checks that the test above detects an engine that relies on `O_DSYNC`. Where the kernel honours the flag on FUSE,
/// there is nothing to detect.
#[test]
fn trusted_dsync_on_fuse_is_detected() {
    if !fuse_works() {
        return;
    }
    for backend in backends() {
        let config = StoreConfig {
            backend,
            direct: true,
            sync: SyncMode::Dsync,
            trusted: true,
            preallocate: true,
            group_bytes: 1,
        };
        if !config.is_supported() {
            continue;
        }
        let missed = MOUNTS.map(|(_, mount)| uncovered(config, mount).0.len());
        assert_eq!(missed[0], 0, "{config}: synchronous direct I/O honours O_DSYNC");
        report(&format!(
            "faultfs: O_DSYNC trusted, {backend:?}: of {APPENDS} acknowledgements without a sync: {} with asynchronous \
             direct I/O, {} with FOPEN_DIRECT_IO",
            missed[1], missed[2]
        ));
    }
}

#[test]
fn stats_name_fdatasync_on_fuse_for_every_mode() {
    if !fuse_works() {
        return;
    }
    for config in configs() {
        let fixture = Fixture::mounted(config, MOUNTS[1].1);
        let store = fixture.open(config.options()).unwrap();
        block_on(store.append("record")).unwrap();
        let stats = store.stats();
        assert_eq!((stats.sync_mode.to_string().as_str(), stats.direct_io), ("fdatasync", false), "{config}");
        block_on(store.close()).unwrap();
    }
}

/// Returns each requested sync mode with the sync mode and direct I/O that a store in `dir` uses. Without the backend
/// that always uses `fdatasync`.
fn modes_in(dir: &Path) -> Vec<(SyncMode, String, bool)> {
    let mut modes = Vec::new();
    for backend in backends().into_iter().filter(|&backend| backend != Backend::TokioUring) {
        for mode in [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync] {
            let options = JournalOptions::new().backend(backend).sync_mode(mode).max_segment_bytes(1 << 16);
            let store = block_on(options.open(dir.join(format!("{backend:?}-{mode}")))).unwrap();
            block_on(store.append("record")).unwrap();
            let stats = store.stats();
            modes.push((mode, stats.sync_mode.to_string(), stats.direct_io));
            block_on(store.close()).unwrap();
        }
    }
    modes
}

#[test]
fn dsync_is_used_on_ext4_xfs_and_btrfs() {
    for kind in FILE_SYSTEMS {
        let Some(disk) = LoopDisk::new(kind) else { continue };
        for (mode, used, direct) in modes_in(disk.path()) {
            let expected = if mode == SyncMode::Fdatasync { "fdatasync" } else { "dsync" };
            assert_eq!((used.as_str(), direct), (expected, true), "{}, {mode}", kind.name);
        }
    }
}

#[test]
fn overlayfs_is_not_trusted() {
    let ext4 = FILE_SYSTEMS[0];
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
        return report(&format!("SKIPPED: overlayfs: {error}"));
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

/// Compares the kernel's counts of NFS requests. Needs a mount: `MINISTORE_NFS_DIR` names a directory on it.
#[test]
fn nfs_append_is_acknowledged_after_a_request() {
    let Some(dir) = std::env::var_os("MINISTORE_NFS_DIR").map(PathBuf::from) else {
        return report("SKIPPED: NFS: MINISTORE_NFS_DIR names no directory on an NFS mount");
    };
    let dir = tempfile::tempdir_in(dir).unwrap();
    for (mode, used, direct) in modes_in(dir.path()) {
        assert_eq!((used.as_str(), direct), ("fdatasync", false), "{mode}");
    }
    let store = block_on(JournalOptions::new().open(dir.path().join("j"))).unwrap();
    for number in 0..APPENDS {
        let before = nfs_requests(&fs::read_to_string("/proc/self/mountstats").unwrap());
        block_on(store.append(&number)).unwrap();
        let after = nfs_requests(&fs::read_to_string("/proc/self/mountstats").unwrap());
        assert!(after > before, "{number} was acknowledged without a write or a commit on the server");
    }
    block_on(store.close()).unwrap();
}

/// Returns the number of WRITE and COMMIT requests of all NFS mounts.
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
