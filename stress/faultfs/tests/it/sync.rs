//! After a failed sync nothing is acknowledged until the journal is opened again, even if the next sync would
//! succeed.

use std::time::Duration;

use ministore_faultfs::{Op, Rule};
use ministore_uring::MiniStoreError;
use rustix::io::Errno;

use crate::{
    fixture::{Fixture, StoreConfig, block_on, fuse_works},
    workload::{AckLog, AppendOutcome, Record, Workload, assert_recovers},
};

const WORKLOAD: Workload = Workload { callers: 4, records: 5, padding: 100 };

fn is_poisoned<T>(outcome: ministore_uring::Result<T>) -> bool {
    matches!(outcome, Err(MiniStoreError::Poisoned { .. }))
}

#[test]
fn failed_sync_stops_all_acknowledgements() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::all_combinations() {
        for rule in [Rule::fails, Rule::fails_and_forgets, Rule::fails_and_reverts] {
            let fixture = Fixture::new(config);
            let store = fixture.open(config.options()).unwrap();
            let mut acks = AckLog::default();
            acks.run(&store, WORKLOAD);
            let before = acks.acknowledged();
            let rule = fixture.fs.set(rule(Rule::on(Op::Sync).named("j"), Errno::IO)).unwrap();
            acks.run(&store, WORKLOAD);
            assert_eq!(fixture.fs.fired(rule).unwrap(), 1, "{config}");
            let rejected =
                acks.count(|outcome| *outcome == AppendOutcome::Unknown(Some(Errno::IO.raw_os_error())));
            assert_eq!(
                (acks.acknowledged(), rejected),
                (before, before),
                "{config}: each append fails with the first cause"
            );
            let syncs = fixture.fs.count(Op::Sync).unwrap();
            assert!(is_poisoned(block_on(store.append("once more"))), "{config}");
            assert!(is_poisoned(block_on(store.rotate())), "{config}");
            assert!(is_poisoned(block_on(store.close())), "{config}");
            assert_eq!(fixture.fs.count(Op::Sync).unwrap(), syncs, "{config}: the sync was retried");
            assert_recovers(&fixture, store, &mut acks, &config.to_string());
        }
    }
}

#[test]
fn slow_disk_only_delays_appends() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::few() {
        for op in [Op::Sync, Op::Write] {
            let fixture = Fixture::new(config);
            let store = fixture.open(config.options().max_segment_bytes(2000)).unwrap();
            let slow = fixture.fs.set(Rule::on(op).delayed(Duration::from_millis(20)).times(10)).unwrap();
            let stuck = fixture.fs.set(Rule::on(op).nth(12).delayed(Duration::from_secs(2))).unwrap();
            let mut acks = AckLog::default();
            acks.run(&store, Workload { records: 10, ..WORKLOAD });
            assert_eq!(
                (fixture.fs.fired(slow).unwrap(), fixture.fs.fired(stuck).unwrap()),
                (10, 1),
                "{config}"
            );
            assert_eq!(acks.acknowledged(), 40, "{config}");
            assert_recovers(&fixture, store, &mut acks, &config.to_string());
        }
    }
}

#[test]
fn vanished_file_system_fails_all_and_loses_nothing() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::all_combinations() {
        let mut fixture = Fixture::new(config);
        let store = fixture.open(config.options()).unwrap();
        let mut acks = AckLog::default();
        acks.run(&store, WORKLOAD);
        fixture.fs.kill().unwrap();
        acks.run(&store, WORKLOAD);
        assert_eq!((acks.acknowledged(), acks.unknown()), (20, 20), "{config}");
        assert!(block_on(store.close()).is_err(), "{config}");
        drop(store);
        let reopened = block_on(config.options().open(fixture.backing_path())).unwrap();
        let record = Record::new(99, 0, 0);
        block_on(reopened.append(&record)).unwrap();
        block_on(reopened.close()).unwrap();
        acks.assert_matches(&crate::workload::records(&fixture.backing_path()), &config.to_string());
    }
}
