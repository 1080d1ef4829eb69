//! Reads that fail are errors, never the end of a journal.

use ministore_faultfs::{Op, Rule};
use ministore_uring::{MiniStoreError, Reader};
use rustix::io::Errno;

use crate::{
    callers::{Load, Log, Record, assert_recovers},
    rig::{Lane, Rig, bounded, finish, fuse_works},
};

const RECORDS: usize = 80;

#[test]
fn failed_read_is_reported_and_changes_nothing() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::two() {
        let rig = Rig::new(lane);
        let store = rig.open(lane.options().max_segment_bytes(4000)).unwrap();
        let mut log = Log::default();
        log.run(&store, Load { callers: 2, records: 40, padding: 100 });
        finish(store.close()).unwrap();
        drop(store);
        for nth in 1.. {
            let rule = rig.fs.set(Rule::on(Op::Read).nth(nth).fails(Errno::IO)).unwrap();
            let path = rig.path();
            let (read, failed) = bounded(move || {
                let mut outcomes = Reader::open(&path).unwrap().records::<Record>();
                let mut read = 0;
                let failed = outcomes.any(|outcome| {
                    read += usize::from(outcome.is_ok());
                    outcome.is_err()
                });
                (read, failed)
            });
            let fired = rig.fs.fired(rule).unwrap() > 0;
            // The kernel reads ahead, and tries again what fails there.
            assert!(if failed { fired } else { read == RECORDS }, "{lane}: {read} records, failed: {failed}");
            let rule = rig.fs.set(Rule::on(Op::Read).nth(nth).fails(Errno::IO)).unwrap();
            let opened = rig.open(lane.options());
            let reached = rig.fs.fired(rule).unwrap() > 0;
            match opened {
                Ok(store) => finish(store.close()).unwrap(),
                Err(MiniStoreError::Io { .. }) if reached => {}
                Err(other) => panic!("{lane}: {other}"),
            }
            rig.fs.clear().unwrap();
            if !fired && !reached {
                break;
            }
        }
        let store = rig.open(lane.options()).unwrap();
        assert_recovers(&rig, store, &mut log, &lane.to_string());
    }
}
