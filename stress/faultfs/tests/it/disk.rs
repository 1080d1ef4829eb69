//! A small real disk that is filled, freed and used again.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use ministore_uring::{MiniStore, MiniStoreError, Reader};
use rustix::io::Errno;

use crate::{
    fixture::{StoreConfig, block_on, fuse_works, report},
    loop_disk::{FILE_SYSTEMS, FsKind, LoopDisk},
    workload::{AckLog, AppendOutcome, Record, Workload, records},
};

const WORKLOAD: Workload = Workload { callers: 3, records: 10, padding: 15_000 };

/// Each round leaves some records on the disk.
const ROUNDS: u32 = 3;

/// The free space that the filler file leaves on the disk.
const FREE_BYTES: u64 = 1 << 20;

/// Fills the disk with a file, except for `FREE_BYTES`.
fn fill_up(path: &Path) {
    let mut file = File::create(path).unwrap();
    let block = vec![b'f'; 64 << 10];
    let error = loop {
        if let Err(error) = file.write_all(&block) {
            break error;
        }
    };
    assert_eq!(error.kind(), ErrorKind::StorageFull, "{error}");
    let len = file.metadata().unwrap().len();
    file.set_len(len.saturating_sub(FREE_BYTES)).unwrap();
    file.sync_all().unwrap();
}

/// What a store does on a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum FullDiskOutcome {
    Rejected,
    /// A sync or a truncation found no space, which happens where every change allocates space.
    Poisoned,
}

/// Appends until the disk is full and many appends were rejected.
fn append_until_full(store: &MiniStore, acks: &mut AckLog, context: &str) -> FullDiskOutcome {
    let (rejected, unknown) = (acks.rejected(), acks.unknown());
    for _ in 0..1000 {
        acks.run(store, WORKLOAD);
        if acks.unknown() > unknown {
            let with_cause =
                acks.count(|outcome| *outcome == AppendOutcome::Unknown(Some(Errno::NOSPC.raw_os_error())));
            assert_eq!(with_cause, acks.unknown(), "{context}: an append fails with another cause");
            return FullDiskOutcome::Poisoned;
        }
        if acks.rejected() - rejected >= 60 {
            return FullDiskOutcome::Rejected;
        }
    }
    panic!("{context}: the disk never gets full");
}

/// A disk that another process's file and the journal fill, until that file is deleted.
struct DiskFill {
    disk: LoopDisk,
    kind: FsKind,
    config: StoreConfig,
    acks: AckLog,
    poisoned: usize,
}

impl DiskFill {
    fn open(&self, context: &str) -> MiniStore {
        let options = self.config.options().max_segment_bytes(300_000);
        block_on(options.open(self.journal())).unwrap_or_else(|error| panic!("{context}: {error}"))
    }

    fn journal(&self) -> PathBuf {
        self.disk.path().join("j")
    }

    /// Fills the disk and frees it. Returns the store, opened again if it was poisoned.
    fn fill_and_free(&mut self, store: MiniStore, context: &str) -> MiniStore {
        let foreign = self.disk.path().join("foreign");
        fill_up(&foreign);
        let outcome = append_until_full(&store, &mut self.acks, context);
        assert!(
            outcome == FullDiskOutcome::Rejected || self.kind.name == "btrfs",
            "{context}: the store is poisoned"
        );
        self.acks.assert_matches(&records(&self.journal()), context);
        fs::remove_file(&foreign).unwrap();
        // Some file systems free the space of a deleted file only later.
        File::open(self.disk.path()).unwrap().sync_all().unwrap();
        if outcome == FullDiskOutcome::Rejected {
            return store;
        }
        self.poisoned += 1;
        drop(store);
        self.open(context)
    }

    /// Fills the disk, closes the journal on it, and frees the disk.
    fn fill_and_close(&mut self, store: MiniStore, context: &str) {
        let foreign = self.disk.path().join("foreign");
        fill_up(&foreign);
        let outcome = append_until_full(&store, &mut self.acks, context);
        let closed = block_on(store.close());
        // Where truncation allocates space, closing leaves the file as after a crash.
        let excused = self.kind.name == "btrfs";
        assert!(
            closed.is_ok() && outcome == FullDiskOutcome::Rejected || excused,
            "{context}: {outcome:?}, {closed:?}"
        );
        drop(store);
        self.acks.assert_matches(&records(&self.journal()), context);
        fs::remove_file(&foreign).unwrap();
    }

    fn round(&mut self, context: &str) {
        let store = self.open(context);
        let store = self.fill_and_free(store, context);
        let acknowledged = self.acks.acknowledged();
        self.acks.run(&store, WORKLOAD);
        assert_eq!(
            self.acks.acknowledged(),
            acknowledged + 30,
            "{context}: an append failed although there is space"
        );
        block_on(store.rotate()).unwrap_or_else(|error| panic!("{context}: {error}"));
        self.fill_and_close(store, context);
    }
}

fn fill_in_rounds(kind: FsKind, config: StoreConfig) -> Option<DiskFill> {
    let mut fill =
        DiskFill { disk: LoopDisk::new(kind)?, kind, config, acks: AckLog::default(), poisoned: 0 };
    for round in 0..ROUNDS {
        fill.round(&format!("{}, {config}, round {round}", kind.name));
    }
    let reopened = fill.open("at the end");
    fill.acks.assert_matches(&records(&fill.journal()), "at the end");
    fill.acks.run(&reopened, Workload { records: 1, ..WORKLOAD });
    assert!(reopened.durable_seq() as usize >= fill.acks.acknowledged(), "{kind:?}, {config}");
    Some(fill)
}

#[test]
fn disk_filled_and_freed_is_used_again() {
    for kind in FILE_SYSTEMS {
        let configs = if kind.name == "ext4" { StoreConfig::all() } else { StoreConfig::few() };
        for config in configs {
            if let Some(DiskFill { acks, poisoned, .. }) = fill_in_rounds(kind, config) {
                report(&format!(
                    "full disk: {}, {config}: {} records acknowledged over {ROUNDS} rounds, {} refused, poisoned {poisoned} times",
                    kind.name,
                    acks.acknowledged(),
                    acks.rejected()
                ));
            }
        }
    }
}

/// The journal itself fills the disk over many segments; then the oldest segments are deleted.
#[test]
fn full_disk_recovers_after_deleting_old_segments() {
    let ext4 = FILE_SYSTEMS[0];
    for config in StoreConfig::all() {
        let Some(disk) = LoopDisk::new(ext4) else { return };
        let path = disk.path().join("j");
        let store = block_on(config.options().max_segment_bytes(1 << 20).open(&path)).unwrap();
        let mut acks = AckLog::default();
        assert_eq!(
            append_until_full(&store, &mut acks, &config.to_string()),
            FullDiskOutcome::Rejected,
            "{config}"
        );
        let rejected = block_on(store.rotate());
        assert!(
            matches!(rejected, Ok(()) | Err(MiniStoreError::StorageFull { .. })),
            "{config}: {rejected:?}"
        );
        acks.assert_matches(&records(&path), &config.to_string());
        fs::remove_file(disk.path().join("j.001")).unwrap();
        let acknowledged = acks.acknowledged();
        acks.run(&store, WORKLOAD);
        assert_eq!(
            acks.acknowledged(),
            acknowledged + 30,
            "{config}: an append failed although there is space"
        );
        block_on(store.close()).unwrap();
        let first = Reader::open(&path).unwrap().records::<Record>().next().unwrap().unwrap().seq;
        let rest = Reader::open(&path).unwrap().records::<Record>().map(Result::unwrap).count();
        assert_eq!(first as usize - 1 + rest, acks.acknowledged(), "{config}: sequence numbers changed");
        assert!(first > 1, "{config}");
    }
}

/// A real file system fails under an open journal, as with errors=remount-ro or a lost disk.
#[test]
fn file_system_shutdown_poisons_and_keeps_acked() {
    for kind in [FILE_SYSTEMS[0], FILE_SYSTEMS[1]] {
        for config in StoreConfig::all() {
            let context = format!("{}, {config}", kind.name);
            let Some(mut disk) = LoopDisk::new(kind) else { return };
            let path = disk.path().join("j");
            let store = block_on(config.options().max_segment_bytes(100_000).open(&path)).unwrap();
            let mut acks = AckLog::default();
            acks.run(&store, WORKLOAD);
            if !disk.shut_down() {
                return;
            }
            acks.run(&store, WORKLOAD);
            assert_eq!((acks.acknowledged(), acks.unknown()), (30, 30), "{context}");
            assert!(block_on(store.close()).is_err(), "{context}");
            drop(store);
            disk.mount_again(kind);
            let reopened =
                block_on(config.options().open(&path)).unwrap_or_else(|error| panic!("{context}: {error}"));
            acks.assert_matches(&records(&path), &context);
            acks.run(&reopened, WORKLOAD);
            assert_eq!(acks.acknowledged(), 60, "{context}");
            block_on(reopened.close()).unwrap();
            acks.assert_matches(&records(&path), &context);
        }
    }
}

/// Makes sure that the tests of this module are skipped only where mounting is impossible.
#[test]
fn tests_run_where_mounting_is_possible() {
    assert!(fuse_works() || !rustix::process::geteuid().is_root() || crate::fixture::may_mount().is_err());
}
