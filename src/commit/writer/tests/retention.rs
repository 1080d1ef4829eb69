//! Holds and deletions on a disk that fails, fills up and holds back.

use std::{
    pin::Pin,
    sync::{Arc, Mutex},
};

use super::*;

/// Segments of one record each, the last one active and empty.
fn segments(rig: &Rig, count: u64) {
    for record in 0..count {
        rig.append(record).unwrap();
        finish(rig.store.rotate()).unwrap();
    }
    // All that the last rotation left to be done is done before what is asked for here.
    finish(rig.store.trim_before(0)).unwrap();
}

fn held(rig: &Rig) -> Vec<(String, u64)> {
    rig.store.holds().into_iter().collect()
}

/// What stands after the journal was closed, or left, and opened again.
fn held_at_next_open(rig: Rig, kind: BackendKind) -> Vec<(String, u64)> {
    let _ = finish(rig.store.close());
    let Rig { dir: _dir, path, store, .. } = rig;
    drop(store);
    let store = open_on(kind, JournalOptions::new(), &path, &FaultInjector::new()).unwrap();
    store.holds().into_iter().collect()
}

#[test]
fn hold_on_full_disk_is_refused_and_others_kept() {
    for kind in lanes() {
        for room in [0, 10] {
            let rig = Rig::open(kind, JournalOptions::new());
            segments(&rig, 2);
            finish(rig.store.hold("x", 1)).unwrap();
            rig.settle();
            rig.faults.set_space_limit(room);
            let refused = finish(rig.store.hold("x", 2));
            let Err(MiniStoreError::StorageFull { path, .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(path, rig.path.with_extension("holds"));
            assert!(is_full(&finish(rig.store.release_hold("x"))));
            assert_eq!((held(&rig), finish(rig.store.trim_before(9)).unwrap()), (vec![("x".into(), 1)], 1));
            assert!(!rig.path.with_extension("holds.next").exists());
            rig.faults.clear_space_limit();
            finish(rig.store.hold("x", 2)).unwrap();
            assert_eq!(finish(rig.store.trim_before(0)).unwrap(), 2);
            rig.append(7).unwrap();
            assert_eq!(held_at_next_open(rig, kind), [("x".into(), 2)]);
        }
    }
}

#[test]
fn a_hold_that_cannot_be_written_is_refused_and_those_before_stand() {
    for kind in lanes() {
        for (op, action) in [(Op::Create, "create"), (Op::Write, "write"), (Op::SyncFile, "sync")] {
            let rig = Rig::open(kind, JournalOptions::new());
            finish(rig.store.hold("x", 1)).unwrap();
            rig.append(1).unwrap();
            rig.settle();
            rig.faults.fail(op, 1, Errno::IO);
            let refused = finish(rig.store.hold("x", 2)).unwrap_err().to_string();
            assert!(refused.contains("holds") && refused.contains(action), "{refused}");
            assert_eq!(held(&rig), [("x".into(), 1)]);
            rig.append(2).unwrap();
            finish(rig.store.hold("y", 2)).unwrap();
            assert_eq!(held_at_next_open(rig, kind), [("x".into(), 1), ("y".into(), 2)]);
        }
    }
}

#[test]
fn unknown_hold_outcome_poisons_the_store() {
    for kind in lanes() {
        for op in [Op::Rename, Op::SyncDir] {
            let rig = Rig::open(kind, JournalOptions::new());
            finish(rig.store.hold("x", 1)).unwrap();
            rig.append(1).unwrap();
            rig.settle();
            rig.faults.fail(op, 1, Errno::IO);
            assert!(matches!(finish(rig.store.hold("x", 2)), Err(MiniStoreError::Poisoned { .. })), "{op:?}");
            assert!(matches!(finish(rig.store.append(&2)), Err(MiniStoreError::Poisoned { .. })));
            assert!(matches!(finish(rig.store.trim_before(1)), Err(MiniStoreError::Poisoned { .. })));
            let lock_holds = held_at_next_open(rig, kind);
            assert!(
                lock_holds == [("x".to_owned(), 1)] || lock_holds == [("x".to_owned(), 2)],
                "{lock_holds:?}"
            );
        }
    }
}

#[test]
fn a_segment_that_cannot_be_deleted_is_named_and_goes_later() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 3);
        rig.faults.fail(Op::Remove, 2, Errno::PERM);
        let error = finish(rig.store.trim_before(4)).unwrap_err();
        assert!(
            matches!(&error, MiniStoreError::Io { source } if source.kind() == std::io::ErrorKind::PermissionDenied)
        );
        let text = error.to_string();
        assert!(text.contains("j.002") && text.contains("cannot delete"), "{text}");
        assert_eq!(rig.store.first_seq(), 2);
        assert_eq!(finish(rig.store.trim_before(0)).unwrap(), 4);
        rig.append(9).unwrap();
    }
}

#[test]
fn a_deletion_that_may_not_be_durable_stops_everything() {
    for kind in lanes() {
        for nth in [1, 2] {
            let rig = Rig::open(kind, JournalOptions::new());
            segments(&rig, 3);
            rig.faults.fail(Op::SyncDir, nth, Errno::IO);
            let before = rig.faults.count(Op::Remove);
            assert!(matches!(finish(rig.store.trim_before(4)), Err(MiniStoreError::Poisoned { .. })));
            // One of which it is not known, and none behind it.
            assert_eq!(rig.faults.count(Op::Remove), before + nth);
        }
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

#[test]
fn holds_share_one_write_while_commits_continue() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 2);
        let writes = rig.faults.count(Op::Rename);
        rig.faults.hold(Op::Rename);
        let mut asked: Vec<Asked<'_>> = vec![Box::pin(rig.store.hold("first", 1))];
        assert!(is_waiting(&mut asked[0]));
        rig.faults.await_held(Op::Rename);
        let store = &rig.store;
        for seq in 1..100_u64 {
            let mut hold: Asked<'_> = Box::pin(async move { store.hold(&(seq % 7).to_string(), seq).await });
            assert!(is_waiting(&mut hold));
            asked.push(hold);
        }
        let mut releasing = Box::pin(rig.store.trim_before(2));
        assert!(is_waiting(&mut releasing));
        rig.append(5).unwrap();
        assert_eq!(rig.store.holds().len(), 0, "nothing is durable yet");
        rig.faults.release(Op::Rename);
        asked.into_iter().for_each(|hold| finish(hold).unwrap());
        assert_eq!(finish(releasing).unwrap(), 1, "it is held");
        assert_eq!(rig.faults.count(Op::Rename), writes + 2);
        let expected =
            (0..7_u64).map(|name| (name.to_string(), (1..100).rfind(|seq| seq % 7 == name).unwrap()));
        assert_eq!(held(&rig), expected.chain([("first".to_owned(), 1)]).collect::<Vec<_>>());
    }
}

/// Opens a journal of five archived segments again.
fn reopened(kind: BackendKind, options: JournalOptions) -> Rig {
    let mut rig = Rig::open(kind, JournalOptions::new());
    segments(&rig, 5);
    finish(rig.store.close()).unwrap();
    rig.store = open_on(kind, options, &rig.path, &rig.faults).unwrap();
    rig
}

/// Deletions, and padding behind what a segment had from the start, in their order.
fn deletions_and_padding(faults: &FaultInjector) -> Arc<Mutex<Vec<Op>>> {
    let order = Arc::new(Mutex::new(Vec::new()));
    let seen = Arc::clone(&order);
    faults.before_each(move |event| {
        let pads = event.op == Op::Write && event.write.is_some_and(|(offset, _)| offset > 0);
        if event.op == Op::Remove || pads {
            seen.lock().unwrap().push(event.op);
        }
    });
    order
}

/// While the first of five deletions is held back, appends more than there is padding for.
fn assert_padding_comes_after_one_deletion(rig: &Rig) {
    rig.faults.await_held(Op::Remove);
    let order = deletions_and_padding(&rig.faults);
    finish(rig.store.append(&"x".repeat(40 << 10))).unwrap();
    let mut waiting = rig.submit(&"x".repeat(40 << 10));
    assert!(is_waiting(&mut waiting));
    rig.faults.release(Op::Remove);
    finish(waiting).unwrap();
    assert_eq!(finish(rig.store.trim_before(0)).unwrap(), 6);
    let order = order.lock().unwrap();
    assert_eq!(order[..2], [Op::Remove, Op::Write], "{order:?}");
    assert_eq!(order.iter().filter(|op| **op == Op::Remove).count(), 5);
}

#[test]
fn preallocation_does_not_wait_for_trim() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 5);
        rig.faults.hold(Op::Remove);
        let mut releasing = Box::pin(rig.store.trim_before(6));
        assert!(is_waiting(&mut releasing));
        assert_padding_comes_after_one_deletion(&rig);
        assert_eq!(finish(releasing).unwrap(), 6);
    }
}

#[test]
fn padding_does_not_wait_for_all_that_a_rotation_deletes() {
    for kind in lanes() {
        let rig = reopened(kind, JournalOptions::new().max_segments(2));
        rig.append(5).unwrap();
        rig.faults.hold(Op::Remove);
        finish(rig.store.rotate()).unwrap();
        assert_padding_comes_after_one_deletion(&rig);
    }
}

#[test]
fn hold_is_answered_before_the_deletions_it_allows() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 5);
        finish(rig.store.hold("x", 1)).unwrap();
        assert_eq!(finish(rig.store.trim_before(6)).unwrap(), 1);
        rig.faults.hold(Op::Remove);
        finish(rig.store.hold("x", 5)).unwrap();
        rig.faults.await_held(Op::Remove);
        assert_eq!((held(&rig), rig.store.first_seq()), (vec![("x".to_owned(), 5)], 1));
        rig.faults.release(Op::Remove);
        assert_eq!(finish(rig.store.trim_before(0)).unwrap(), 5);
    }
}

#[test]
fn close_leaves_surplus_segments_and_answers_releases() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 50);
        rig.faults.hold(Op::Remove);
        let mut releasing = Box::pin(rig.store.trim_before(51));
        assert!(is_waiting(&mut releasing));
        rig.faults.await_held(Op::Remove);
        let mut moving = Box::pin(rig.store.hold("x", 51));
        assert!(is_waiting(&mut moving));
        let mut closing = Box::pin(rig.store.close());
        assert!(is_waiting(&mut closing));
        rig.faults.release(Op::Remove);
        finish(closing).unwrap();
        finish(moving).unwrap();
        assert!(matches!(finish(releasing), Err(MiniStoreError::Closed)));
        let first_seq = rig.store.first_seq();
        assert!((2..10).contains(&first_seq), "{first_seq}: closing waits for the deletions");
        let again = open_on(kind, JournalOptions::new(), &rig.path, &rig.faults).unwrap();
        assert_eq!(again.first_seq(), first_seq);
        assert_eq!(again.holds()["x"], 51);
        assert_eq!(finish(again.trim_before(51)).unwrap(), 51);
    }
}

/// Listings of the directory, and files that are opened.
fn looks(rig: &Rig) -> (u64, u64) {
    (rig.faults.count(Op::List), rig.faults.count(Op::Open))
}

#[test]
fn deletions_list_once_and_read_each_header_once() {
    const SEGMENTS: u64 = 60;
    let limited = JournalOptions::new().max_total_bytes(1 << 40);
    for kind in lanes() {
        for (options, opens_each) in [(JournalOptions::new(), 1), (limited.clone(), 5)] {
            let rig = Rig::open(kind, options);
            for record in 0..SEGMENTS {
                rig.append(record).unwrap();
                finish(rig.store.rotate()).unwrap();
            }
            rig.settle();
            let (lists, opens) = looks(&rig);
            assert_eq!(finish(rig.store.trim_before(SEGMENTS + 1)).unwrap(), SEGMENTS + 1);
            let (listed, opened) = looks(&rig);
            assert!(listed - lists <= 1, "{} listings", listed - lists);
            let most = opens_each * SEGMENTS + 10;
            assert!(opened - opens <= most, "{} files opened for {SEGMENTS}", opened - opens);
        }
    }
}

#[test]
fn releasing_step_by_step_lists_once() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 30);
        let (lists, opens) = looks(&rig);
        for seq in 1..=31 {
            assert_eq!(finish(rig.store.trim_before(seq)).unwrap(), seq);
            // Nothing more is to be deleted.
            assert_eq!(finish(rig.store.trim_before(seq)).unwrap(), seq);
        }
        // One more segment, after the journal was listed.
        rig.append(0).unwrap();
        finish(rig.store.rotate()).unwrap();
        assert_eq!(finish(rig.store.trim_before(32)).unwrap(), 32);
        let (listed, opened) = looks(&rig);
        assert_eq!(listed - lists, 1);
        assert!(opened - opens <= 50, "{}", opened - opens);
    }
}

#[test]
fn segment_deleted_by_another_process_is_skipped() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 6);
        assert_eq!(finish(rig.store.trim_before(2)).unwrap(), 2, "the journal is listed");
        for gone in ["002", "004"] {
            fs::remove_file(rig.path.with_extension(gone)).unwrap();
        }
        assert_eq!(finish(rig.store.trim_before(7)).unwrap(), 7);
        assert!(!rig.path.with_extension("006").exists());
    }
}

#[test]
fn failed_journal_fails_pending_deletions() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 5);
        let before = rig.faults.count(Op::Remove);
        rig.faults.hold(Op::Remove);
        let mut releasing = Box::pin(rig.store.trim_before(6));
        assert!(is_waiting(&mut releasing));
        rig.faults.await_held(Op::Remove);
        rig.faults.fail(Op::Commit, 1, Errno::IO);
        assert_eq!(poison(rig.append(5)), Some(Errno::IO));
        rig.faults.release(Op::Remove);
        assert_eq!(poison(finish(releasing)), Some(Errno::IO));
        assert_eq!(rig.faults.count(Op::Remove), before + 1);
        // And whoever asks after that.
        assert_eq!(poison(finish(rig.store.hold("late", 9))), Some(Errno::IO));
    }
}

#[test]
fn the_size_of_a_segment_is_looked_at_again_once_it_lost_its_padding() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_total_bytes(100 << 10));
        rig.append(0).unwrap();
        rig.settle();
        // Before padding is written for the first time, the file is cut.
        finish(rig.store.hold("x", 1)).unwrap();
        // The first segment is not closed before the third rotation.
        (1..=4).for_each(|nth| rig.faults.fail(Op::SetLen, nth, Errno::NOSPC));
        segments(&rig, 2);
        let padded = fs::metadata(rig.path.with_extension("001")).unwrap().len();
        assert!(padded >= 60 << 10, "{padded}");
        segments(&rig, 1);
        assert!(is_closed(&rig.path.with_extension("001")));
        assert!(finish(rig.store.release_hold("x")).unwrap());
        assert_eq!(finish(rig.store.trim_before(0)).unwrap(), 1, "there is room for all of them");
    }
}

#[test]
fn segment_before_unreadable_segment_is_kept() {
    for kind in lanes() {
        let rig = reopened(kind, JournalOptions::new().max_segments(1));
        let (second, aside) = (rig.path.with_extension("002"), rig.dir.path().join("aside"));
        fs::rename(&second, &aside).unwrap();
        fs::create_dir(&second).unwrap();
        let text = finish(rig.store.trim_before(0)).unwrap_err().to_string();
        assert!(text.contains("j.002") && text.contains("cannot read"), "{text}");
        assert!(rig.path.with_extension("001").exists());
        assert_eq!(rig.store.first_seq(), 1);
        fs::remove_dir(&second).unwrap();
        fs::rename(&aside, &second).unwrap();
        assert_eq!(finish(rig.store.trim_before(0)).unwrap(), 6);
    }
}

#[test]
fn legacy_segments_stay_until_a_later_seq_is_known() {
    for kind in lanes() {
        for options in [JournalOptions::new().max_segments(1), JournalOptions::new().max_total_bytes(1)] {
            let mut rig = Rig::open(kind, JournalOptions::new().checksums(false));
            for record in 0..3 {
                rig.append(record).unwrap();
                finish(rig.store.rotate()).unwrap();
            }
            rig.append(3).unwrap();
            finish(rig.store.close()).unwrap();
            rig.store = open_on(kind, options, &rig.path, &rig.faults).unwrap();
            assert_eq!(finish(rig.store.trim_before(0)).unwrap(), 1, "they count from the oldest of them");
            rig.append(4).unwrap();
            assert_eq!(values(&rig.path), [0, 1, 2, 3, 4]);
            for seq in 1..=5 {
                assert_eq!(finish(rig.store.get::<u64>(seq)).unwrap().unwrap().value, seq - 1);
            }
            finish(rig.store.rotate()).unwrap();
            assert_eq!(finish(rig.store.trim_before(0)).unwrap(), 6);
            rig.append(5).unwrap();
            assert_eq!(finish(rig.store.get::<u64>(6)).unwrap().unwrap().value, 5);
        }
    }
}

#[test]
fn commit_during_failed_deletion_is_acknowledged() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 1);
        rig.append(1).unwrap();
        let mut follow = rig.store.follow::<u64>(3);
        rig.faults.hold(Op::Remove);
        let mut releasing = Box::pin(rig.store.trim_before(2));
        assert!(is_waiting(&mut releasing));
        rig.faults.await_held(Op::Remove);
        let pending = rig.stall(2);
        let mut waiting = Box::pin(rig.store.wait_durable(3));
        let mut followed = Box::pin(follow.next());
        assert!(is_waiting(&mut waiting) && is_waiting(&mut followed));
        rig.faults.fail(Op::SyncDir, 1, Errno::IO);
        rig.faults.release(Op::Remove);
        assert!(matches!(finish(releasing), Err(MiniStoreError::Poisoned { .. })));
        assert!(is_waiting(&mut waiting), "it is not known yet");
        rig.faults.release(Op::Commit);
        assert_eq!(finish(pending).unwrap().seq, 3);
        finish(waiting).unwrap();
        assert_eq!(finish(followed).unwrap().unwrap().value, 2);
        assert!(matches!(finish(follow.next()), Some(Err(MiniStoreError::Poisoned { .. }))));
        assert!(matches!(finish(rig.store.wait_durable(4)), Err(MiniStoreError::Poisoned { .. })));
    }
}

#[test]
fn nothing_is_deleted_once_a_new_segment_may_be_without_its_name() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        // The header of the new segment, then its name, which is to be made durable.
        rig.faults.hold(Op::Commit);
        let mut rotating = Box::pin(rig.store.rotate());
        assert!(is_waiting(&mut rotating));
        rig.faults.await_held(Op::Commit);
        rig.faults.hold(Op::SyncDir);
        rig.faults.release(Op::Commit);
        rig.faults.await_held(Op::SyncDir);
        finish(rotating).unwrap();
        let mut releasing = Box::pin(rig.store.trim_before(2));
        assert!(is_waiting(&mut releasing));
        // By the second time the writer has asked for it.
        rig.settle();
        rig.settle();
        let removed = rig.faults.count(Op::Remove);
        rig.faults.fail(Op::SyncDir, 0, Errno::IO);
        rig.faults.release(Op::SyncDir);
        assert_eq!(poison(finish(releasing)), Some(Errno::IO));
        assert_eq!(rig.faults.count(Op::Remove), removed);
        assert!(rig.path.with_extension("001").exists());
    }
}
