//! A file system that becomes read-only under an open journal, and one that is read-only from the start.

use std::{fs, io::ErrorKind};

use ministore_uring::MiniStoreError;
use rustix::io::Errno;

use crate::{
    callers::{Fate, Load, Log, Record, assert_recovers, records},
    rig::{Lane, Rig, finish, fuse_works},
};

const LOAD: Load = Load { callers: 3, records: 4, padding: 100 };

#[test]
fn a_file_system_that_becomes_read_only_stops_the_store_and_no_reader() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::all() {
        let rig = Rig::new(lane);
        let store = rig.open(lane.options().max_segment_bytes(600)).unwrap();
        let mut log = Log::default();
        log.run(&store, LOAD);
        rig.fs.read_only().unwrap();
        log.run(&store, LOAD);
        assert_eq!((log.acknowledged(), log.unknown()), (12, 12), "{lane}");
        let because = log.count(|fate| *fate == Fate::Unknown(Some(Errno::ROFS.raw_os_error())));
        assert_eq!(because, 12, "{lane}: everybody is told why");
        log.assert_holds(&records(&rig.path()), &lane.to_string());
        assert!(finish(store.close()).is_err(), "{lane}");
        let refused = rig.open(lane.options());
        let Err(MiniStoreError::Io { source }) = refused else { panic!("{lane}: {refused:?}") };
        assert_eq!(source.kind(), ErrorKind::ReadOnlyFilesystem, "{lane}: {source}");
        log.assert_holds(&records(&rig.path()), &lane.to_string());
        assert_recovers(&rig, store, &mut log, &lane.to_string());
    }
}

#[test]
fn a_journal_on_a_read_only_file_system_is_read_and_not_opened() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::two() {
        let rig = Rig::new(lane);
        let store = rig.open(lane.options()).unwrap();
        let mut log = Log::default();
        log.run(&store, LOAD);
        finish(store.append_batch([Record::new(9, 0, 0), Record::new(9, 1, 0)])).unwrap();
        finish(store.close()).unwrap();
        drop(store);
        fs::remove_file(rig.fs.backing().join("j.lock")).unwrap();
        rig.fs.read_only().unwrap();
        let before = fs::read(rig.behind()).unwrap();
        let refused = rig.open(lane.options());
        let Err(MiniStoreError::Io { source }) = refused else { panic!("{lane}: {refused:?}") };
        assert_eq!(source.kind(), ErrorKind::ReadOnlyFilesystem, "{lane}: {source}");
        assert!(source.to_string().contains("j.lock"), "{lane}: it names the file: {source}");
        assert_eq!(records(&rig.path()).len(), 14, "{lane}");
        assert_eq!(fs::read(rig.behind()).unwrap(), before, "{lane}: nothing was changed");
    }
}
