//! Commit groups: what shares one, what is acknowledged when, and in which order.

use std::thread;

use super::*;

#[test]
fn appends_that_arrive_during_a_commit_share_the_next() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let first = rig.stall(0);
        let callers: Vec<_> = (1..=64).map(|record: u64| rig.submit(&record)).collect();
        rig.faults.release(Op::Commit);
        let seqs: Vec<_> =
            [first].into_iter().chain(callers).map(|caller| finish(caller).unwrap().seq).collect();
        assert_eq!(seqs, (1..=65).collect::<Vec<_>>());
        assert!(rig.faults.count(Op::Commit) <= 3, "{} commits", rig.faults.count(Op::Commit));
        assert_eq!(rig.store.stats().groups, rig.faults.count(Op::Commit));
    }
}

#[test]
fn nothing_is_acknowledged_before_the_device_is_done() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(7).unwrap();
        let mut first = rig.stall(8);
        let mut second = rig.submit(&9u64);
        assert!(is_waiting(&mut first) && is_waiting(&mut second));
        assert_eq!((rig.store.durable_seq(), values(&rig.path)), (1, vec![7]));
        rig.faults.release(Op::Commit);
        assert_eq!((finish(first).unwrap().seq, finish(second).unwrap().seq), (2, 3));
        assert_eq!((rig.store.durable_seq(), values(&rig.path)), (3, vec![7, 8, 9]));
    }
}

#[test]
fn what_is_acknowledged_is_there_for_every_reader() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(700));
        for record in 0..60 {
            rig.append(record).unwrap();
            assert_eq!(values(&rig.path), (0..=record).collect::<Vec<_>>());
        }
    }
}

#[test]
fn each_callers_records_stand_in_the_order_it_issued_them() {
    const CALLERS: u64 = 8;
    const RECORDS: u64 = 60;
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_group_bytes(100));
        thread::scope(|scope| {
            for caller in 0..CALLERS {
                let rig = &rig;
                scope.spawn(move || {
                    let issued = (0..RECORDS).map(|record| rig.submit(&(caller * 1000 + record)));
                    let seqs: Vec<_> = issued
                        .collect::<Vec<_>>()
                        .into_iter()
                        .map(|pending| finish(pending).unwrap().seq)
                        .collect();
                    assert!(seqs.is_sorted_by(|a, b| a < b));
                });
            }
        });
        let records = values(&rig.path);
        for caller in 0..CALLERS {
            let own: Vec<_> = records.iter().filter(|record| *record / 1000 == caller).copied().collect();
            assert_eq!(own, (caller * 1000..caller * 1000 + RECORDS).collect::<Vec<_>>());
        }
        assert_eq!(records.len() as u64, CALLERS * RECORDS);
    }
}

#[test]
fn a_batch_is_one_commit_however_large() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_group_bytes(1000));
        let before = rig.faults.count(Op::Commit);
        assert_eq!(finish(rig.store.append_batch(0..5000u64)).unwrap(), 1..5001);
        assert_eq!(rig.faults.count(Op::Commit), before + 1);
        assert_eq!(values(&rig.path), (0..5000).collect::<Vec<_>>());
    }
}

#[test]
fn a_group_is_full_at_its_limit() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_group_bytes(1));
        let first = rig.stall(0);
        let rest: Vec<_> = (1..=9).map(|record: u64| rig.submit(&record)).collect();
        rig.faults.release(Op::Commit);
        for caller in [first].into_iter().chain(rest) {
            finish(caller).unwrap();
        }
        assert_eq!(rig.faults.count(Op::Commit), 10);
    }
}

#[test]
fn a_commit_delay_gathers_what_comes_meanwhile() {
    for kind in lanes() {
        let options = JournalOptions::new().commit_delay(Duration::from_secs(1));
        let rig = Rig::open(kind, options);
        let callers: Vec<_> = (0..5).map(|record: u64| rig.submit(&record)).collect();
        // Ends the group before its time.
        finish(rig.store.rotate()).unwrap();
        for caller in callers {
            finish(caller).unwrap();
        }
        assert_eq!(rig.store.stats().groups, 1);
    }
}

#[test]
fn dropped_caller_affects_no_other() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let first = rig.stall(0);
        drop(rig.submit(&1u64));
        let mut is_disconnected = Box::pin(rig.store.append(&2u64));
        assert!(is_waiting(&mut is_disconnected));
        drop(is_disconnected);
        let last = rig.submit(&3u64);
        rig.faults.release(Op::Commit);
        assert_eq!((finish(first).unwrap().seq, finish(last).unwrap().seq), (1, 4));
        assert_eq!(values(&rig.path), [0, 1, 2, 3]);
    }
}

#[test]
fn an_empty_batch_writes_nothing() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        assert_eq!(finish(rig.store.append_batch::<u64, _>([])).unwrap(), 1..1);
        assert_eq!((rig.faults.count(Op::Commit), rig.store.durable_seq()), (0, 0));
    }
}
