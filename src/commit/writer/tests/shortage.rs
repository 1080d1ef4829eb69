//! A temporary shortage is reported and retried; what failed with an unknown outcome poisons.

use super::*;

/// More than the longest back-off.
const BACK_OFF: Duration = Duration::from_secs(2);

/// Errors of calls that changed nothing.
const TEMPORARY: [Errno; 9] = [
    Errno::MFILE,
    Errno::NFILE,
    Errno::NOMEM,
    Errno::NOBUFS,
    Errno::AGAIN,
    Errno::ACCESS,
    Errno::PERM,
    Errno::ROFS,
    Errno::BUSY,
];

/// Errors that leave open what was changed.
const UNKNOWN: [Errno; 6] =
    [Errno::IO, Errno::INTR, Errno::NOENT, Errno::STALE, Errno::TIMEDOUT, Errno::UCLEAN];

fn is_unavailable<T: std::fmt::Debug>(outcome: &Result<T>) -> bool {
    matches!(outcome, Err(MiniStoreError::Unavailable { .. }))
}

fn errno_of(outcome: &Result<()>) -> Option<Errno> {
    match outcome {
        Err(MiniStoreError::Unavailable { source, .. }) => Errno::from_io_error(source),
        other => panic!("not unavailable: {other:?}"),
    }
}

/// Rotates with one kind of call failing, then with all of them working.
fn assert_rotation_is_retried(rig: &Rig, op: Op, errno: Errno) {
    rig.append(0).unwrap();
    rig.settle();
    rig.faults.break_down(op, errno);
    let refused = finish(rig.store.rotate());
    assert_eq!(errno_of(&refused), Some(errno), "{op:?}");
    for record in 1..50 {
        rig.append(record).unwrap();
    }
    let stats = rig.store.stats();
    assert!(stats.transient_errors >= 1, "{op:?}: not counted");
    assert_eq!(stats.last_transient_error, Some(errno.raw_os_error()));
    assert!(!stats.poisoned && stats.rotations == 0);

    rig.faults.heal();
    rig.faults.advance_clock(BACK_OFF);
    finish(rig.store.rotate()).unwrap();
    rig.append(50).unwrap();
    assert_eq!(rig.rotations(), 1);
    finish(rig.store.close()).unwrap();
    assert_eq!(values(&rig.path), (0..=50).collect::<Vec<_>>());
    assert!(!rig.path.with_extension("next").exists());
}

/// Each call of a rotation that can fail before anything is changed.
const RETRIED: [Op; 6] = [Op::Create, Op::Lock, Op::Write, Op::SyncFile, Op::Attach, Op::Rename];

#[test]
fn rotation_refused_temporarily_is_retried() {
    for kind in lanes() {
        for op in RETRIED {
            for errno in TEMPORARY {
                let rig = Rig::open(kind, JournalOptions::new());
                assert_rotation_is_retried(&rig, op, errno);
            }
        }
    }
}

/// The rename that gives the new segment the active name is refused: appends are refused, and nothing is written.
#[test]
fn new_segment_without_name_refuses_appends() {
    for kind in lanes() {
        for errno in TEMPORARY {
            let rig = Rig::open(kind, JournalOptions::new());
            rig.append(0).unwrap();
            rig.settle();
            rig.faults.fail(Op::Rename, 2, errno);
            finish(rig.store.rotate()).unwrap();
            let refused = rig.append(1);
            assert_eq!(errno_of(&refused), Some(errno));
            assert_eq!(refused.unwrap_err().write_outcome(), crate::WriteOutcome::NotWritten);
            assert_eq!(values(&rig.path), [0]);
            rig.faults.advance_clock(BACK_OFF);
            rig.append(2).unwrap();
            assert_eq!(values(&rig.path), [0, 2]);
            finish(rig.store.close()).unwrap();
            assert!(!rig.store.stats().poisoned);
        }
    }
}

#[test]
fn new_segment_without_name_is_removed_at_close() {
    for kind in lanes() {
        for preallocate in [true, false] {
            let options = JournalOptions::new().preallocate(preallocate);
            let rig = Rig::open(kind, options.clone());
            rig.append(0).unwrap();
            rig.settle();
            rig.faults.fail(Op::Rename, 2, Errno::ACCESS);
            rig.faults.fail(Op::Rename, 3, Errno::ACCESS);
            finish(rig.store.rotate()).unwrap();
            finish(rig.store.close()).unwrap();
            assert!(!rig.path.with_extension("next").exists());
            assert_eq!(values(&rig.path), [0]);
            let again = open_on(kind, options, &rig.path, &FaultInjector::new()).unwrap();
            finish(again.append(&1)).unwrap();
            finish(again.close()).unwrap();
            assert_eq!(values(&rig.path), [0, 1]);
        }
    }
}

#[test]
fn rename_with_unknown_outcome_poisons() {
    for kind in lanes() {
        for errno in UNKNOWN {
            // The active segment gets its archived name, then the new one gets the active name.
            for nth in [1, 2] {
                let rig = Rig::open(kind, JournalOptions::new());
                rig.append(0).unwrap();
                rig.settle();
                rig.faults.fail(Op::Rename, nth, errno);
                let _ = finish(rig.store.rotate());
                assert_eq!(poison(rig.append(1)), Some(errno));
                assert!(rig.store.stats().poisoned);
                assert_eq!(poison(finish(rig.store.close())), Some(errno));
                drop(open_on(kind, JournalOptions::new(), &rig.path, &FaultInjector::new()).unwrap());
                assert_eq!(values(&rig.path), [0]);
            }
        }
    }
}

/// Records depend on each of these, whatever the error code.
#[test]
fn failed_sync_of_data_or_directory_poisons() {
    for kind in lanes() {
        for errno in [Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::NOMEM] {
            for nth in 1..=3 {
                let rig = Rig::open(kind, JournalOptions::new());
                rig.append(0).unwrap();
                rig.settle();
                rig.faults.fail(Op::SyncDir, nth, errno);
                let _ = finish(rig.store.rotate());
                let _ = finish(rig.store.trim_before(0));
                assert_eq!(poison(rig.append(1)), Some(errno), "directory sync {nth}");
            }
            // The next segment is synced twice before the archived one is closed.
            let rig = Rig::open(kind, JournalOptions::new());
            rig.append(0).unwrap();
            rig.settle();
            rig.faults.fail(Op::SyncFile, 3, errno);
            let _ = finish(rig.store.rotate());
            let _ = finish(rig.store.trim_before(0));
            assert_eq!(poison(rig.append(1)), Some(errno), "sync of the archived segment");
        }
    }
}

#[test]
fn appends_succeed_while_rotation_is_refused() {
    for kind in lanes() {
        // Writes fail elsewhere, too.
        for op in RETRIED.into_iter().filter(|op| *op != Op::Write) {
            let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(300).preallocate(false));
            rig.append(0).unwrap();
            rig.settle();
            rig.faults.break_down(op, Errno::MFILE);
            let before = rig.faults.count(op);
            for record in 1..200 {
                rig.append(record).unwrap();
            }
            assert_eq!(rig.rotations(), 0);
            // The clock advances by the time that the appends took: few attempts, not one for each.
            let tried = rig.faults.count(op) - before;
            assert!((1..100).contains(&tried), "{op:?}: {tried} attempts");
            rig.faults.heal();
            finish(rig.store.close()).unwrap();
            assert_eq!(values(&rig.path), (0..200).collect::<Vec<_>>());
            assert!(rig.path.with_extension("001").exists(), "{op:?}: closing makes one more attempt");
        }
    }
}

#[test]
fn rotate_during_back_off_returns_last_error() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        rig.faults.break_down(Op::Create, Errno::NFILE);
        // Each failure doubles the delay, up to a second.
        for _ in 0..10 {
            assert!(is_unavailable(&finish(rig.store.rotate())));
            rig.faults.advance_clock(BACK_OFF);
        }
        assert!(is_unavailable(&finish(rig.store.rotate())));
        let tried = rig.faults.count(Op::Create);
        for _ in 0..20 {
            assert_eq!(errno_of(&finish(rig.store.rotate())), Some(Errno::NFILE));
        }
        assert!(rig.faults.count(Op::Create) <= tried + 1, "an attempt without back-off");
    }
}

#[test]
fn commit_that_cannot_look_at_its_file_is_refused() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.faults.break_down(Op::Stat, Errno::NOMEM);
        let refused = rig.append(1);
        assert_eq!(errno_of(&refused), Some(Errno::NOMEM));
        let several = [rig.submit(&2u64), rig.submit(&3u64)];
        assert!(several.into_iter().all(|append| is_unavailable(&finish(append))));
        rig.faults.heal();
        rig.append(4).unwrap();
        finish(rig.store.close()).unwrap();
        assert_eq!(values(&rig.path), [0, 4]);
        assert_eq!(rig.store.stats().last_transient_error, Some(Errno::NOMEM.raw_os_error()));
    }
}

/// A full group is laid out while the one before it is written. Refused then, it must not take the place of the next.
#[test]
fn refused_group_encoded_early_is_not_written() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_group_bytes(1));
        rig.append(0).unwrap();
        let first = rig.stall(1);
        let (refused, later) = (rig.submit(&2u64), rig.submit(&3u64));
        // The look before the group that was laid out.
        rig.faults.fail(Op::Stat, 1, Errno::NOMEM);
        rig.faults.release(Op::Commit);
        assert_eq!(finish(first).unwrap().seq, 2);
        assert!(is_unavailable(&finish(refused)));
        assert_eq!(finish(later).unwrap().seq, 3);
        assert_eq!(values(&rig.path), [0, 1, 3]);
        finish(rig.store.close()).unwrap();
    }
}

#[test]
fn hold_refused_temporarily_is_retryable() {
    for kind in lanes() {
        for op in [Op::Create, Op::Rename] {
            for errno in TEMPORARY {
                let rig = Rig::open(kind, JournalOptions::new());
                finish(rig.store.hold("x", 1)).unwrap();
                rig.append(1).unwrap();
                rig.settle();
                rig.faults.fail(op, 1, errno);
                let error = finish(rig.store.hold("x", 2)).unwrap_err();
                assert!(matches!(error, MiniStoreError::Io { .. }), "{error}");
                assert_eq!(rig.store.holds()["x"], 1);
                finish(rig.store.hold("x", 2)).unwrap();
                rig.append(2).unwrap();
            }
        }
    }
}

#[test]
fn retention_refused_temporarily_is_retryable() {
    for kind in lanes() {
        for op in [Op::List, Op::Open, Op::Remove] {
            for errno in TEMPORARY {
                let rig = Rig::open(kind, JournalOptions::new());
                for record in 0..3 {
                    rig.append(record).unwrap();
                    finish(rig.store.rotate()).unwrap();
                }
                finish(rig.store.trim_before(0)).unwrap();
                rig.faults.break_down(op, errno);
                let error = finish(rig.store.trim_before(4)).unwrap_err();
                assert!(matches!(error, MiniStoreError::Io { .. }), "{op:?}: {error}");
                rig.append(3).unwrap();
                rig.faults.heal();
                assert_eq!(finish(rig.store.trim_before(4)).unwrap(), 4);
                assert!(rig.store.stats().transient_errors > 0, "{op:?}");
            }
        }
    }
}

#[test]
fn leftover_of_a_failed_preparation_is_replaced() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        rig.settle();
        // The preparation fails, and what it created cannot be removed either.
        rig.faults.fail(Op::SyncFile, 1, Errno::NOMEM);
        rig.faults.fail(Op::Remove, 1, Errno::ACCESS);
        assert!(is_unavailable(&finish(rig.store.rotate())));
        assert!(rig.path.with_extension("next").exists());
        rig.faults.advance_clock(BACK_OFF);
        finish(rig.store.rotate()).unwrap();
        rig.append(1).unwrap();
        finish(rig.store.close()).unwrap();
        assert_eq!(values(&rig.path), [0, 1]);
    }
}
