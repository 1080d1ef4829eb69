//! Each step of a rotation fails: the rotation reports an error or continues, and nothing is lost.

use ministore_faultfs::{Op, Rule};
use ministore_uring::MiniStoreError;
use rustix::io::Errno;

use crate::{
    fixture::{Fixture, StoreConfig, block_on, fuse_works},
    workload::{AckLog, Workload, assert_recovers},
};

const WORKLOAD: Workload = Workload { callers: 2, records: 5, padding: 100 };

/// The steps in order.
fn steps() -> [(&'static str, Rule); 9] {
    [
        ("the next segment is created", Rule::on(Op::Create).named("j.next")),
        ("it is preallocated", Rule::on(Op::Write).named("j.next")),
        ("it is synced", Rule::on(Op::Sync).named("j.next")),
        ("its name is synced", Rule::on(Op::SyncDir)),
        ("the old one gets its rotated name", Rule::on(Op::Rename).named("j.001")),
        ("that name is synced", Rule::on(Op::SyncDir).nth(2)),
        ("the new one gets the active name", Rule::on(Op::Rename).named("j.next")),
        ("that name is synced, too", Rule::on(Op::SyncDir).nth(3)),
        ("the old one is closed", Rule::on(Op::SetLen).named("j.001")),
    ]
}

#[test]
fn failed_rotation_step_loses_nothing() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::all() {
        for errno in [Errno::IO, Errno::NOSPC] {
            let mut failed = 0;
            for (step, rule) in steps() {
                let context = format!("{config}: {step}: {errno:?}");
                let fixture = Fixture::new(config);
                let store = fixture.open(config.options()).unwrap();
                let mut acks = AckLog::default();
                acks.run(&store, WORKLOAD);
                let rule = fixture.fs.set(rule.fails(errno)).unwrap();
                let rotated = block_on(store.rotate());
                acks.run(&store, WORKLOAD);
                let closed = block_on(store.close());
                let fired = fixture.fs.fired(rule).unwrap();
                failed += fired;
                match &rotated {
                    Ok(())
                    | Err(
                        MiniStoreError::StorageFull { .. }
                        | MiniStoreError::Unavailable { .. }
                        | MiniStoreError::Poisoned { .. },
                    ) => {}
                    Err(other) => panic!("{context}: {other}"),
                }
                if fired > 0 && errno == Errno::IO {
                    assert!(
                        rotated.is_err() || closed.is_err(),
                        "{context}: it failed, and no call returned an error"
                    );
                }
                assert_recovers(&fixture, store, &mut acks, &context);
            }
            assert!(failed >= 7, "{config}: {failed} steps were reached");
        }
    }
}

/// Steps that change nothing when they fail are retried, and the store is not poisoned.
#[test]
fn rotation_refused_temporarily_is_retried() {
    if !fuse_works() {
        return;
    }
    let steps = [
        Rule::on(Op::Create).named("j.next"),
        Rule::on(Op::Rename).named("j.001"),
        Rule::on(Op::Rename).named("j.next"),
    ];
    for config in StoreConfig::all() {
        for errno in [Errno::MFILE, Errno::NOMEM, Errno::ACCESS] {
            for (step, rule) in steps.iter().enumerate() {
                let context = format!("{config}: step {step}: {errno:?}");
                let fixture = Fixture::new(config);
                let store = fixture.open(config.options()).unwrap();
                let mut acks = AckLog::default();
                acks.run(&store, WORKLOAD);
                let rule = fixture.fs.set(rule.clone().fails(errno)).unwrap();
                let rejected = block_on(store.rotate());
                assert!(
                    matches!(rejected, Ok(()) | Err(MiniStoreError::Unavailable { .. })),
                    "{context}: {rejected:?}"
                );
                assert!(fixture.fs.fired(rule).unwrap() > 0, "{context}: the step was not reached");
                assert!(store.stats().transient_errors > 0 && !store.stats().poisoned, "{context}");
                fixture.fs.clear().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(200));
                block_on(store.rotate()).unwrap();
                acks.run(&store, WORKLOAD);
                assert_eq!(store.stats().rotations, 1, "{context}");
                block_on(store.close()).unwrap();
                assert_recovers(&fixture, store, &mut acks, &context);
            }
        }
    }
}
