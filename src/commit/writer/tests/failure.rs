//! After a failed write or sync no append is acknowledged, every caller gets an error, and no acknowledged record is
//! lost.

use super::*;

#[test]
fn failed_commit_fails_all_callers_with_first_cause() {
    for kind in backends() {
        let fixture =
            StoreFixture::open(kind, JournalOptions::new().max_queue_bytes(2000).max_group_bytes(1));
        fixture.append(0).unwrap();
        let in_flight = fixture.stall(1);
        let queued: Vec<_> = (2..5).map(|record: u64| fixture.submit(&record)).collect();
        let large = "x".repeat(3000);
        let mut waiting_append = Box::pin(fixture.store.append(&large));
        assert!(is_pending(&mut waiting_append));
        let mut rotating = Box::pin(fixture.store.rotate());
        assert!(is_pending(&mut rotating));
        fixture.faults.fail(Op::Commit, 0, Errno::IO);
        fixture.faults.fail(Op::Commit, 1, Errno::BADF);
        fixture.faults.unblock(Op::Commit);

        assert_eq!(poison_errno(finish(in_flight)), Some(Errno::IO));
        for caller in queued {
            assert_eq!(poison_errno(finish(caller)), Some(Errno::IO));
        }
        assert_eq!(poison_errno(finish(waiting_append)), Some(Errno::IO));
        assert_eq!(poison_errno(finish(rotating)), Some(Errno::IO));
        assert_eq!(poison_errno(fixture.append(9)), Some(Errno::IO));
        assert_eq!(poison_errno(finish(fixture.store.append_batch([1u64, 2]))), Some(Errno::IO));
        assert_eq!(poison_errno(finish(fixture.store.rotate())), Some(Errno::IO));
        let commits = fixture.faults.count(Op::Commit);
        assert_eq!(poison_errno(finish(fixture.store.close())), Some(Errno::IO));
        assert_eq!((fixture.store.durable_seq(), fixture.faults.count(Op::Commit)), (1, commits));

        let again = open_on(kind, JournalOptions::new(), &fixture.path, &FaultInjector::new()).unwrap();
        assert_eq!(finish(again.submit(&10u64)).map(finish).unwrap().unwrap().seq, 2);
        assert_eq!(values(&fixture.path), [0, 10]);
    }
}

#[test]
fn deleted_or_truncated_file_acknowledges_nothing() {
    let truncate = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
    let delete = |path: &Path| fs::remove_file(path).unwrap();
    for kind in backends() {
        for preallocate in [true, false] {
            for (action, text) in
                [(&truncate as &dyn Fn(&Path), "truncated the active segment"), (&delete, "no longer at")]
            {
                let fixture = StoreFixture::open(kind, JournalOptions::new().preallocate(preallocate));
                (0..3).for_each(|record| fixture.append(record).unwrap());
                action(&fixture.path);
                for outcome in [fixture.append(3), fixture.append(4), finish(fixture.store.close())] {
                    let error = outcome.unwrap_err().to_string();
                    assert!(error.contains(text), "{error}");
                }
                assert_eq!(fixture.store.durable_seq(), 3);
            }
        }
    }
}

#[test]
fn close_of_deleted_journal_fails() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append(0).unwrap();
        fs::remove_file(&fixture.path).unwrap();
        let error = finish(fixture.store.close()).unwrap_err().to_string();
        assert!(error.contains("no longer at"), "{error}");
    }
}

#[test]
fn failed_directory_sync_poisons() {
    for kind in backends() {
        // Creating, renaming and closing a segment each sync the directory.
        for nth in 1..=3 {
            let fixture = StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(400));
            fixture.faults.fail(Op::SyncDir, nth, Errno::IO);
            let mut acknowledged = Vec::new();
            let failed = (0..500).find_map(|record| match fixture.append(record) {
                Ok(()) => {
                    acknowledged.push(record);
                    None
                }
                failed => Some(failed),
            });
            assert_eq!(poison_errno(failed.expect("appends succeed after a failed sync")), Some(Errno::IO));
            poison_errno(finish(fixture.store.close()));
            drop(open_on(kind, JournalOptions::new(), &fixture.path, &FaultInjector::new()).unwrap());
            assert!(values(&fixture.path).starts_with(&acknowledged), "sync {nth}");
        }
    }
}

/// Runs a short workload once for each operation of one kind, with that operation failing.
fn fail_each(kind: BackendKind, op: Op, errno: Errno, options: &JournalOptions) {
    for nth in 1.. {
        let fixture = StoreFixture::open(kind, options.clone());
        let before = fixture.faults.count(op);
        fixture.faults.fail(op, nth, errno);
        let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
        for record in 0..14 {
            match fixture.append(record) {
                Ok(()) => acknowledged.push(record),
                Err(MiniStoreError::StorageFull { .. }) => refused.push(record),
                Err(_) => {}
            }
        }
        let _ = finish(fixture.store.close());
        let was_reached = fixture.faults.count(op) >= before + nth;
        let context = format!("{kind}: {op:?} {nth} failed with {errno}");
        let again = open_on(kind, options.clone(), &fixture.path, &FaultInjector::new());
        let again = again.unwrap_or_else(|error| panic!("{context}: {error}"));
        let found = values(&fixture.path);
        assert!(found.is_sorted_by(|a, b| a < b), "{context}: {found:?}");
        assert!(
            acknowledged.iter().all(|record| found.contains(record)),
            "{context}: {acknowledged:?}, {found:?}"
        );
        assert!(!refused.iter().any(|record| found.contains(record)), "{context}: {refused:?}, {found:?}");
        assert_eq!(again.open_report().next_seq, found.len() as u64 + 1, "{context}");
        if !was_reached {
            assert_eq!(found.len(), 14, "{context}");
            return;
        }
    }
}

const OPS: [Op; 8] =
    [Op::Create, Op::Write, Op::SetLen, Op::SyncFile, Op::Rename, Op::Remove, Op::SyncDir, Op::Attach];

#[test]
fn one_eio_anywhere_loses_nothing_acknowledged() {
    for preallocate in [true, false] {
        let options = JournalOptions::new().max_segment_bytes(300).preallocate(preallocate);
        for op in OPS {
            fail_each(BackendKind::Blocking, op, Errno::IO, &options);
        }
        for kind in backends() {
            fail_each(kind, Op::Commit, Errno::IO, &options);
        }
    }
}

#[test]
fn one_enospc_anywhere_loses_nothing_acknowledged() {
    for preallocate in [true, false] {
        let options = JournalOptions::new().max_segment_bytes(300).preallocate(preallocate);
        for op in OPS {
            fail_each(BackendKind::Blocking, op, Errno::NOSPC, &options);
        }
        for kind in backends() {
            fail_each(kind, Op::Commit, Errno::NOSPC, &options);
        }
    }
}
