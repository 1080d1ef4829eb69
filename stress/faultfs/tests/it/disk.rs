//! A small real disk, really filled, freed, and used on.

use std::{
    fs::{self, File},
    io::{ErrorKind, Write},
    path::{Path, PathBuf},
};

use ministore_uring::{MiniStore, MiniStoreError, Reader};
use rustix::io::Errno;

use crate::{
    callers::{Fate, Load, Log, Record, records},
    loop_disk::{KINDS, Kind, LoopDisk},
    rig::{Lane, finish, fuse_works, say},
};

const LOAD: Load = Load { callers: 3, records: 10, padding: 15_000 };

/// Each leaves some records behind.
const ROUNDS: u32 = 3;

/// What a foreign file leaves of the disk.
const LEFT_BYTES: u64 = 1 << 20;

/// Takes all room on the disk but a little.
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
    file.set_len(len.saturating_sub(LEFT_BYTES)).unwrap();
    file.sync_all().unwrap();
}

/// How a store meets a full disk.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Full {
    Refused,
    /// A sync or the cutting of a file found no room: that happens where every change takes room.
    Stopped,
}

/// Appends until there is no room for anybody, and everybody was refused several times.
fn append_until_full(store: &MiniStore, log: &mut Log, context: &str) -> Full {
    let (full, unknown) = (log.full(), log.unknown());
    for _ in 0..1000 {
        log.run(store, LOAD);
        if log.unknown() > unknown {
            let because = log.count(|fate| *fate == Fate::Unknown(Some(Errno::NOSPC.raw_os_error())));
            assert_eq!(because, log.unknown(), "{context}: everybody is told why");
            return Full::Stopped;
        }
        if log.full() - full >= 60 {
            return Full::Refused;
        }
    }
    panic!("{context}: it never gets full");
}

/// A disk, filled by a foreign file and by the journal, and freed of the foreign file.
struct Filling {
    disk: LoopDisk,
    kind: Kind,
    lane: Lane,
    log: Log,
    stopped: usize,
}

impl Filling {
    fn open(&self, context: &str) -> MiniStore {
        let options = self.lane.options().max_segment_bytes(300_000);
        finish(options.open(self.journal())).unwrap_or_else(|error| panic!("{context}: {error}"))
    }

    fn journal(&self) -> PathBuf {
        self.disk.path().join("j")
    }

    /// Fills the disk and frees it. The store, opened again where it stopped.
    fn fill_and_free(&mut self, store: MiniStore, context: &str) -> MiniStore {
        let foreign = self.disk.path().join("foreign");
        fill_up(&foreign);
        let full = append_until_full(&store, &mut self.log, context);
        assert!(full == Full::Refused || self.kind.name == "btrfs", "{context}: the store stopped");
        self.log.assert_holds(&records(&self.journal()), context);
        fs::remove_file(&foreign).unwrap();
        // Some file systems give back what was freed only some time later.
        File::open(self.disk.path()).unwrap().sync_all().unwrap();
        if full == Full::Refused {
            return store;
        }
        self.stopped += 1;
        drop(store);
        self.open(context)
    }

    /// Fills the disk, closes the journal on it, and frees the disk.
    fn fill_and_close(&mut self, store: MiniStore, context: &str) {
        let foreign = self.disk.path().join("foreign");
        fill_up(&foreign);
        let full = append_until_full(&store, &mut self.log, context);
        let closed = finish(store.close());
        // Where cutting a file takes room, it is left as after a crash.
        let excused = self.kind.name == "btrfs";
        assert!(closed.is_ok() && full == Full::Refused || excused, "{context}: {full:?}, {closed:?}");
        drop(store);
        self.log.assert_holds(&records(&self.journal()), context);
        fs::remove_file(&foreign).unwrap();
    }

    fn round(&mut self, context: &str) {
        let store = self.open(context);
        let store = self.fill_and_free(store, context);
        let acknowledged = self.log.acknowledged();
        self.log.run(&store, LOAD);
        assert_eq!(self.log.acknowledged(), acknowledged + 30, "{context}: there is room again");
        finish(store.rotate()).unwrap_or_else(|error| panic!("{context}: {error}"));
        self.fill_and_close(store, context);
    }
}

fn fill_in_rounds(kind: Kind, lane: Lane) -> Option<Filling> {
    let mut filling = Filling { disk: LoopDisk::new(kind)?, kind, lane, log: Log::default(), stopped: 0 };
    for round in 0..ROUNDS {
        filling.round(&format!("{}, {lane}, round {round}", kind.name));
    }
    let again = filling.open("at last");
    filling.log.assert_holds(&records(&filling.journal()), "at last");
    filling.log.run(&again, Load { records: 1, ..LOAD });
    assert!(again.durable_seq() as usize >= filling.log.acknowledged(), "{kind:?}, {lane}");
    Some(filling)
}

#[test]
fn a_small_disk_is_filled_freed_and_used_on() {
    for kind in KINDS {
        let lanes = if kind.name == "ext4" { Lane::all() } else { Lane::two().to_vec() };
        for lane in lanes {
            if let Some(Filling { log, stopped, .. }) = fill_in_rounds(kind, lane) {
                say(&format!(
                    "full disk: {}, {lane}: {} records acknowledged over {ROUNDS} rounds, {} refused, stopped {stopped} times",
                    kind.name,
                    log.acknowledged(),
                    log.full()
                ));
            }
        }
    }
}

/// The journal itself takes all there is, over many segments; the oldest are taken away then.
#[test]
fn full_disk_recovers_after_deleting_old_segments() {
    let ext4 = KINDS[0];
    for lane in Lane::all() {
        let Some(disk) = LoopDisk::new(ext4) else { return };
        let path = disk.path().join("j");
        let store = finish(lane.options().max_segment_bytes(1 << 20).open(&path)).unwrap();
        let mut log = Log::default();
        assert_eq!(append_until_full(&store, &mut log, &lane.to_string()), Full::Refused, "{lane}");
        let refused = finish(store.rotate());
        assert!(matches!(refused, Ok(()) | Err(MiniStoreError::StorageFull { .. })), "{lane}: {refused:?}");
        log.assert_holds(&records(&path), &lane.to_string());
        fs::remove_file(disk.path().join("j.001")).unwrap();
        let acknowledged = log.acknowledged();
        log.run(&store, LOAD);
        assert_eq!(log.acknowledged(), acknowledged + 30, "{lane}: there is room again");
        finish(store.close()).unwrap();
        let first = Reader::open(&path).unwrap().records::<Record>().next().unwrap().unwrap().seq;
        let rest = Reader::open(&path).unwrap().records::<Record>().map(Result::unwrap).count();
        assert_eq!(first as usize - 1 + rest, log.acknowledged(), "{lane}: numbers stay what they were");
        assert!(first > 1, "{lane}");
    }
}

/// A real file system that gives up under an open journal: what errors=remount-ro and a lost disk come to.
#[test]
fn a_file_system_that_shuts_down_stops_the_store_and_keeps_what_was_acknowledged() {
    for kind in [KINDS[0], KINDS[1]] {
        for lane in Lane::all() {
            let context = format!("{}, {lane}", kind.name);
            let Some(disk) = LoopDisk::new(kind) else { return };
            let path = disk.path().join("j");
            let store = finish(lane.options().max_segment_bytes(100_000).open(&path)).unwrap();
            let mut log = Log::default();
            log.run(&store, LOAD);
            if !disk.shut_down() {
                return;
            }
            log.run(&store, LOAD);
            assert_eq!((log.acknowledged(), log.unknown()), (30, 30), "{context}");
            assert!(finish(store.close()).is_err(), "{context}");
            drop(store);
            disk.mount_again(kind);
            let again =
                finish(lane.options().open(&path)).unwrap_or_else(|error| panic!("{context}: {error}"));
            log.assert_holds(&records(&path), &context);
            log.run(&again, LOAD);
            assert_eq!(log.acknowledged(), 60, "{context}");
            finish(again.close()).unwrap();
            log.assert_holds(&records(&path), &context);
        }
    }
}

/// Without a right to mount nothing in this file runs: then at least that is known.
#[test]
fn what_cannot_be_mounted_is_said() {
    assert!(fuse_works() || !rustix::process::geteuid().is_root() || crate::rig::may_mount().is_err());
}
