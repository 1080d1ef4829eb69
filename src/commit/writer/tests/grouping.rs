//! Commit groups: which appends share one, and when and in which order they are acknowledged.

use std::thread;

use super::*;

#[test]
fn appends_during_a_commit_share_the_next() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let first = fixture.stall(0);
        let callers: Vec<_> = (1..=64).map(|record: u64| fixture.submit(&record)).collect();
        fixture.faults.unblock(Op::Commit);
        let seqs: Vec<_> =
            [first].into_iter().chain(callers).map(|caller| finish(caller).unwrap().seq).collect();
        assert_eq!(seqs, (1..=65).collect::<Vec<_>>());
        assert!(fixture.faults.count(Op::Commit) <= 3, "{} commits", fixture.faults.count(Op::Commit));
        assert_eq!(fixture.store.stats().groups, fixture.faults.count(Op::Commit));
    }
}

#[test]
fn append_is_unacknowledged_until_commit_completes() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(7).unwrap();
        let mut first = fixture.stall(8);
        let mut second = fixture.submit(&9u64);
        assert!(is_pending(&mut first) && is_pending(&mut second));
        assert_eq!((fixture.store.durable_seq(), values(&fixture.path)), (1, vec![7]));
        fixture.faults.unblock(Op::Commit);
        assert_eq!((finish(first).unwrap().seq, finish(second).unwrap().seq), (2, 3));
        assert_eq!((fixture.store.durable_seq(), values(&fixture.path)), (3, vec![7, 8, 9]));
    }
}

#[test]
fn acknowledged_record_is_readable() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(700));
        for record in 0..60 {
            fixture.append(record).unwrap();
            assert_eq!(values(&fixture.path), (0..=record).collect::<Vec<_>>());
        }
    }
}

#[test]
fn records_of_one_caller_keep_their_order() {
    const CALLERS: u64 = 8;
    const RECORDS: u64 = 60;
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_group_bytes(100));
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let fixture = &fixture;
                scope.spawn(move || {
                    let issued = (0..RECORDS).map(|record| fixture.submit(&(caller * 1000 + record)));
                    let seqs: Vec<_> = issued
                        .collect::<Vec<_>>()
                        .into_iter()
                        .map(|pending| finish(pending).unwrap().seq)
                        .collect();
                    assert!(seqs.is_sorted_by(|a, b| a < b));
                });
            }
        });
        let records = values(&fixture.path);
        for caller in 0..CALLERS {
            let own: Vec<_> = records.iter().filter(|record| *record / 1000 == caller).copied().collect();
            assert_eq!(own, (caller * 1000..caller * 1000 + RECORDS).collect::<Vec<_>>());
        }
        assert_eq!(records.len() as u64, CALLERS * RECORDS);
    }
}

#[test]
fn large_batch_is_one_commit() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_group_bytes(1000));
        let before = fixture.faults.count(Op::Commit);
        assert_eq!(finish(fixture.store.append_batch(0..5000u64)).unwrap(), 1..5001);
        assert_eq!(fixture.faults.count(Op::Commit), before + 1);
        assert_eq!(values(&fixture.path), (0..5000).collect::<Vec<_>>());
    }
}

#[test]
fn group_is_full_at_its_limit() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_group_bytes(1));
        let first = fixture.stall(0);
        let rest: Vec<_> = (1..=9).map(|record: u64| fixture.submit(&record)).collect();
        fixture.faults.unblock(Op::Commit);
        for caller in [first].into_iter().chain(rest) {
            finish(caller).unwrap();
        }
        assert_eq!(fixture.faults.count(Op::Commit), 10);
    }
}

#[test]
fn commit_delay_groups_later_appends() {
    for kind in backends() {
        let options = JournalOptions::new().commit_delay(Duration::from_secs(1));
        let fixture = StoreFixture::open(kind, options);
        let callers: Vec<_> = (0..5).map(|record: u64| fixture.submit(&record)).collect();
        // A rotation ends the group before the delay has passed.
        finish(fixture.store.rotate()).unwrap();
        for caller in callers {
            finish(caller).unwrap();
        }
        assert_eq!(fixture.store.stats().groups, 1);
    }
}

#[test]
fn dropped_caller_affects_no_other() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let first = fixture.stall(0);
        drop(fixture.submit(&1u64));
        let mut cancelled = Box::pin(fixture.store.append(&2u64));
        assert!(is_pending(&mut cancelled));
        drop(cancelled);
        let last = fixture.submit(&3u64);
        fixture.faults.unblock(Op::Commit);
        assert_eq!((finish(first).unwrap().seq, finish(last).unwrap().seq), (1, 4));
        assert_eq!(values(&fixture.path), [0, 1, 2, 3]);
    }
}

#[test]
fn empty_batch_writes_nothing() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        assert_eq!(finish(fixture.store.append_batch::<u64, _>([])).unwrap(), 1..1);
        assert_eq!((fixture.faults.count(Op::Commit), fixture.store.durable_seq()), (0, 0));
    }
}
