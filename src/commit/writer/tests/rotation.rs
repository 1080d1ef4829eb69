//! Rotation goes on beside the commits.

use super::*;

fn kilobyte() -> String {
    "x".repeat(1000)
}

#[test]
fn appends_are_acknowledged_while_a_rotation_is_held_back() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(64 << 10));
        finish(rig.store.append(&kilobyte())).unwrap();
        rig.settle();
        rig.faults.hold(Op::SyncDir);
        // Past the limit, and most of the eighth above it.
        for _ in 0..68 {
            finish(rig.store.append(&kilobyte())).unwrap();
        }
        rig.faults.await_held(Op::SyncDir);
        assert_eq!((rig.rotations(), rig.store.durable_seq()), (0, 69));
        assert!(fs::metadata(&rig.path).unwrap().len() >= 64 << 10);
        rig.faults.release(Op::SyncDir);
        for _ in 0..10 {
            finish(rig.store.append(&kilobyte())).unwrap();
        }
        finish(rig.store.close()).unwrap();
        assert!(rig.rotations() >= 1);
        assert_eq!(Reader::open(&rig.path).unwrap().records::<String>().map(Result::unwrap).count(), 79);
    }
}

#[test]
fn a_segment_does_not_outgrow_its_limit_by_more_than_an_eighth_and_a_group() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(8000));
        for _ in 0..60 {
            finish(rig.store.append(&kilobyte())).unwrap();
        }
        finish(rig.store.close()).unwrap();
        let rotated = (1..=rig.rotations()).map(|number| rig.path.with_extension(format!("{number:03}")));
        for path in rotated {
            let len = fs::metadata(&path).unwrap().len();
            assert!((8000..9000 + 1100).contains(&len), "{}: {len}", path.display());
            assert!(is_closed(&path));
        }
        assert!(rig.rotations() >= 5);
    }
}

#[test]
fn rotate_completes_while_appends_continue() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let mut rotating = rig.stall_rotation();
        for record in 1..10 {
            rig.append(record).unwrap();
        }
        assert!(is_waiting(&mut rotating));
        rig.faults.release(Op::SyncDir);
        finish(rotating).unwrap();
        assert_eq!(rig.rotations(), 1);
        rig.append(10).unwrap();
        assert_eq!(values(&rig.path), (0..=10).collect::<Vec<_>>());
    }
}

#[test]
fn a_rotation_of_nothing_does_nothing() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        finish(rig.store.rotate()).unwrap();
        assert_eq!(rig.rotations(), 0);
        rig.append(0).unwrap();
        finish(rig.store.rotate()).unwrap();
        finish(rig.store.rotate()).unwrap();
        assert_eq!(rig.rotations(), 1);
    }
}

#[test]
fn a_record_is_acknowledged_only_when_readers_find_its_segment() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        // The second rename gives the new segment the active name.
        rig.faults.hold(Op::Rename);
        let mut rotating = Box::pin(rig.store.rotate());
        assert!(is_waiting(&mut rotating));
        rig.faults.await_held(Op::Rename);
        assert_eq!(values(&rig.path), [0]);
        let mut waiting = rig.submit(&1u64);
        rig.faults.release(Op::Rename);
        finish(rotating).unwrap();
        finish(&mut waiting).unwrap();
        assert_eq!(values(&rig.path), [0, 1]);
    }
}

#[test]
fn old_segments_go_and_numbers_stay() {
    for kind in lanes() {
        let options = JournalOptions::new().max_segment_bytes(1).max_segments(3);
        let rig = Rig::open(kind, options.clone());
        for record in 0..20 {
            rig.append(record).unwrap();
        }
        finish(rig.store.close()).unwrap();
        let kept: Vec<_> = Reader::open(&rig.path).unwrap().records::<u64>().map(Result::unwrap).collect();
        assert!(!kept.is_empty() && kept.len() < 20);
        assert!(kept.iter().all(|record| record.seq == record.value + 1));
        assert_eq!(kept.last().map(|record| record.seq), Some(20));
        let again = open_on(kind, options, &rig.path, &FaultInjector::new()).unwrap();
        assert_eq!(again.open_report().next_seq, 21);
    }
}

#[test]
fn refused_link_keeps_the_segment_and_says_so() {
    for kind in lanes() {
        let faults = FaultInjector::new();
        let rig = Rig::open_on(kind, JournalOptions::new(), faults);
        rig.append(0).unwrap();
        rig.faults.rename_only_by_links();
        for nth in 1..=20 {
            rig.faults.fail(Op::Link, nth, Errno::PERM);
        }
        let told = finish(rig.store.rotate()).unwrap_err();
        assert!(
            matches!(&told, MiniStoreError::NotOwned { path, .. } if *path == rig.store.path()),
            "{told:?}"
        );
        rig.append(1).unwrap();
        finish(rig.store.close()).unwrap();
        assert_eq!(values(&rig.path), [0, 1]);
        assert!(!rig.path.with_extension("001").exists());
    }
}

#[test]
fn link_that_was_made_twice_is_taken_for_made() {
    for kind in lanes() {
        let faults = FaultInjector::new();
        faults.rename_only_by_links();
        let rig = Rig::open_on(kind, JournalOptions::new(), faults);
        rig.append(0).unwrap();
        // As a network file system answers that repeats a request.
        rig.faults.before_each({
            let path = rig.path.clone();
            move |event| {
                if event.op == Op::Link && event.path.ends_with("j.001") {
                    fs::hard_link(&path, event.path).unwrap();
                }
            }
        });
        finish(rig.store.rotate()).unwrap();
        rig.append(1).unwrap();
        finish(rig.store.close()).unwrap();
        assert_eq!(values(&rig.path), [0, 1]);
    }
}
