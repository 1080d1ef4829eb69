//! Closing, and being dropped.

use super::*;
use crate::{
    io::os_file_system,
    journal::file_names::FileNames,
    journal::lock::{JournalLock, PendingRelease},
};

/// However far it got: before the answer, and with the answer on its way.
#[test]
fn an_opening_that_was_given_up_on_is_waited_for_by_the_next() {
    for kind in lanes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let faults = FaultInjector::new();
        let open = |faults: &FaultInjector| {
            let faults = faults.clone();
            MiniStore::open_on(JournalOptions::new(), &path, move || {
                Ok((kind, faults.disk(), faults.commit_backend(kind)?))
            })
        };
        faults.hold(Op::Create);
        let mut given_up = Box::pin(open(&faults));
        assert!(is_waiting(&mut given_up));
        faults.await_held(Op::Create);
        drop(given_up);
        let next = std::thread::spawn({
            let (path, healthy) = (path.clone(), FaultInjector::new());
            move || open_on(kind, JournalOptions::new(), &path, &healthy)
        });
        faults.release(Op::Create);
        drop(next.join().unwrap().unwrap());

        let mut unread = Box::pin(open(&faults));
        assert!(is_waiting(&mut unread));
        faults.await_count(Op::Attach, 2);
        drop(unread);
        drop(open_on(kind, JournalOptions::new(), &path, &faults).unwrap());
    }
}

#[test]
fn what_was_accepted_is_durable_and_the_journal_closed_when_the_last_handle_is_dropped() {
    for kind in lanes() {
        let Rig { dir, path, faults, store } = Rig::open(kind, JournalOptions::new());
        faults.hold(Op::Commit);
        let callers: Vec<_> = (0..10u64).map(|record| finish(store.submit(&record)).unwrap()).collect();
        faults.await_held(Op::Commit);
        drop(store.clone());
        drop(store);
        faults.release(Op::Commit);
        for caller in callers {
            finish(caller).unwrap();
        }
        // Waits until the writer is done.
        let names = FileNames::resolve(&*os_file_system(), &path).unwrap();
        let lock = JournalLock::acquire(&*os_file_system(), &names, PendingRelease::default()).unwrap();
        assert!(is_closed(&path));
        assert_eq!(values(&path), (0..10).collect::<Vec<_>>());
        drop((lock, dir));
    }
}

#[test]
fn close_makes_durable_what_was_accepted_and_refuses_what_comes_after() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_queue_bytes(1500));
        let first = rig.stall(0);
        let accepted: Vec<_> = (1..4).map(|record: u64| rig.submit(&record)).collect();
        let large = "x".repeat(1500);
        let mut for_room = Box::pin(rig.store.append(&large));
        assert!(is_waiting(&mut for_room));
        let mut closing = Box::pin(rig.store.close());
        assert!(is_waiting(&mut closing));
        rig.faults.release(Op::Commit);
        finish(first).unwrap();
        for caller in accepted {
            finish(caller).unwrap();
        }
        finish(closing).unwrap();
        assert!(is_closed(&rig.path));
        // It got its room too late, or not at all.
        assert!(matches!(finish(for_room), Err(MiniStoreError::Closed)));
        assert!(matches!(rig.append(9), Err(MiniStoreError::Closed)));
        assert!(matches!(finish(rig.store.rotate()), Err(MiniStoreError::Closed)));
        assert!(matches!(finish(rig.store.close()), Err(MiniStoreError::Closed)));
        assert_eq!(values(&rig.path), [0, 1, 2, 3]);
    }
}

#[test]
fn a_closed_journal_has_no_padding_and_no_prepared_segment() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new().max_segment_bytes(1000));
        for record in 0..70 {
            rig.append(record).unwrap();
        }
        finish(rig.store.close()).unwrap();
        let names: Vec<_> =
            fs::read_dir(rig.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name == "j.next"), "{names:?}");
        for name in names.iter().filter(|name| *name != "j.lock") {
            let bytes = fs::read(rig.dir.path().join(name)).unwrap();
            assert!(bytes.ends_with(b"\t\n"), "{name:?}");
        }
    }
}

#[test]
fn a_journal_that_is_dropped_opens_again_at_once() {
    for kind in lanes() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        for record in 0..10u64 {
            let store = open_on(kind, JournalOptions::new(), &path, &FaultInjector::new()).unwrap();
            drop(finish(store.submit(&record)).unwrap());
        }
        drop(open_on(kind, JournalOptions::new(), &path, &FaultInjector::new()).unwrap());
        assert_eq!(values(&path), (0..10).collect::<Vec<_>>());
    }
}

#[test]
fn a_close_that_fails_leaves_a_journal_that_recovers() {
    for kind in lanes() {
        for op in [Op::SetLen, Op::Write, Op::SyncFile] {
            let rig = Rig::open(kind, JournalOptions::new());
            rig.append(0).unwrap();
            rig.settle();
            rig.faults.fail(op, 1, Errno::IO);
            finish(rig.store.close()).expect_err("it could not be closed");
            let again = open_on(kind, JournalOptions::new(), &rig.path, &FaultInjector::new()).unwrap();
            finish(again.append(&1u64)).unwrap();
            assert_eq!(values(&rig.path), [0, 1], "{op:?}");
        }
    }
}
