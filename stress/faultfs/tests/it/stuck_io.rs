//! An operation that never completes: only appends wait, and they complete when it is released.

use std::{
    future::Future,
    pin::pin,
    task::{Context, Poll, Waker},
};

use ministore_faultfs::{Op, Rule};

use crate::{
    fixture::{Fixture, StoreConfig, block_on, fuse_works, run_with_timeout},
    workload::{AckLog, AppendOutcome, Record, Workload, assert_durable, assert_recovers, records},
};

const WORKLOAD: Workload = Workload { callers: 2, records: 3, padding: 10 };

/// Returns a store whose next commit blocks, and the outcomes of earlier appends.
fn store_with_blocked_commit(
    config: StoreConfig,
    op: Op,
) -> (Fixture, ministore_uring::MiniStore, AckLog, ministore_faultfs::RuleId) {
    let fixture = Fixture::new(config);
    let store = fixture.open(config.options()).unwrap();
    let mut acks = AckLog::default();
    acks.run(&store, WORKLOAD);
    let rule = fixture.fs.set(Rule::on(op).named("j").blocked().forever()).unwrap();
    (fixture, store, acks, rule)
}

#[test]
fn waiting_append_does_not_block_its_thread() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::all() {
        for op in [Op::Write, Op::Sync] {
            let (fixture, store, mut acks, rule) = store_with_blocked_commit(config, op);
            let durable = store.durable_seq();
            let pending_records: Vec<_> = (0..3).map(|index| Record::new(9, index, 10)).collect();
            let outcomes = block_on(async {
                let mut pending = Vec::new();
                for record in &pending_records {
                    pending.push(store.submit(record).await.unwrap());
                }
                fixture.fs.await_blocked(rule, 1).unwrap();
                // Everything runs on the only thread of this runtime; the appends are polled in between.
                let mut polls = 0;
                while polls < 1000 {
                    for append in &mut pending {
                        assert!(
                            poll(append).is_pending(),
                            "{config}: an append was acknowledged before it was durable"
                        );
                    }
                    tokio::task::yield_now().await;
                    polls += 1;
                }
                assert_eq!(store.durable_seq(), durable, "{config}: a blocked commit counts as durable");
                fixture.fs.release(rule).unwrap();
                let mut outcomes = Vec::new();
                for append in pending {
                    outcomes.push(AppendOutcome::of(append.await));
                }
                outcomes
            });
            for (record, outcome) in pending_records.iter().zip(outcomes) {
                assert!(matches!(outcome, AppendOutcome::Acknowledged(_)), "{config}: {outcome:?}");
                acks.record_outcome(record, outcome);
            }
            assert_recovers(&fixture, store, &mut acks, &format!("{config}, {op:?}"));
        }
    }
}

#[test]
fn dropping_futures_and_store_does_not_block() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::all() {
        for op in [Op::Write, Op::Sync] {
            let (fixture, store, mut acks, rule) = store_with_blocked_commit(config, op);
            let abandoned = Record::new(9, 0, 10);
            acks.record_outcome(&abandoned, AppendOutcome::Unknown(None));
            // An append is started, blocked and dropped halfway on the thread of a runtime; then the store.
            block_on(async {
                let mut append = Box::pin(store.append(&abandoned));
                assert!(poll(&mut append).is_pending());
                fixture.fs.await_blocked(rule, 1).unwrap();
                drop(append);
                let mut closing = Box::pin(store.close());
                assert!(poll(&mut closing).is_pending(), "{config}: closed before its commit is done");
                drop(closing);
            });
            assert_durable(&fixture, &store, &acks, &config.to_string());
            drop(store);
            // Opening it again waits until the blocked operation completes.
            let path = fixture.path();
            let mut opening = pin!(config.options().open(&path));
            assert!(poll(&mut opening).is_pending(), "{config}");
            fixture.fs.release(rule).unwrap();
            let reopened = block_on(opening).unwrap();
            let found = records(&fixture.path());
            assert_eq!(found.last(), Some(&abandoned), "{config}: an accepted record was not written");
            assert_recovers(&fixture, reopened, &mut acks, &format!("{config}, {op:?}"));
        }
    }
}

#[test]
fn slow_background_work_delays_no_commit() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::all() {
        let fixture = Fixture::new(config);
        let store = fixture.open(config.options().max_segment_bytes(2000)).unwrap();
        let rules = [
            Rule::on(Op::Create).named("j.next").blocked().forever(),
            Rule::on(Op::Write).named("j.next").blocked().forever(),
        ];
        let rules = rules.map(|rule| fixture.fs.set(rule).unwrap());
        let mut acks = AckLog::default();
        // Half of a segment is filled: preparation of the next one starts and blocks.
        acks.run(&store, Workload { callers: 1, records: 10, padding: 100 });
        fixture.fs.await_blocked(rules[0], 1).unwrap();
        acks.run(&store, Workload { callers: 1, records: 4, padding: 10 });
        assert_eq!(acks.acknowledged(), 14, "{config}");
        fixture.fs.clear().unwrap();
        acks.run(&store, Workload { callers: 2, records: 30, padding: 100 });
        assert_eq!(acks.acknowledged(), 74, "{config}");
        assert!(store.stats().rotations > 0, "{config}");
        assert_recovers(&fixture, store, &mut acks, &config.to_string());
    }
}

#[test]
fn readers_continue_during_slow_commit() {
    if !fuse_works() {
        return;
    }
    for config in StoreConfig::few() {
        let (fixture, store, mut acks, rule) = store_with_blocked_commit(config, Op::Sync);
        let waiting = Record::new(9, 0, 10);
        let pending = block_on(store.submit(&waiting)).unwrap();
        fixture.fs.await_blocked(rule, 1).unwrap();
        let found = records(&fixture.path());
        assert!(found.len() >= acks.acknowledged(), "{config}");
        acks.assert_matches(&found, &config.to_string());
        fixture.fs.release(rule).unwrap();
        acks.record_outcome(&waiting, AppendOutcome::of(run_with_timeout(move || pending.wait())));
        assert_recovers(&fixture, store, &mut acks, &config.to_string());
    }
}

fn poll<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}
