//! An operation that never completes: appends wait, nobody else does, and all of it settles when it is released.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use ministore_faultfs::{Op, Rule};

use crate::{
    callers::{Fate, Load, Log, Record, assert_durable, assert_recovers, records},
    rig::{Lane, Rig, bounded, finish, fuse_works},
};

const LOAD: Load = Load { callers: 2, records: 3, padding: 10 };

/// A store that has a commit held back; what was appended before.
fn stuck(lane: Lane, op: Op) -> (Rig, ministore_uring::MiniStore, Log, ministore_faultfs::RuleId) {
    let rig = Rig::new(lane);
    let store = rig.open(lane.options()).unwrap();
    let mut log = Log::default();
    log.run(&store, LOAD);
    let rule = rig.fs.set(Rule::on(op).named("j").held().for_ever()).unwrap();
    (rig, store, log, rule)
}

#[test]
fn waiting_append_does_not_block_its_thread() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::all() {
        for op in [Op::Write, Op::Sync] {
            let (rig, store, mut log, rule) = stuck(lane, op);
            let durable = store.durable_seq();
            let held: Vec<_> = (0..3).map(|index| Record::new(9, index, 10)).collect();
            let fates = finish(async {
                let mut pending = Vec::new();
                for record in &held {
                    pending.push(store.submit(record).await.unwrap());
                }
                rig.fs.await_held(rule, 1).unwrap();
                // On the only thread of this runtime, with the appends polled in between.
                let mut turns = 0;
                while turns < 1000 {
                    for append in &mut pending {
                        assert!(poll(append).is_pending(), "{lane}: acknowledged before it was durable");
                    }
                    tokio::task::yield_now().await;
                    turns += 1;
                }
                assert_eq!(store.durable_seq(), durable, "{lane}: what is held back counts as durable");
                rig.fs.release(rule).unwrap();
                let mut fates = Vec::new();
                for append in pending {
                    fates.push(Fate::of(append.await));
                }
                fates
            });
            for (record, fate) in held.iter().zip(fates) {
                assert!(matches!(fate, Fate::Acknowledged(_)), "{lane}: {fate:?}");
                log.note(record, fate);
            }
            assert_recovers(&rig, store, &mut log, &format!("{lane}, {op:?}"));
        }
    }
}

#[test]
fn dropping_futures_and_store_does_not_block() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::all() {
        for op in [Op::Write, Op::Sync] {
            let (rig, store, mut log, rule) = stuck(lane, op);
            let forgotten = Record::new(9, 0, 10);
            log.note(&forgotten, Fate::Unknown(None));
            // Begun, held back, and dropped half-way, on the thread of a runtime; the store with it.
            finish(async {
                let mut append = Box::pin(store.append(&forgotten));
                assert!(poll(&mut append).is_pending());
                rig.fs.await_held(rule, 1).unwrap();
                drop(append);
                let mut closing = Box::pin(store.close());
                assert!(poll(&mut closing).is_pending(), "{lane}: closed before its commit is done");
                drop(closing);
            });
            assert_durable(&rig, &store, &log, &lane.to_string());
            drop(store);
            // Whoever opens it again waits, and gets it once the operation is through.
            let path = rig.path();
            let mut opening = pin!(lane.options().open(&path));
            assert!(poll(&mut opening).is_pending(), "{lane}");
            rig.fs.release(rule).unwrap();
            let again = finish(opening).unwrap();
            let found = records(&rig.path());
            assert_eq!(found.last(), Some(&forgotten), "{lane}: what was accepted is written all the same");
            assert_recovers(&rig, again, &mut log, &format!("{lane}, {op:?}"));
        }
    }
}

#[test]
fn slow_background_work_delays_no_commit() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::all() {
        let rig = Rig::new(lane);
        let store = rig.open(lane.options().max_segment_bytes(2000)).unwrap();
        let rules = [
            Rule::on(Op::Create).named("j.next").held().for_ever(),
            Rule::on(Op::Write).named("j.next").held().for_ever(),
        ];
        let rules = rules.map(|rule| rig.fs.set(rule).unwrap());
        let mut log = Log::default();
        // Half of a segment: the next is prepared, and that never ends.
        log.run(&store, Load { callers: 1, records: 10, padding: 100 });
        rig.fs.await_held(rules[0], 1).unwrap();
        log.run(&store, Load { callers: 1, records: 4, padding: 10 });
        assert_eq!(log.acknowledged(), 14, "{lane}");
        rig.fs.clear().unwrap();
        log.run(&store, Load { callers: 2, records: 30, padding: 100 });
        assert_eq!(log.acknowledged(), 74, "{lane}");
        assert!(store.stats().rotations > 0, "{lane}");
        assert_recovers(&rig, store, &mut log, &lane.to_string());
    }
}

#[test]
fn readers_continue_during_slow_commit() {
    if !fuse_works() {
        return;
    }
    for lane in Lane::two() {
        let (rig, store, mut log, rule) = stuck(lane, Op::Sync);
        let waiting = Record::new(9, 0, 10);
        let pending = finish(store.submit(&waiting)).unwrap();
        rig.fs.await_held(rule, 1).unwrap();
        let found = records(&rig.path());
        assert!(found.len() >= log.acknowledged(), "{lane}");
        log.assert_holds(&found, &lane.to_string());
        rig.fs.release(rule).unwrap();
        log.note(&waiting, Fate::of(bounded(move || pending.wait())));
        assert_recovers(&rig, store, &mut log, &lane.to_string());
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
