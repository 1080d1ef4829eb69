//! A temporary shortage is reported and retried. A failure with an unknown outcome poisons.

use super::*;

/// Longer than the longest back-off.
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

/// Errors after which it is unknown whether the call changed anything.
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

/// Rotates with one kind of call failing, then with all calls succeeding.
fn assert_rotation_is_retried(fixture: &StoreFixture, op: Op, errno: Errno) {
    fixture.append(0).unwrap();
    fixture.barrier();
    fixture.faults.fail_all(op, errno);
    let refused = finish(fixture.store.rotate());
    assert_eq!(errno_of(&refused), Some(errno), "{op:?}");
    for record in 1..50 {
        fixture.append(record).unwrap();
    }
    let stats = fixture.store.stats();
    assert!(stats.transient_errors >= 1, "{op:?}: not counted");
    assert_eq!(stats.last_transient_error, Some(errno.raw_os_error()));
    assert!(!stats.poisoned && stats.rotations == 0);

    fixture.faults.clear_faults();
    fixture.faults.advance_clock(BACK_OFF);
    finish(fixture.store.rotate()).unwrap();
    fixture.append(50).unwrap();
    assert_eq!(fixture.rotations(), 1);
    finish(fixture.store.close()).unwrap();
    assert_eq!(values(&fixture.path), (0..=50).collect::<Vec<_>>());
    assert!(!fixture.path.with_extension("next").exists());
}

/// The calls of a rotation that can fail without changing anything.
const RETRIED: [Op; 6] = [Op::Create, Op::Lock, Op::Write, Op::SyncFile, Op::Attach, Op::Rename];

#[test]
fn rotation_refused_temporarily_is_retried() {
    for kind in backends() {
        for op in RETRIED {
            for errno in TEMPORARY {
                let fixture = StoreFixture::open(kind, JournalOptions::new());
                assert_rotation_is_retried(&fixture, op, errno);
            }
        }
    }
}

/// The rename of the new segment to the active name fails: appends are refused, and nothing is written.
#[test]
fn new_segment_without_name_refuses_appends() {
    for kind in backends() {
        for errno in TEMPORARY {
            let fixture = StoreFixture::open(kind, JournalOptions::new());
            fixture.append(0).unwrap();
            fixture.barrier();
            fixture.faults.fail(Op::Rename, 2, errno);
            finish(fixture.store.rotate()).unwrap();
            let refused = fixture.append(1);
            assert_eq!(errno_of(&refused), Some(errno));
            assert_eq!(refused.unwrap_err().write_outcome(), crate::WriteOutcome::NotWritten);
            assert_eq!(values(&fixture.path), [0]);
            fixture.faults.advance_clock(BACK_OFF);
            fixture.append(2).unwrap();
            assert_eq!(values(&fixture.path), [0, 2]);
            finish(fixture.store.close()).unwrap();
            assert!(!fixture.store.stats().poisoned);
        }
    }
}

#[test]
fn new_segment_without_name_is_removed_at_close() {
    for kind in backends() {
        for preallocate in [true, false] {
            let options = JournalOptions::new().preallocate(preallocate);
            let fixture = StoreFixture::open(kind, options.clone());
            fixture.append(0).unwrap();
            fixture.barrier();
            fixture.faults.fail(Op::Rename, 2, Errno::ACCESS);
            fixture.faults.fail(Op::Rename, 3, Errno::ACCESS);
            finish(fixture.store.rotate()).unwrap();
            finish(fixture.store.close()).unwrap();
            assert!(!fixture.path.with_extension("next").exists());
            assert_eq!(values(&fixture.path), [0]);
            let again = open_on(kind, options, &fixture.path, &FaultInjector::new()).unwrap();
            finish(again.append(&1)).unwrap();
            finish(again.close()).unwrap();
            assert_eq!(values(&fixture.path), [0, 1]);
        }
    }
}

#[test]
fn rename_with_unknown_outcome_poisons() {
    for kind in backends() {
        for errno in UNKNOWN {
            // The first rename rotates the active segment, the second gives the new one the active name.
            for nth in [1, 2] {
                let fixture = StoreFixture::open(kind, JournalOptions::new());
                fixture.append(0).unwrap();
                fixture.barrier();
                fixture.faults.fail(Op::Rename, nth, errno);
                let _ = finish(fixture.store.rotate());
                assert_eq!(poison_errno(fixture.append(1)), Some(errno));
                assert!(fixture.store.stats().poisoned);
                assert_eq!(poison_errno(finish(fixture.store.close())), Some(errno));
                drop(open_on(kind, JournalOptions::new(), &fixture.path, &FaultInjector::new()).unwrap());
                assert_eq!(values(&fixture.path), [0]);
            }
        }
    }
}

/// Records depend on each of these syncs, so every error code poisons.
#[test]
fn failed_sync_of_data_or_directory_poisons() {
    for kind in backends() {
        for errno in [Errno::IO, Errno::NOSPC, Errno::MFILE, Errno::NOMEM] {
            for nth in 1..=3 {
                let fixture = StoreFixture::open(kind, JournalOptions::new());
                fixture.append(0).unwrap();
                fixture.barrier();
                fixture.faults.fail(Op::SyncDir, nth, errno);
                let _ = finish(fixture.store.rotate());
                let _ = finish(fixture.store.trim_before(0));
                assert_eq!(poison_errno(fixture.append(1)), Some(errno), "directory sync {nth}");
            }
            // The next segment is synced twice before the rotated one is closed.
            let fixture = StoreFixture::open(kind, JournalOptions::new());
            fixture.append(0).unwrap();
            fixture.barrier();
            fixture.faults.fail(Op::SyncFile, 3, errno);
            let _ = finish(fixture.store.rotate());
            let _ = finish(fixture.store.trim_before(0));
            assert_eq!(poison_errno(fixture.append(1)), Some(errno), "sync of the rotated segment");
        }
    }
}

#[test]
fn appends_succeed_while_rotation_is_refused() {
    for kind in backends() {
        // Except `Write`, which other steps call, too.
        for op in RETRIED.into_iter().filter(|op| *op != Op::Write) {
            let fixture =
                StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(300).preallocate(false));
            fixture.append(0).unwrap();
            fixture.barrier();
            fixture.faults.fail_all(op, Errno::MFILE);
            let before = fixture.faults.count(op);
            for record in 1..200 {
                fixture.append(record).unwrap();
            }
            assert_eq!(fixture.rotations(), 0);
            // The clock advances by the time that the appends take: a few attempts, not one for each append.
            let tried = fixture.faults.count(op) - before;
            assert!((1..100).contains(&tried), "{op:?}: {tried} attempts");
            fixture.faults.clear_faults();
            finish(fixture.store.close()).unwrap();
            assert_eq!(values(&fixture.path), (0..200).collect::<Vec<_>>());
            assert!(fixture.path.with_extension("001").exists(), "{op:?}: closing makes one more attempt");
        }
    }
}

#[test]
fn rotate_during_back_off_returns_last_error() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        fixture.faults.fail_all(Op::Create, Errno::NFILE);
        // Each failure doubles the delay, up to a second.
        for _ in 0..10 {
            assert!(is_unavailable(&finish(fixture.store.rotate())));
            fixture.faults.advance_clock(BACK_OFF);
        }
        assert!(is_unavailable(&finish(fixture.store.rotate())));
        let tried = fixture.faults.count(Op::Create);
        for _ in 0..20 {
            assert_eq!(errno_of(&finish(fixture.store.rotate())), Some(Errno::NFILE));
        }
        assert!(fixture.faults.count(Op::Create) <= tried + 1, "an attempt without back-off");
    }
}

#[test]
fn commit_with_failed_stat_is_refused() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.faults.fail_all(Op::Stat, Errno::NOMEM);
        let refused = fixture.append(1);
        assert_eq!(errno_of(&refused), Some(Errno::NOMEM));
        let several = [fixture.submit(&2u64), fixture.submit(&3u64)];
        assert!(several.into_iter().all(|append| is_unavailable(&finish(append))));
        fixture.faults.clear_faults();
        fixture.append(4).unwrap();
        finish(fixture.store.close()).unwrap();
        assert_eq!(values(&fixture.path), [0, 4]);
        assert_eq!(fixture.store.stats().last_transient_error, Some(Errno::NOMEM.raw_os_error()));
    }
}

/// A full group is encoded while the one before it is written. If it is refused then, it must not be written as the
/// next one.
#[test]
fn refused_group_encoded_early_is_not_written() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_group_bytes(1));
        fixture.append(0).unwrap();
        let first = fixture.stall(1);
        let (refused, later) = (fixture.submit(&2u64), fixture.submit(&3u64));
        // The check of the file before the group that is encoded already.
        fixture.faults.fail(Op::Stat, 1, Errno::NOMEM);
        fixture.faults.unblock(Op::Commit);
        assert_eq!(finish(first).unwrap().seq, 2);
        assert!(is_unavailable(&finish(refused)));
        assert_eq!(finish(later).unwrap().seq, 3);
        assert_eq!(values(&fixture.path), [0, 1, 3]);
        finish(fixture.store.close()).unwrap();
    }
}

#[test]
fn hold_refused_temporarily_is_retryable() {
    for kind in backends() {
        for op in [Op::Create, Op::Rename] {
            for errno in TEMPORARY {
                let fixture = StoreFixture::open(kind, JournalOptions::new());
                finish(fixture.store.hold("x", 1)).unwrap();
                fixture.append(1).unwrap();
                fixture.barrier();
                fixture.faults.fail(op, 1, errno);
                let error = finish(fixture.store.hold("x", 2)).unwrap_err();
                assert!(matches!(error, MiniStoreError::Io { .. }), "{error}");
                assert_eq!(fixture.store.holds()["x"], 1);
                finish(fixture.store.hold("x", 2)).unwrap();
                fixture.append(2).unwrap();
            }
        }
    }
}

#[test]
fn retention_refused_temporarily_is_retryable() {
    for kind in backends() {
        for op in [Op::List, Op::Open, Op::Remove] {
            for errno in TEMPORARY {
                let fixture = StoreFixture::open(kind, JournalOptions::new());
                for record in 0..3 {
                    fixture.append(record).unwrap();
                    finish(fixture.store.rotate()).unwrap();
                }
                finish(fixture.store.trim_before(0)).unwrap();
                fixture.faults.fail_all(op, errno);
                let error = finish(fixture.store.trim_before(4)).unwrap_err();
                assert!(matches!(error, MiniStoreError::Io { .. }), "{op:?}: {error}");
                fixture.append(3).unwrap();
                fixture.faults.clear_faults();
                assert_eq!(finish(fixture.store.trim_before(4)).unwrap(), 4);
                assert!(fixture.store.stats().transient_errors > 0, "{op:?}");
            }
        }
    }
}

#[test]
fn leftover_next_segment_is_replaced() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fixture.barrier();
        // The preparation fails, and the file that it created cannot be removed either.
        fixture.faults.fail(Op::SyncFile, 1, Errno::NOMEM);
        fixture.faults.fail(Op::Remove, 1, Errno::ACCESS);
        assert!(is_unavailable(&finish(fixture.store.rotate())));
        assert!(fixture.path.with_extension("next").exists());
        fixture.faults.advance_clock(BACK_OFF);
        finish(fixture.store.rotate()).unwrap();
        fixture.append(1).unwrap();
        finish(fixture.store.close()).unwrap();
        assert_eq!(values(&fixture.path), [0, 1]);
    }
}
