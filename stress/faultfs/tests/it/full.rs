//! A full disk or quota: appends that do not fit are rejected, and appends succeed again once there is space.

use rustix::io::Errno;

use crate::{
    fixture::{Fixture, StoreConfig, fuse_works},
    workload::{AckLog, Workload, assert_recovers, records},
};

const WORKLOAD: Workload = Workload { callers: 3, records: 30, padding: 1000 };

#[test]
fn append_beyond_space_is_rejected_not_written() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::all() {
        for errno in [Errno::NOSPC, Errno::DQUOT] {
            let context = format!("{config}, {errno:?}");
            let fixture = Fixture::new(config);
            // Segments larger and smaller than the space: rotation is rejected, too.
            let store = fixture.open(config.options().max_segment_bytes(40_000)).unwrap();
            let mut acks = AckLog::default();
            for space in [0, 3000, 70_000, 1] {
                let rejected = acks.rejected();
                fixture.fs.set_space_limit(space, errno).unwrap();
                for _ in 0..4 {
                    acks.run(&store, WORKLOAD);
                }
                assert!(acks.rejected() > rejected, "{context}: {space} bytes are enough");
                assert_eq!(acks.unknown(), 0, "{context}: the store is poisoned");
                assert_eq!(store.durable_seq() as usize, acks.acknowledged(), "{context}");
                acks.assert_matches(&records(&fixture.path()), &context);
                fixture.fs.clear().unwrap();
                let acknowledged = acks.acknowledged();
                acks.run(&store, WORKLOAD);
                assert_eq!(
                    acks.acknowledged(),
                    acknowledged + 90,
                    "{context}: an append failed although there is space"
                );
            }
            assert_recovers(&fixture, store, &mut acks, &context);
        }
    }
}
