//! Deletions on blocked, failing and full file systems.

use std::sync::{Arc, Mutex};

use super::*;

#[test]
fn undeletable_segment_is_named_and_deleted_later() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(3);
        fixture.faults.fail(Op::Remove, 2, Errno::PERM);
        let error = finish(fixture.store.trim_before(4)).unwrap_err();
        assert!(
            matches!(&error, MiniStoreError::Io { source } if source.kind() == std::io::ErrorKind::PermissionDenied)
        );
        let text = error.to_string();
        assert!(text.contains("j.002") && text.contains("cannot delete"), "{text}");
        assert_eq!(fixture.store.first_seq(), 2);
        assert_eq!(finish(fixture.store.trim_before(0)).unwrap(), 4);
        fixture.append(9).unwrap();
    }
}

#[test]
fn deletion_with_failed_sync_poisons_the_store() {
    for kind in backends() {
        for nth in [1, 2] {
            let fixture = StoreFixture::open(kind, JournalOptions::new());
            fixture.append_segments(3);
            fixture.faults.fail(Op::SyncDir, nth, Errno::IO);
            let before = fixture.faults.count(Op::Remove);
            assert!(matches!(finish(fixture.store.trim_before(4)), Err(MiniStoreError::Poisoned { .. })));
            // The last removal has an unknown outcome, and none follows it.
            assert_eq!(fixture.faults.count(Op::Remove), before + nth);
        }
    }
}

/// Reopens a journal of five rotated segments.
fn reopened(kind: BackendKind, options: JournalOptions) -> StoreFixture {
    let mut fixture = StoreFixture::open(kind, JournalOptions::new());
    fixture.append_segments(5);
    finish(fixture.store.close()).unwrap();
    fixture.store = open_on(kind, options, &fixture.path, &fixture.faults).unwrap();
    fixture
}

/// Records the deletions and the writes of padding after the initial one, in their order.
fn deletions_and_padding(faults: &FaultInjector) -> Arc<Mutex<Vec<Op>>> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let recorded = Arc::clone(&order);
    faults.before_each(move |event| {
        let pads = event.op == Op::Write && event.write.is_some_and(|(offset, _)| offset > 0);
        if event.op == Op::Remove || pads {
            recorded.lock().unwrap().push(event.op);
        }
    });
    order
}

/// Appends more than the padding holds while the first of five deletions is blocked.
fn assert_padding_comes_after_one_deletion(fixture: &StoreFixture) {
    fixture.faults.wait_until_blocked(Op::Remove);
    let order = deletions_and_padding(&fixture.faults);
    finish(fixture.store.append(&"x".repeat(40 << 10))).unwrap();
    let mut waiting = fixture.submit(&"x".repeat(40 << 10));
    assert!(is_pending(&mut waiting));
    fixture.faults.unblock(Op::Remove);
    finish(waiting).unwrap();
    assert_eq!(finish(fixture.store.trim_before(0)).unwrap(), 6);
    let order = order.lock().unwrap();
    assert_eq!(order[..2], [Op::Remove, Op::Write], "{order:?}");
    assert_eq!(order.iter().filter(|op| **op == Op::Remove).count(), 5);
}

#[test]
fn preallocation_does_not_wait_for_trim() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(5);
        fixture.faults.block(Op::Remove);
        let mut trimming = Box::pin(fixture.store.trim_before(6));
        assert!(is_pending(&mut trimming));
        assert_padding_comes_after_one_deletion(&fixture);
        assert_eq!(finish(trimming).unwrap(), 6);
    }
}

#[test]
fn preallocation_does_not_wait_for_rotation_deletes() {
    for kind in backends() {
        let fixture = reopened(kind, JournalOptions::new().max_segments(2));
        fixture.append(5).unwrap();
        fixture.faults.block(Op::Remove);
        finish(fixture.store.rotate()).unwrap();
        assert_padding_comes_after_one_deletion(&fixture);
    }
}

#[test]
fn close_leaves_segments_and_fails_pending_trims() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(50);
        fixture.faults.block(Op::Remove);
        let mut trimming = Box::pin(fixture.store.trim_before(51));
        assert!(is_pending(&mut trimming));
        fixture.faults.wait_until_blocked(Op::Remove);
        let mut moving = Box::pin(fixture.store.hold("x", 51));
        assert!(is_pending(&mut moving));
        let mut closing = Box::pin(fixture.store.close());
        assert!(is_pending(&mut closing));
        fixture.faults.unblock(Op::Remove);
        finish(closing).unwrap();
        finish(moving).unwrap();
        assert!(matches!(finish(trimming), Err(MiniStoreError::Closed)));
        let first_seq = fixture.store.first_seq();
        assert!((2..10).contains(&first_seq), "{first_seq}: close waited for the deletions");
        let again = open_on(kind, JournalOptions::new(), &fixture.path, &fixture.faults).unwrap();
        assert_eq!(again.first_seq(), first_seq);
        assert_eq!(again.holds()["x"], 51);
        assert_eq!(finish(again.trim_before(51)).unwrap(), 51);
    }
}

/// Returns the numbers of directory listings and of opened files.
fn list_and_open_counts(fixture: &StoreFixture) -> (u64, u64) {
    (fixture.faults.count(Op::List), fixture.faults.count(Op::Open))
}

#[test]
fn deletions_list_once_and_read_each_header_once() {
    const SEGMENTS: u64 = 60;
    let limited = JournalOptions::new().max_total_bytes(1 << 40);
    for kind in backends() {
        for (options, opens_each) in [(JournalOptions::new(), 1), (limited.clone(), 5)] {
            let fixture = StoreFixture::open(kind, options);
            for record in 0..SEGMENTS {
                fixture.append(record).unwrap();
                finish(fixture.store.rotate()).unwrap();
            }
            fixture.barrier();
            let (lists, opens) = list_and_open_counts(&fixture);
            assert_eq!(finish(fixture.store.trim_before(SEGMENTS + 1)).unwrap(), SEGMENTS + 1);
            let (listed, opened) = list_and_open_counts(&fixture);
            assert!(listed - lists <= 1, "{} listings", listed - lists);
            let most = opens_each * SEGMENTS + 10;
            assert!(opened - opens <= most, "{} files opened for {SEGMENTS}", opened - opens);
        }
    }
}

#[test]
fn stepwise_trim_lists_once() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(30);
        let (lists, opens) = list_and_open_counts(&fixture);
        for seq in 1..=31 {
            assert_eq!(finish(fixture.store.trim_before(seq)).unwrap(), seq);
            // No segment is left to delete.
            assert_eq!(finish(fixture.store.trim_before(seq)).unwrap(), seq);
        }
        // One more segment, after the journal was listed.
        fixture.append(0).unwrap();
        finish(fixture.store.rotate()).unwrap();
        assert_eq!(finish(fixture.store.trim_before(32)).unwrap(), 32);
        let (listed, opened) = list_and_open_counts(&fixture);
        assert_eq!(listed - lists, 1);
        assert!(opened - opens <= 50, "{}", opened - opens);
    }
}

#[test]
fn segment_deleted_by_another_process_is_skipped() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(6);
        assert_eq!(finish(fixture.store.trim_before(2)).unwrap(), 2, "the journal is listed");
        for deleted in ["002", "004"] {
            fs::remove_file(fixture.path.with_extension(deleted)).unwrap();
        }
        assert_eq!(finish(fixture.store.trim_before(7)).unwrap(), 7);
        assert!(!fixture.path.with_extension("006").exists());
    }
}

#[test]
fn failed_journal_fails_pending_deletions() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(5);
        let before = fixture.faults.count(Op::Remove);
        fixture.faults.block(Op::Remove);
        let mut trimming = Box::pin(fixture.store.trim_before(6));
        assert!(is_pending(&mut trimming));
        fixture.faults.wait_until_blocked(Op::Remove);
        fixture.faults.fail(Op::Commit, 1, Errno::IO);
        assert_eq!(poison_errno(fixture.append(5)), Some(Errno::IO));
        fixture.faults.unblock(Op::Remove);
        assert_eq!(poison_errno(finish(trimming)), Some(Errno::IO));
        assert_eq!(fixture.faults.count(Op::Remove), before + 1);
        // Later requests fail, too.
        assert_eq!(poison_errno(finish(fixture.store.hold("late", 9))), Some(Errno::IO));
    }
}

#[test]
fn segment_size_is_read_again_after_padding_removal() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_total_bytes(100 << 10));
        fixture.append(0).unwrap();
        fixture.barrier();
        // The file is truncated before padding is written for the first time.
        finish(fixture.store.hold("x", 1)).unwrap();
        // The first segment is not closed before the second rotation.
        (1..=2).for_each(|nth| fixture.faults.fail(Op::SetLen, nth, Errno::NOSPC));
        fixture.append_segments(1);
        let padded = fs::metadata(fixture.path.with_extension("001")).unwrap().len();
        assert!(padded >= 60 << 10, "{padded}");
        fixture.append_segments(2);
        assert!(is_closed(&fixture.path.with_extension("001")));
        assert!(finish(fixture.store.release_hold("x")).unwrap());
        assert_eq!(finish(fixture.store.trim_before(0)).unwrap(), 1, "the limit allows all segments");
    }
}

#[test]
fn segment_before_unreadable_segment_is_kept() {
    for kind in backends() {
        let fixture = reopened(kind, JournalOptions::new().max_segments(1));
        let (second, aside) = (fixture.path.with_extension("002"), fixture.dir.path().join("aside"));
        fs::rename(&second, &aside).unwrap();
        fs::create_dir(&second).unwrap();
        let text = finish(fixture.store.trim_before(0)).unwrap_err().to_string();
        assert!(text.contains("j.002") && text.contains("cannot read"), "{text}");
        assert!(fixture.path.with_extension("001").exists());
        assert_eq!(fixture.store.first_seq(), 1);
        fs::remove_dir(&second).unwrap();
        fs::rename(&aside, &second).unwrap();
        assert_eq!(finish(fixture.store.trim_before(0)).unwrap(), 6);
    }
}

#[test]
fn legacy_segments_stay_until_a_later_seq_is_known() {
    for kind in backends() {
        for options in [JournalOptions::new().max_segments(1), JournalOptions::new().max_total_bytes(1)] {
            let mut fixture = StoreFixture::open(kind, JournalOptions::new().checksums(false));
            for record in 0..3 {
                fixture.append(record).unwrap();
                finish(fixture.store.rotate()).unwrap();
            }
            fixture.append(3).unwrap();
            finish(fixture.store.close()).unwrap();
            fixture.store = open_on(kind, options, &fixture.path, &fixture.faults).unwrap();
            assert_eq!(
                finish(fixture.store.trim_before(0)).unwrap(),
                1,
                "all records are counted from the oldest segment"
            );
            fixture.append(4).unwrap();
            assert_eq!(values(&fixture.path), [0, 1, 2, 3, 4]);
            for seq in 1..=5 {
                assert_eq!(finish(fixture.store.get::<u64>(seq)).unwrap().unwrap().value, seq - 1);
            }
            finish(fixture.store.rotate()).unwrap();
            assert_eq!(finish(fixture.store.trim_before(0)).unwrap(), 6);
            fixture.append(5).unwrap();
            assert_eq!(finish(fixture.store.get::<u64>(6)).unwrap().unwrap().value, 5);
        }
    }
}

#[test]
fn commit_during_failed_deletion_is_acknowledged() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(1);
        fixture.append(1).unwrap();
        let mut follow = fixture.store.follow::<u64>(3);
        fixture.faults.block(Op::Remove);
        let mut trimming = Box::pin(fixture.store.trim_before(2));
        assert!(is_pending(&mut trimming));
        fixture.faults.wait_until_blocked(Op::Remove);
        let pending = fixture.stall(2);
        let mut waiting = Box::pin(fixture.store.wait_durable(3));
        let mut followed = Box::pin(follow.next());
        assert!(is_pending(&mut waiting) && is_pending(&mut followed));
        fixture.faults.fail(Op::SyncDir, 1, Errno::IO);
        fixture.faults.unblock(Op::Remove);
        assert!(matches!(finish(trimming), Err(MiniStoreError::Poisoned { .. })));
        assert!(is_pending(&mut waiting), "the commit is still in flight");
        fixture.faults.unblock(Op::Commit);
        assert_eq!(finish(pending).unwrap().seq, 3);
        finish(waiting).unwrap();
        assert_eq!(finish(followed).unwrap().unwrap().value, 2);
        assert!(matches!(finish(follow.next()), Some(Err(MiniStoreError::Poisoned { .. }))));
        assert!(matches!(finish(fixture.store.wait_durable(4)), Err(MiniStoreError::Poisoned { .. })));
    }
}

#[test]
fn unknown_active_name_prevents_deletions() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        // Blocks the commit of the new segment's header, then the directory sync that makes its name durable.
        fixture.faults.block(Op::Commit);
        let mut rotating = Box::pin(fixture.store.rotate());
        assert!(is_pending(&mut rotating));
        fixture.faults.wait_until_blocked(Op::Commit);
        fixture.faults.block(Op::SyncDir);
        fixture.faults.unblock(Op::Commit);
        fixture.faults.wait_until_blocked(Op::SyncDir);
        finish(rotating).unwrap();
        let mut trimming = Box::pin(fixture.store.trim_before(2));
        assert!(is_pending(&mut trimming));
        // After the second one the writer has submitted the deletion.
        fixture.barrier();
        fixture.barrier();
        let removed = fixture.faults.count(Op::Remove);
        fixture.faults.fail(Op::SyncDir, 0, Errno::IO);
        fixture.faults.unblock(Op::SyncDir);
        assert_eq!(poison_errno(finish(trimming)), Some(Errno::IO));
        assert_eq!(fixture.faults.count(Op::Remove), removed);
        assert!(fixture.path.with_extension("001").exists());
    }
}
