//! Rotation runs concurrently with the commits.

use super::*;

fn kilobyte() -> String {
    "x".repeat(1000)
}

#[test]
fn appends_are_acknowledged_during_slow_rotation() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(64 << 10));
        finish(fixture.store.append(&kilobyte())).unwrap();
        fixture.barrier();
        fixture.faults.block(Op::SyncDir);
        // Exceeds the limit, by most of the allowed eighth.
        for _ in 0..68 {
            finish(fixture.store.append(&kilobyte())).unwrap();
        }
        fixture.faults.wait_until_blocked(Op::SyncDir);
        assert_eq!((fixture.rotations(), fixture.store.durable_seq()), (0, 69));
        assert!(fs::metadata(&fixture.path).unwrap().len() >= 64 << 10);
        fixture.faults.unblock(Op::SyncDir);
        for _ in 0..10 {
            finish(fixture.store.append(&kilobyte())).unwrap();
        }
        finish(fixture.store.close()).unwrap();
        assert!(fixture.rotations() >= 1);
        assert_eq!(Reader::open(&fixture.path).unwrap().records::<String>().map(Result::unwrap).count(), 79);
    }
}

#[test]
fn segment_exceeds_limit_by_an_eighth_at_most() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(8000));
        for _ in 0..60 {
            finish(fixture.store.append(&kilobyte())).unwrap();
        }
        finish(fixture.store.close()).unwrap();
        let rotated =
            (1..=fixture.rotations()).map(|number| fixture.path.with_extension(format!("{number:03}")));
        for path in rotated {
            let len = fs::metadata(&path).unwrap().len();
            assert!((8000..9000 + 1100).contains(&len), "{}: {len}", path.display());
            assert!(is_closed(&path));
        }
        assert!(fixture.rotations() >= 5);
    }
}

#[test]
fn rotate_completes_while_appends_continue() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let mut rotating = fixture.stall_rotation();
        for record in 1..10 {
            fixture.append(record).unwrap();
        }
        assert!(is_pending(&mut rotating));
        fixture.faults.unblock(Op::SyncDir);
        finish(rotating).unwrap();
        assert_eq!(fixture.rotations(), 1);
        fixture.append(10).unwrap();
        assert_eq!(values(&fixture.path), (0..=10).collect::<Vec<_>>());
    }
}

#[test]
fn rotate_without_records_does_nothing() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        finish(fixture.store.rotate()).unwrap();
        assert_eq!(fixture.rotations(), 0);
        fixture.append(0).unwrap();
        finish(fixture.store.rotate()).unwrap();
        finish(fixture.store.rotate()).unwrap();
        assert_eq!(fixture.rotations(), 1);
    }
}

#[test]
fn record_in_unpublished_segment_is_unacknowledged() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        // The second rename gives the new segment the active name.
        fixture.faults.block(Op::Rename);
        let mut rotating = Box::pin(fixture.store.rotate());
        assert!(is_pending(&mut rotating));
        fixture.faults.wait_until_blocked(Op::Rename);
        assert_eq!(values(&fixture.path), [0]);
        let mut waiting = fixture.submit(&1u64);
        fixture.faults.unblock(Op::Rename);
        finish(rotating).unwrap();
        finish(&mut waiting).unwrap();
        assert_eq!(values(&fixture.path), [0, 1]);
    }
}

#[test]
fn retention_keeps_seqs_of_later_records() {
    for kind in backends() {
        let options = JournalOptions::new().max_segment_bytes(1).max_segments(3);
        let fixture = StoreFixture::open(kind, options.clone());
        for record in 0..20 {
            fixture.append(record).unwrap();
        }
        finish(fixture.store.close()).unwrap();
        let kept: Vec<_> =
            Reader::open(&fixture.path).unwrap().records::<u64>().map(Result::unwrap).collect();
        assert!(!kept.is_empty() && kept.len() < 20);
        assert!(kept.iter().all(|record| record.seq == record.value + 1));
        assert_eq!(kept.last().map(|record| record.seq), Some(20));
        let again = open_on(kind, options, &fixture.path, &FaultInjector::new()).unwrap();
        assert_eq!(again.open_report().next_seq, 21);
    }
}

#[test]
fn refused_link_keeps_segment_and_reports_it() {
    for kind in backends() {
        let faults = FaultInjector::new();
        let fixture = StoreFixture::open_on(kind, JournalOptions::new(), faults);
        fixture.append(0).unwrap();
        fixture.faults.rename_only_by_links();
        for nth in 1..=20 {
            fixture.faults.fail(Op::Link, nth, Errno::PERM);
        }
        let error = finish(fixture.store.rotate()).unwrap_err();
        assert!(
            matches!(&error, MiniStoreError::NotOwned { path, .. } if *path == fixture.store.path()),
            "{error:?}"
        );
        fixture.append(1).unwrap();
        finish(fixture.store.close()).unwrap();
        assert_eq!(values(&fixture.path), [0, 1]);
        assert!(!fixture.path.with_extension("001").exists());
    }
}

#[test]
fn repeated_link_request_counts_as_success() {
    for kind in backends() {
        let faults = FaultInjector::new();
        faults.rename_only_by_links();
        let fixture = StoreFixture::open_on(kind, JournalOptions::new(), faults);
        fixture.append(0).unwrap();
        // As on a network file system that repeats a request: the link exists, and the call fails.
        fixture.faults.before_each({
            let path = fixture.path.clone();
            move |event| {
                if event.op == Op::Link && event.path.ends_with("j.001") {
                    fs::hard_link(&path, event.path).unwrap();
                }
            }
        });
        finish(fixture.store.rotate()).unwrap();
        fixture.append(1).unwrap();
        finish(fixture.store.close()).unwrap();
        assert_eq!(values(&fixture.path), [0, 1]);
    }
}
