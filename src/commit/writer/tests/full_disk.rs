//! A full disk fails the appends that do not fit and loses nothing. Once space is freed, appends succeed again.

use std::thread;

use std::sync::atomic::{AtomicU64, Ordering};

use super::*;

#[test]
fn only_appends_that_do_not_fit_fail() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        let [first, small, huge, last] = fixture.submit_more_than_fits();
        assert_eq!((finish(first).unwrap().seq, finish(small).unwrap().seq), (1, 2));
        assert!(is_storage_full(&finish(huge)));
        assert_eq!(finish(last).unwrap().seq, 3);
        assert_eq!(values(&fixture.path), [0, 1, 2]);

        fixture.faults.clear_space_limit();
        assert_eq!(finish(fixture.submit(&"x".repeat(600 << 10))).unwrap().seq, 4);
        finish(fixture.store.close()).unwrap();
        assert!(is_closed(&fixture.path));
        assert_eq!(
            Reader::open(&fixture.path).unwrap().records::<serde_json::Value>().map(Result::unwrap).count(),
            4
        );
    }
}

/// Appends until the disk is full. Returns how many appends were acknowledged.
fn fill_up(fixture: &StoreFixture) -> u64 {
    let padding = "x".repeat(1000);
    (0..1000)
        .find(|_| is_storage_full(&finish(fixture.store.append(&padding))))
        .expect("the disk never gets full")
}

#[test]
fn appends_succeed_again_after_space_is_freed() {
    for kind in backends() {
        for preallocate in [true, false] {
            let fixture = StoreFixture::open(kind, JournalOptions::new().preallocate(preallocate));
            finish(fixture.store.append("first")).unwrap();
            fixture.barrier();
            let mut expected = 1;
            for space in [0, 3000, 70_000] {
                fixture.faults.set_space_limit(space);
                expected += fill_up(&fixture);
                assert_eq!(fixture.store.durable_seq(), expected);
                assert!(is_storage_full(&finish(fixture.store.append(&"x".repeat(100_000)))));
                let found = crate::maintenance::verify(&fixture.path).unwrap();
                assert_eq!(
                    (found.torn_tail, found.records),
                    (None, expected),
                    "a part of the failed append is left"
                );
                fixture.faults.clear_space_limit();
                finish(fixture.store.append("more")).unwrap();
                expected += 1;
            }
            assert_eq!(
                Reader::open(&fixture.path).unwrap().records::<String>().map(Result::unwrap).count() as u64,
                expected
            );
            finish(fixture.store.close()).unwrap();
            assert!(is_closed(&fixture.path));
            let records: Vec<_> =
                Reader::open(&fixture.path).unwrap().records::<String>().map(Result::unwrap).collect();
            assert_eq!(records.last().map(|record| record.seq), Some(expected));
        }
    }
}

#[test]
fn appends_continue_when_next_segment_does_not_fit() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(1000));
        fixture.append(0).unwrap();
        fixture.barrier();
        fixture.faults.set_space_limit(0);
        let attempts = fixture.faults.count(Op::Create);
        for record in 1..100 {
            fixture.append(record).unwrap();
        }
        assert_eq!(fixture.rotations(), 0);
        assert!(fs::metadata(&fixture.path).unwrap().len() > 1000);
        // Each append may try once; there is no attempt in between.
        fixture.barrier();
        let tried = fixture.faults.count(Op::Create) - attempts;
        assert!(tried > 0 && tried <= 200, "{tried} attempts for 100 requests");

        fixture.faults.clear_space_limit();
        fixture.append(100).unwrap();
        finish(fixture.store.close()).unwrap();
        assert_eq!(values(&fixture.path), (0..=100).collect::<Vec<_>>());
        assert!(fixture.path.with_extension("001").exists(), "it was rotated once space was freed");
    }
}

#[test]
fn idle_store_retries_nothing() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(1000));
        fixture.append(0).unwrap();
        fixture.barrier();
        fixture.faults.set_space_limit(0);
        for record in 1..100 {
            fixture.append(record).unwrap();
        }
        assert!(is_storage_full(&finish(fixture.store.rotate())));
        let changes = fixture.faults.changes();
        for _ in 0..2000 {
            thread::yield_now();
        }
        assert!(
            fixture.faults.changes() <= changes + 2,
            "{} operations while idle",
            fixture.faults.changes() - changes
        );
    }
}

#[test]
fn rotation_returns_storage_full_and_succeeds_later() {
    for kind in backends() {
        for preallocate in [true, false] {
            let fixture = StoreFixture::open(kind, JournalOptions::new().preallocate(preallocate));
            fixture.append(0).unwrap();
            fixture.barrier();
            fixture.faults.set_space_limit(0);
            assert!(is_storage_full(&finish(fixture.store.rotate())));
            assert!(is_storage_full(&finish(fixture.store.rotate())), "it fails again");
            assert_eq!(fixture.rotations(), 0);
            fixture.faults.clear_space_limit();
            fixture.append(1).unwrap();
            finish(fixture.store.rotate()).unwrap();
            assert_eq!(fixture.rotations(), 1);
            fixture.append(2).unwrap();
            finish(fixture.store.close()).unwrap();
            assert_eq!(values(&fixture.path), [0, 1, 2]);
        }
    }
}

#[test]
fn full_directory_only_delays_rotation() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        fixture.faults.fail(Op::Rename, 1, Errno::NOSPC);
        assert!(is_storage_full(&finish(fixture.store.rotate())));
        fixture.append(1).unwrap();
        finish(fixture.store.rotate()).unwrap();
        finish(fixture.store.close()).unwrap();
        assert_eq!((fixture.rotations(), values(&fixture.path)), (1, vec![0, 1]));
    }
}

#[test]
fn prepared_segment_without_space_is_removed() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        fixture.faults.set_space_limit(32 << 10);
        assert!(is_storage_full(&finish(fixture.store.rotate())));
        assert!(!fixture.path.with_extension("next").exists());
        fixture.append(1).unwrap();
        assert_eq!(values(&fixture.path), [0, 1]);
    }
}

/// A bare number is complete only with its LF: no crash may find it without one while a failed group is truncated.
#[test]
fn truncating_failed_group_keeps_lf_of_plain_line() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().checksums(false));
        fixture.append(12).unwrap();
        let (path, copies) = (fixture.path.clone(), tempfile::tempdir().unwrap());
        let (to, count) = (copies.path().to_path_buf(), AtomicU64::new(0));
        fixture.faults.before_each(move |_| {
            let copy = to.join(count.fetch_add(1, Ordering::Relaxed).to_string());
            fs::copy(&path, copy).unwrap();
        });
        fixture.faults.fail(Op::Commit, 1, Errno::NOSPC);
        assert!(is_storage_full(&fixture.append(345)));
        fixture.append(6).unwrap();
        let copies: Vec<_> = fs::read_dir(copies.path()).unwrap().map(|copy| copy.unwrap().path()).collect();
        assert!(copies.len() >= 3, "the truncation and a commit");
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
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        // Uses up so much of the padding that the background thread extends it, concurrently with the commits.
        fixture.faults.block(Op::Write);
        let large = fixture.submit(&"x".repeat(80_000));
        finish(large).unwrap();
        fixture.faults.wait_until_blocked(Op::Write);
        fixture.faults.fail(Op::Commit, 1, Errno::NOSPC);
        let failing = fixture.submit(&1u64);
        fixture.faults.wait_for_count(Op::Commit, 3);
        fixture.faults.unblock(Op::Write);
        assert!(is_storage_full(&finish(failing)));
        fixture.append(2).unwrap();
        fixture.barrier();
        let bytes = fs::read(&fixture.path).unwrap();
        assert!(!bytes.contains(&0), "zeros at {:?}", bytes.iter().position(|&b| b == 0));
        fixture.append(3).unwrap();
        finish(fixture.store.close()).unwrap();
        assert_eq!(
            Reader::open(&fixture.path).unwrap().records::<serde_json::Value>().map(Result::unwrap).count(),
            4
        );
    }
}

#[test]
fn new_segment_waits_for_space_for_its_header() {
    for kind in backends() {
        for preallocate in [true, false] {
            let fixture = StoreFixture::open(kind, JournalOptions::new().preallocate(preallocate));
            fixture.append(0).unwrap();
            // The commit of the new segment's header.
            fixture.faults.fail(Op::Commit, 1, Errno::NOSPC);
            finish(fixture.store.rotate()).unwrap();
            assert_eq!(values(&fixture.path), [0]);
            fixture.append(1).unwrap();
            fixture.append(2).unwrap();
            assert_eq!(values(&fixture.path), [0, 1, 2]);
            finish(fixture.store.close()).unwrap();
            assert_eq!(values(&fixture.path), [0, 1, 2]);
        }
    }
}

#[test]
fn journal_closed_before_new_header_reopens() {
    for kind in backends() {
        for preallocate in [true, false] {
            let options = JournalOptions::new().preallocate(preallocate);
            let fixture = StoreFixture::open(kind, options.clone());
            fixture.append(0).unwrap();
            fixture.faults.fail(Op::Commit, 1, Errno::NOSPC);
            finish(fixture.store.rotate()).unwrap();
            finish(fixture.store.close()).unwrap();
            assert_eq!(values(&fixture.path), [0]);
            let again = open_on(kind, options, &fixture.path, &FaultInjector::new()).unwrap();
            finish(again.append(&1u64)).unwrap();
            finish(again.close()).unwrap();
            assert_eq!(values(&fixture.path), [0, 1]);
        }
    }
}

#[test]
fn unclosed_rotated_segment_closes_at_next_rotation() {
    for kind in backends() {
        // Without preallocation, only the closing of a segment truncates it and writes to it outside of commits.
        for op in [Op::SetLen, Op::Write] {
            let fixture = StoreFixture::open(kind, JournalOptions::new().preallocate(false).max_segments(2));
            fixture.append(0).unwrap();
            let tried = fixture.faults.count(op);
            fixture.faults.fail(op, 1, Errno::NOSPC);
            fixture.faults.fail(op, 2, Errno::NOSPC);
            finish(fixture.store.rotate()).unwrap();
            fixture.faults.wait_for_count(op, tried + 2);
            fixture.append(1).unwrap();
            assert!(!is_closed(&fixture.path.with_extension("001")));
            assert_eq!(values(&fixture.path), [0, 1], "it is readable without its end marker");
            finish(fixture.store.rotate()).unwrap();
            fixture.append(2).unwrap();
            finish(fixture.store.close()).unwrap();
            assert!(is_closed(&fixture.path.with_extension("002")) && is_closed(&fixture.path));
            let kept: Vec<_> = Reader::open(&fixture.path)
                .unwrap()
                .records::<u64>()
                .map(|record| record.unwrap().value)
                .collect();
            assert_eq!(kept, [1, 2], "{op:?}: the oldest segment is deleted nevertheless");
        }
    }
}

#[test]
fn unclosed_rotated_segment_closes_with_journal() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().preallocate(false));
        fixture.append(0).unwrap();
        let tried = fixture.faults.count(Op::Write);
        fixture.faults.fail(Op::Write, 1, Errno::DQUOT);
        fixture.faults.fail(Op::Write, 2, Errno::DQUOT);
        finish(fixture.store.rotate()).unwrap();
        fixture.faults.wait_for_count(Op::Write, tried + 2);
        fixture.append(1).unwrap();
        finish(fixture.store.close()).unwrap();
        assert!(is_closed(&fixture.path.with_extension("001")) && is_closed(&fixture.path));
        assert_eq!(values(&fixture.path), [0, 1]);
    }
}

/// The second attempt to close the segment follows the deletion of the oldest one, which frees space.
#[test]
fn full_disk_does_not_prevent_retention() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().preallocate(false).max_segments(1));
        fixture.append(0).unwrap();
        fixture.faults.fail(Op::Write, 1, Errno::NOSPC);
        finish(fixture.store.rotate()).unwrap();
        fixture.append(1).unwrap();
        finish(fixture.store.close()).unwrap();
        assert!(!fixture.path.with_extension("001").exists());
        assert_eq!(
            Reader::open(&fixture.path)
                .unwrap()
                .records::<u64>()
                .map(|record| record.unwrap().value)
                .collect::<Vec<_>>(),
            [1]
        );
    }
}
