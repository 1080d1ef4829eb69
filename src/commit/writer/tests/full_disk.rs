//! A full disk fails what does not fit, loses nothing, and is no matter any more once there is room.

use std::thread;

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[test]
fn only_what_does_not_fit_fails() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        let [first, small, huge, last] = rig.submit_more_than_fits();
        assert_eq!((finish(first).unwrap().seq, finish(small).unwrap().seq), (1, 2));
        assert!(is_full(&finish(huge)));
        assert_eq!(finish(last).unwrap().seq, 3);
        assert_eq!(values(&rig.path), [0, 1, 2]);

        rig.faults.clear_space_limit();
        assert_eq!(finish(rig.submit(&"x".repeat(600 << 10))).unwrap().seq, 4);
        finish(rig.store.close()).unwrap();
        assert!(is_closed(&rig.path));
        assert_eq!(
            Reader::open(&rig.path).unwrap().records::<serde_json::Value>().map(Result::unwrap).count(),
            4
        );
    }
}

/// Appends until there is no room; how many were acknowledged.
fn fill_up(rig: &Rig) -> u64 {
    let padding = "x".repeat(1000);
    (0..1000).find(|_| is_full(&finish(rig.store.append(&padding)))).expect("it never gets full")
}

#[test]
fn appends_succeed_again_after_space_is_freed() {
    for kind in lanes() {
        for preallocate in [true, false] {
            let rig = Rig::open(kind, JournalOptions::new().preallocate(preallocate));
            finish(rig.store.append("first")).unwrap();
            rig.settle();
            let mut expected = 1;
            for room in [0, 3000, 70_000] {
                rig.faults.set_space_limit(room);
                expected += fill_up(&rig);
                assert_eq!(rig.store.durable_seq(), expected);
                assert!(is_full(&finish(rig.store.append(&"x".repeat(100_000)))));
                let found = crate::maintenance::verify(&rig.path).unwrap();
                assert_eq!((found.torn_tail, found.records), (None, expected), "something is left of it");
                rig.faults.clear_space_limit();
                finish(rig.store.append("more")).unwrap();
                expected += 1;
            }
            assert_eq!(
                Reader::open(&rig.path).unwrap().records::<String>().map(Result::unwrap).count() as u64,
                expected
            );
            finish(rig.store.close()).unwrap();
            assert!(is_closed(&rig.path));
            let records: Vec<_> =
                Reader::open(&rig.path).unwrap().records::<String>().map(Result::unwrap).collect();
            assert_eq!(records.last().map(|record| record.seq), Some(expected));
        }
    }
}

#[test]
fn appends_continue_when_next_segment_does_not_fit() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(1000));
        rig.append(0).unwrap();
        rig.settle();
        rig.faults.set_space_limit(0);
        let attempts = rig.faults.count(Op::Create);
        for record in 1..100 {
            rig.append(record).unwrap();
        }
        assert_eq!(rig.rotations(), 0);
        assert!(fs::metadata(&rig.path).unwrap().len() > 1000);
        // Each append may try once; nobody tries in between.
        rig.settle();
        let tried = rig.faults.count(Op::Create) - attempts;
        assert!(tried > 0 && tried <= 200, "{tried} attempts for 100 requests");

        rig.faults.clear_space_limit();
        rig.append(100).unwrap();
        finish(rig.store.close()).unwrap();
        assert_eq!(values(&rig.path), (0..=100).collect::<Vec<_>>());
        assert!(rig.path.with_extension("001").exists(), "it was rotated once there was room");
    }
}

#[test]
fn idle_store_retries_nothing() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(1000));
        rig.append(0).unwrap();
        rig.settle();
        rig.faults.set_space_limit(0);
        for record in 1..100 {
            rig.append(record).unwrap();
        }
        assert!(is_full(&finish(rig.store.rotate())));
        let changes = rig.faults.changes();
        for _ in 0..2000 {
            thread::yield_now();
        }
        assert!(
            rig.faults.changes() <= changes + 2,
            "{} operations while idle",
            rig.faults.changes() - changes
        );
    }
}

#[test]
fn rotation_returns_storage_full_and_succeeds_later() {
    for kind in lanes() {
        for preallocate in [true, false] {
            let rig = Rig::open(kind, JournalOptions::new().preallocate(preallocate));
            rig.append(0).unwrap();
            rig.settle();
            rig.faults.set_space_limit(0);
            assert!(is_full(&finish(rig.store.rotate())));
            assert!(is_full(&finish(rig.store.rotate())), "it fails again");
            assert_eq!(rig.rotations(), 0);
            rig.faults.clear_space_limit();
            rig.append(1).unwrap();
            finish(rig.store.rotate()).unwrap();
            assert_eq!(rig.rotations(), 1);
            rig.append(2).unwrap();
            finish(rig.store.close()).unwrap();
            assert_eq!(values(&rig.path), [0, 1, 2]);
        }
    }
}

#[test]
fn full_directory_only_delays_rotation() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        rig.faults.fail(Op::Rename, 1, Errno::NOSPC);
        assert!(is_full(&finish(rig.store.rotate())));
        rig.append(1).unwrap();
        finish(rig.store.rotate()).unwrap();
        finish(rig.store.close()).unwrap();
        assert_eq!((rig.rotations(), values(&rig.path)), (1, vec![0, 1]));
    }
}

#[test]
fn prepared_segment_without_space_is_removed() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        rig.faults.set_space_limit(32 << 10);
        assert!(is_full(&finish(rig.store.rotate())));
        assert!(!rig.path.with_extension("next").exists());
        rig.append(1).unwrap();
        assert_eq!(values(&rig.path), [0, 1]);
    }
}

/// A bare number is whole only with its LF: no crash may find it without one while a failed group is cut away.
#[test]
fn cutting_away_what_did_not_fit_never_takes_the_lf_of_a_plain_line() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().checksums(false));
        rig.append(12).unwrap();
        let (path, copies) = (rig.path.clone(), tempfile::tempdir().unwrap());
        let (to, count) = (copies.path().to_path_buf(), AtomicU64::new(0));
        rig.faults.before_each(move |_| {
            let copy = to.join(count.fetch_add(1, Ordering::Relaxed).to_string());
            fs::copy(&path, copy).unwrap();
        });
        rig.faults.fail(Op::Commit, 1, Errno::NOSPC);
        assert!(is_full(&rig.append(345)));
        rig.append(6).unwrap();
        let copies: Vec<_> = fs::read_dir(copies.path()).unwrap().map(|copy| copy.unwrap().path()).collect();
        assert!(copies.len() >= 3, "the cutting away and a commit");
        for copy in copies {
            drop(
                open_on(kind, JournalOptions::new().checksums(false), &copy, &FaultInjector::new()).unwrap(),
            );
            assert_eq!(values(&copy)[0], 12, "{}", copy.display());
        }
    }
}

#[test]
fn enospc_in_padding_leaves_no_hole() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        // Uses up so much that the housekeeper pads on, beside the commits.
        rig.faults.hold(Op::Write);
        let large = rig.submit(&"x".repeat(80_000));
        finish(large).unwrap();
        rig.faults.await_held(Op::Write);
        rig.faults.fail(Op::Commit, 1, Errno::NOSPC);
        let failing = rig.submit(&1u64);
        rig.faults.await_count(Op::Commit, 3);
        rig.faults.release(Op::Write);
        assert!(is_full(&finish(failing)));
        rig.append(2).unwrap();
        rig.settle();
        let bytes = fs::read(&rig.path).unwrap();
        assert!(!bytes.contains(&0), "zeros at {:?}", bytes.iter().position(|&b| b == 0));
        rig.append(3).unwrap();
        finish(rig.store.close()).unwrap();
        assert_eq!(
            Reader::open(&rig.path).unwrap().records::<serde_json::Value>().map(Result::unwrap).count(),
            4
        );
    }
}

#[test]
fn new_segment_waits_for_space_for_its_header() {
    for kind in lanes() {
        for preallocate in [true, false] {
            let rig = Rig::open(kind, JournalOptions::new().preallocate(preallocate));
            rig.append(0).unwrap();
            // The header of the new segment.
            rig.faults.fail(Op::Commit, 1, Errno::NOSPC);
            finish(rig.store.rotate()).unwrap();
            assert_eq!(values(&rig.path), [0]);
            rig.append(1).unwrap();
            rig.append(2).unwrap();
            assert_eq!(values(&rig.path), [0, 1, 2]);
            finish(rig.store.close()).unwrap();
            assert_eq!(values(&rig.path), [0, 1, 2]);
        }
    }
}

#[test]
fn a_store_closed_before_its_new_segment_got_a_header_opens_again() {
    for kind in lanes() {
        for preallocate in [true, false] {
            let options = JournalOptions::new().preallocate(preallocate);
            let rig = Rig::open(kind, options.clone());
            rig.append(0).unwrap();
            rig.faults.fail(Op::Commit, 1, Errno::NOSPC);
            finish(rig.store.rotate()).unwrap();
            finish(rig.store.close()).unwrap();
            assert_eq!(values(&rig.path), [0]);
            let again = open_on(kind, options, &rig.path, &FaultInjector::new()).unwrap();
            finish(again.append(&1u64)).unwrap();
            finish(again.close()).unwrap();
            assert_eq!(values(&rig.path), [0, 1]);
        }
    }
}

#[test]
fn unclosed_rotated_segment_closes_at_next_rotation() {
    for kind in lanes() {
        // Without writing ahead, only the closing of a segment cuts it and writes to it beside the commits.
        for op in [Op::SetLen, Op::Write] {
            let rig = Rig::open(kind, JournalOptions::new().preallocate(false).max_segments(2));
            rig.append(0).unwrap();
            let tried = rig.faults.count(op);
            rig.faults.fail(op, 1, Errno::NOSPC);
            rig.faults.fail(op, 2, Errno::NOSPC);
            finish(rig.store.rotate()).unwrap();
            rig.faults.await_count(op, tried + 2);
            rig.append(1).unwrap();
            assert!(!is_closed(&rig.path.with_extension("001")));
            assert_eq!(values(&rig.path), [0, 1], "it is read as it is");
            finish(rig.store.rotate()).unwrap();
            rig.append(2).unwrap();
            finish(rig.store.close()).unwrap();
            assert!(is_closed(&rig.path.with_extension("002")) && is_closed(&rig.path));
            let kept: Vec<_> = Reader::open(&rig.path)
                .unwrap()
                .records::<u64>()
                .map(|record| record.unwrap().value)
                .collect();
            assert_eq!(kept, [1, 2], "{op:?}: the oldest segment is deleted all the same");
        }
    }
}

#[test]
fn unclosed_rotated_segment_closes_with_journal() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().preallocate(false));
        rig.append(0).unwrap();
        let tried = rig.faults.count(Op::Write);
        rig.faults.fail(Op::Write, 1, Errno::DQUOT);
        rig.faults.fail(Op::Write, 2, Errno::DQUOT);
        finish(rig.store.rotate()).unwrap();
        rig.faults.await_count(Op::Write, tried + 2);
        rig.append(1).unwrap();
        finish(rig.store.close()).unwrap();
        assert!(is_closed(&rig.path.with_extension("001")) && is_closed(&rig.path));
        assert_eq!(values(&rig.path), [0, 1]);
    }
}

/// The second attempt comes after the oldest segments were deleted, which made room.
#[test]
fn a_full_disk_does_not_keep_the_oldest_segments_from_being_deleted() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().preallocate(false).max_segments(1));
        rig.append(0).unwrap();
        rig.faults.fail(Op::Write, 1, Errno::NOSPC);
        finish(rig.store.rotate()).unwrap();
        rig.append(1).unwrap();
        finish(rig.store.close()).unwrap();
        assert!(!rig.path.with_extension("001").exists());
        assert_eq!(
            Reader::open(&rig.path)
                .unwrap()
                .records::<u64>()
                .map(|record| record.unwrap().value)
                .collect::<Vec<_>>(),
            [1]
        );
    }
}
