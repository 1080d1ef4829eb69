//! A file system that becomes read-only under an open journal, and one that is read-only from the start.

use std::{fs, io::ErrorKind};

use ministore_uring::MiniStoreError;
use rustix::io::Errno;

use crate::{
    fixture::{Fixture, StoreConfig, block_on, fuse_works},
    workload::{AckLog, AppendOutcome, Record, Workload, assert_recovers, records},
};

const WORKLOAD: Workload = Workload { callers: 3, records: 4, padding: 100 };

#[test]
fn read_only_remount_poisons_store_not_readers() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::all() {
        let fixture = Fixture::new(config);
        let store = fixture.open(config.options().max_segment_bytes(600)).unwrap();
        let mut acks = AckLog::default();
        acks.run(&store, WORKLOAD);
        fixture.fs.read_only().unwrap();
        acks.run(&store, WORKLOAD);
        assert_eq!((acks.acknowledged(), acks.unknown()), (12, 12), "{config}");
        let with_cause =
            acks.count(|outcome| *outcome == AppendOutcome::Unknown(Some(Errno::ROFS.raw_os_error())));
        assert_eq!(with_cause, 12, "{config}: an append fails with another cause");
        acks.assert_matches(&records(&fixture.path()), &config.to_string());
        assert!(block_on(store.close()).is_err(), "{config}");
        let rejected = fixture.open(config.options());
        let Err(MiniStoreError::Io { source }) = rejected else { panic!("{config}: {rejected:?}") };
        assert_eq!(source.kind(), ErrorKind::ReadOnlyFilesystem, "{config}: {source}");
        acks.assert_matches(&records(&fixture.path()), &config.to_string());
        assert_recovers(&fixture, store, &mut acks, &config.to_string());
    }
}

#[test]
fn read_only_journal_is_readable_but_not_opened() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::few() {
        let fixture = Fixture::new(config);
        let store = fixture.open(config.options()).unwrap();
        let mut acks = AckLog::default();
        acks.run(&store, WORKLOAD);
        block_on(store.append_batch([Record::new(9, 0, 0), Record::new(9, 1, 0)])).unwrap();
        block_on(store.close()).unwrap();
        drop(store);
        fs::remove_file(fixture.fs.backing().join("j.lock")).unwrap();
        fixture.fs.read_only().unwrap();
        let before = fs::read(fixture.backing_path()).unwrap();
        let rejected = fixture.open(config.options());
        let Err(MiniStoreError::Io { source }) = rejected else { panic!("{config}: {rejected:?}") };
        assert_eq!(source.kind(), ErrorKind::ReadOnlyFilesystem, "{config}: {source}");
        assert!(
            source.to_string().contains("j.lock"),
            "{config}: the error does not name the file: {source}"
        );
        assert_eq!(records(&fixture.path()).len(), 14, "{config}");
        assert_eq!(fs::read(fixture.backing_path()).unwrap(), before, "{config}: the file changed");
    }
}
