//! Each step of a rotation fails: the rotation says so, or it goes on; nothing is lost either way.

use ministore_faultfs::{Op, Rule};
use ministore_uring::MiniStoreError;
use rustix::io::Errno;

use crate::{
    callers::{Load, Log, assert_recovers},
    rig::{Lane, Rig, finish, fuse_works},
};

const LOAD: Load = Load { callers: 2, records: 5, padding: 100 };

/// The steps, in their order.
fn steps() -> [(&'static str, Rule); 9] {
    [
        ("the next segment is created", Rule::on(Op::Create).named("j.next")),
        ("it is padded", Rule::on(Op::Write).named("j.next")),
        ("it is synced", Rule::on(Op::Sync).named("j.next")),
        ("its name is synced", Rule::on(Op::SyncDir)),
        ("the old one gets its archived name", Rule::on(Op::Rename).named("j.001")),
        ("that name is synced", Rule::on(Op::SyncDir).nth(2)),
        ("the new one gets the active name", Rule::on(Op::Rename).named("j.next")),
        ("that name is synced, too", Rule::on(Op::SyncDir).nth(3)),
        ("the old one is closed", Rule::on(Op::SetLen).named("j.001")),
    ]
}

#[test]
fn whichever_step_of_a_rotation_fails_nothing_is_lost() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::all() {
        for errno in [Errno::IO, Errno::NOSPC] {
            let mut failed = 0;
            for (step, rule) in steps() {
                let context = format!("{lane}: {step}: {errno:?}");
                let rig = Rig::new(lane);
                let store = rig.open(lane.options()).unwrap();
                let mut log = Log::default();
                log.run(&store, LOAD);
                let rule = rig.fs.set(rule.fails(errno)).unwrap();
                let rotated = finish(store.rotate());
                log.run(&store, LOAD);
                let closed = finish(store.close());
                let fired = rig.fs.fired(rule).unwrap();
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
                    assert!(rotated.is_err() || closed.is_err(), "{context}: it failed, and nobody was told");
                }
                assert_recovers(&rig, store, &mut log, &context);
            }
            assert!(failed >= 7, "{lane}: {failed} steps were reached");
        }
    }
}

/// Steps that change nothing where they are refused: they are attempted again, and nothing is poisoned.
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
    for lane in Lane::all() {
        for errno in [Errno::MFILE, Errno::NOMEM, Errno::ACCESS] {
            for (step, rule) in steps.iter().enumerate() {
                let context = format!("{lane}: step {step}: {errno:?}");
                let rig = Rig::new(lane);
                let store = rig.open(lane.options()).unwrap();
                let mut log = Log::default();
                log.run(&store, LOAD);
                let rule = rig.fs.set(rule.clone().fails(errno)).unwrap();
                let refused = finish(store.rotate());
                assert!(
                    matches!(refused, Ok(()) | Err(MiniStoreError::Unavailable { .. })),
                    "{context}: {refused:?}"
                );
                assert!(rig.fs.fired(rule).unwrap() > 0, "{context}: it was not reached");
                assert!(store.stats().transient_errors > 0 && !store.stats().poisoned, "{context}");
                rig.fs.clear().unwrap();
                std::thread::sleep(std::time::Duration::from_millis(200));
                finish(store.rotate()).unwrap();
                log.run(&store, LOAD);
                assert_eq!(store.stats().rotations, 1, "{context}");
                finish(store.close()).unwrap();
                assert_recovers(&rig, store, &mut log, &context);
            }
        }
    }
}
