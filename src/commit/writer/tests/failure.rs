//! After a failed write or sync nothing is acknowledged, everybody is told, and nothing acknowledged is lost.

use super::*;

#[test]
fn a_failed_commit_answers_everybody_with_the_first_cause() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_queue_bytes(2000).max_group_bytes(1));
        rig.append(0).unwrap();
        let in_flight = rig.stall(1);
        let queued: Vec<_> = (2..5).map(|record: u64| rig.submit(&record)).collect();
        let large = "x".repeat(3000);
        let mut for_room = Box::pin(rig.store.append(&large));
        assert!(is_waiting(&mut for_room));
        let mut rotating = Box::pin(rig.store.rotate());
        assert!(is_waiting(&mut rotating));
        rig.faults.fail(Op::Commit, 0, Errno::IO);
        rig.faults.fail(Op::Commit, 1, Errno::BADF);
        rig.faults.release(Op::Commit);

        assert_eq!(poison(finish(in_flight)), Some(Errno::IO));
        for caller in queued {
            assert_eq!(poison(finish(caller)), Some(Errno::IO));
        }
        assert_eq!(poison(finish(for_room)), Some(Errno::IO));
        assert_eq!(poison(finish(rotating)), Some(Errno::IO));
        assert_eq!(poison(rig.append(9)), Some(Errno::IO));
        assert_eq!(poison(finish(rig.store.append_batch([1u64, 2]))), Some(Errno::IO));
        assert_eq!(poison(finish(rig.store.rotate())), Some(Errno::IO));
        let commits = rig.faults.count(Op::Commit);
        assert_eq!(poison(finish(rig.store.close())), Some(Errno::IO));
        assert_eq!((rig.store.durable_seq(), rig.faults.count(Op::Commit)), (1, commits));

        let again = open_on(kind, JournalOptions::new(), &rig.path, &FaultInjector::new()).unwrap();
        assert_eq!(finish(again.submit(&10u64)).map(finish).unwrap().unwrap().seq, 2);
        assert_eq!(values(&rig.path), [0, 10]);
    }
}

#[test]
fn deleted_or_truncated_file_acknowledges_nothing() {
    let cut = |path: &Path| fs::File::options().write(true).open(path).unwrap().set_len(100).unwrap();
    let delete = |path: &Path| fs::remove_file(path).unwrap();
    for kind in lanes() {
        for preallocate in [true, false] {
            for (deed, word) in
                [(&cut as &dyn Fn(&Path), "truncated the active segment"), (&delete, "no longer at")]
            {
                let rig = Rig::open(kind, JournalOptions::new().preallocate(preallocate));
                (0..3).for_each(|record| rig.append(record).unwrap());
                deed(&rig.path);
                for outcome in [rig.append(3), rig.append(4), finish(rig.store.close())] {
                    let told = outcome.unwrap_err().to_string();
                    assert!(told.contains(word), "{told}");
                }
                assert_eq!(rig.store.durable_seq(), 3);
            }
        }
    }
}

#[test]
fn a_journal_that_was_deleted_is_not_closed_as_if_it_were_there() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        rig.append(0).unwrap();
        fs::remove_file(&rig.path).unwrap();
        let told = finish(rig.store.close()).unwrap_err().to_string();
        assert!(told.contains("no longer at"), "{told}");
    }
}

#[test]
fn a_failed_sync_of_the_directory_poisons() {
    for kind in lanes() {
        // Preparing, archiving and retiring a segment each sync it.
        for nth in 1..=3 {
            let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(400));
            rig.faults.fail(Op::SyncDir, nth, Errno::IO);
            let mut acknowledged = Vec::new();
            let failed = (0..500).find_map(|record| match rig.append(record) {
                Ok(()) => {
                    acknowledged.push(record);
                    None
                }
                failed => Some(failed),
            });
            assert_eq!(poison(failed.expect("it goes on after a failed sync")), Some(Errno::IO));
            poison(finish(rig.store.close()));
            drop(open_on(kind, JournalOptions::new(), &rig.path, &FaultInjector::new()).unwrap());
            assert!(values(&rig.path).starts_with(&acknowledged), "sync {nth}");
        }
    }
}

/// Fails each operation of a short life once, whatever it is.
fn fail_each(kind: BackendKind, op: Op, errno: Errno, options: &JournalOptions) {
    for nth in 1.. {
        let rig = Rig::open(kind, options.clone());
        let begun = rig.faults.count(op);
        rig.faults.fail(op, nth, errno);
        let (mut acknowledged, mut refused) = (Vec::new(), Vec::new());
        for record in 0..14 {
            match rig.append(record) {
                Ok(()) => acknowledged.push(record),
                Err(MiniStoreError::StorageFull { .. }) => refused.push(record),
                Err(_) => {}
            }
        }
        let _ = finish(rig.store.close());
        let was_reached = rig.faults.count(op) >= begun + nth;
        let context = format!("{kind}: {op:?} {nth} failed with {errno}");
        let again = open_on(kind, options.clone(), &rig.path, &FaultInjector::new());
        let again = again.unwrap_or_else(|error| panic!("{context}: {error}"));
        let found = values(&rig.path);
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
fn whatever_fails_once_nothing_acknowledged_is_lost() {
    for preallocate in [true, false] {
        let options = JournalOptions::new().max_segment_bytes(300).preallocate(preallocate);
        for op in OPS {
            fail_each(BackendKind::Blocking, op, Errno::IO, &options);
        }
        for kind in lanes() {
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
        for kind in lanes() {
            fail_each(kind, Op::Commit, Errno::NOSPC, &options);
        }
    }
}
