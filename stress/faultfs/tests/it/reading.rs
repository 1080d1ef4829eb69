//! A failed read is an error and never mistaken for the end of a journal.

use ministore_faultfs::{Op, Rule};
use ministore_uring::{MiniStoreError, Reader};
use rustix::io::Errno;

use crate::{
    fixture::{Fixture, StoreConfig, block_on, fuse_works, run_with_timeout},
    workload::{AckLog, Record, Workload, assert_recovers},
};

const RECORDS: usize = 80;

#[test]
fn failed_read_is_reported_and_changes_nothing() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::few() {
        let fixture = Fixture::new(config);
        let store = fixture.open(config.options().max_segment_bytes(4000)).unwrap();
        let mut acks = AckLog::default();
        acks.run(&store, Workload { callers: 2, records: 40, padding: 100 });
        block_on(store.close()).unwrap();
        drop(store);
        for nth in 1.. {
            let rule = fixture.fs.set(Rule::on(Op::Read).nth(nth).fails(Errno::IO)).unwrap();
            let path = fixture.path();
            let (read, failed) = run_with_timeout(move || {
                let mut outcomes = Reader::open(&path).unwrap().records::<Record>();
                let mut read = 0;
                let failed = outcomes.any(|outcome| {
                    read += usize::from(outcome.is_ok());
                    outcome.is_err()
                });
                (read, failed)
            });
            let fired = fixture.fs.fired(rule).unwrap() > 0;
            // The kernel reads ahead, and retries a read that fails there.
            assert!(
                if failed { fired } else { read == RECORDS },
                "{config}: {read} records, failed: {failed}"
            );
            let rule = fixture.fs.set(Rule::on(Op::Read).nth(nth).fails(Errno::IO)).unwrap();
            let opened = fixture.open(config.options());
            let reached = fixture.fs.fired(rule).unwrap() > 0;
            match opened {
                Ok(store) => block_on(store.close()).unwrap(),
                Err(MiniStoreError::Io { .. }) if reached => {}
                Err(other) => panic!("{config}: {other}"),
            }
            fixture.fs.clear().unwrap();
            if !fired && !reached {
                break;
            }
        }
        let store = fixture.open(config.options()).unwrap();
        assert_recovers(&fixture, store, &mut acks, &config.to_string());
    }
}
