//! After a failed sync nothing is acknowledged until the journal is opened anew, whatever the next sync would say.

use std::time::Duration;

use ministore_faultfs::{Op, Rule};
use ministore_uring::MiniStoreError;
use rustix::io::Errno;

use crate::{
    callers::{Fate, Load, Log, Record, assert_recovers},
    rig::{Lane, Rig, finish, fuse_works},
};

const LOAD: Load = Load { callers: 4, records: 5, padding: 100 };

fn is_poisoned<T>(outcome: ministore_uring::Result<T>) -> bool {
    matches!(outcome, Err(MiniStoreError::Poisoned { .. }))
}

#[test]
fn a_failed_sync_is_never_followed_by_an_acknowledgement() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::crossed() {
        for rule in [Rule::fails, Rule::fails_and_forgets, Rule::fails_and_reverts] {
            let rig = Rig::new(lane);
            let store = rig.open(lane.options()).unwrap();
            let mut log = Log::default();
            log.run(&store, LOAD);
            let before = log.acknowledged();
            let rule = rig.fs.set(rule(Rule::on(Op::Sync).named("j"), Errno::IO)).unwrap();
            log.run(&store, LOAD);
            assert_eq!(rig.fs.fired(rule).unwrap(), 1, "{lane}");
            let refused = log.count(|fate| *fate == Fate::Unknown(Some(Errno::IO.raw_os_error())));
            assert_eq!(
                (log.acknowledged(), refused),
                (before, before),
                "{lane}: everybody is told the first cause"
            );
            let syncs = rig.fs.count(Op::Sync).unwrap();
            assert!(is_poisoned(finish(store.append("once more"))), "{lane}");
            assert!(is_poisoned(finish(store.rotate())), "{lane}");
            assert!(is_poisoned(finish(store.close())), "{lane}");
            assert_eq!(rig.fs.count(Op::Sync).unwrap(), syncs, "{lane}: it is not tried again");
            assert_recovers(&rig, store, &mut log, &lane.to_string());
        }
    }
}

#[test]
fn a_slow_disk_only_takes_longer() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::two() {
        for op in [Op::Sync, Op::Write] {
            let rig = Rig::new(lane);
            let store = rig.open(lane.options().max_segment_bytes(2000)).unwrap();
            let slow = rig.fs.set(Rule::on(op).delayed(Duration::from_millis(20)).times(10)).unwrap();
            let stuck = rig.fs.set(Rule::on(op).nth(12).delayed(Duration::from_secs(2))).unwrap();
            let mut log = Log::default();
            log.run(&store, Load { records: 10, ..LOAD });
            assert_eq!((rig.fs.fired(slow).unwrap(), rig.fs.fired(stuck).unwrap()), (10, 1), "{lane}");
            assert_eq!(log.acknowledged(), 40, "{lane}");
            assert_recovers(&rig, store, &mut log, &lane.to_string());
        }
    }
}

#[test]
fn vanished_file_system_fails_all_and_loses_nothing() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::crossed() {
        let mut rig = Rig::new(lane);
        let store = rig.open(lane.options()).unwrap();
        let mut log = Log::default();
        log.run(&store, LOAD);
        rig.fs.kill().unwrap();
        log.run(&store, LOAD);
        assert_eq!((log.acknowledged(), log.unknown()), (20, 20), "{lane}");
        assert!(finish(store.close()).is_err(), "{lane}");
        drop(store);
        let again = finish(lane.options().open(rig.behind())).unwrap();
        let record = Record::new(99, 0, 0);
        finish(again.append(&record)).unwrap();
        finish(again.close()).unwrap();
        log.assert_holds(&crate::callers::records(&rig.behind()), &lane.to_string());
    }
}
