//! Closing a store, and dropping it.

use super::*;
use crate::{
    io::os_file_system,
    journal::file_names::FileNames,
    journal::lock::{JournalLock, PendingRelease},
};

/// The open is abandoned before the reply, and with the reply sent.
#[test]
fn open_waits_for_an_abandoned_open() {
    for kind in backends() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("j");
        let faults = FaultInjector::new();
        let open = |faults: &FaultInjector| {
            let faults = faults.clone();
            MiniStore::open_on(JournalOptions::new(), &path, move || {
                Ok((kind, faults.file_system(), faults.commit_backend(kind)?))
            })
        };
        faults.block(Op::Create);
        let mut abandoned = Box::pin(open(&faults));
        assert!(is_pending(&mut abandoned));
        faults.wait_until_blocked(Op::Create);
        drop(abandoned);
        let next = std::thread::spawn({
            let (path, healthy) = (path.clone(), FaultInjector::new());
            move || open_on(kind, JournalOptions::new(), &path, &healthy)
        });
        faults.unblock(Op::Create);
        drop(next.join().unwrap().unwrap());

        let mut unread = Box::pin(open(&faults));
        assert!(is_pending(&mut unread));
        faults.wait_for_count(Op::Attach, 2);
        drop(unread);
        drop(open_on(kind, JournalOptions::new(), &path, &faults).unwrap());
    }
}

#[test]
fn drop_last_handle_commits_and_closes() {
    for kind in backends() {
        let StoreFixture { dir, path, faults, store } = StoreFixture::open(kind, JournalOptions::new());
        faults.block(Op::Commit);
        let callers: Vec<_> = (0..10u64).map(|record| finish(store.submit(&record)).unwrap()).collect();
        faults.wait_until_blocked(Op::Commit);
        drop(store.clone());
        drop(store);
        faults.unblock(Op::Commit);
        for caller in callers {
            finish(caller).unwrap();
        }
        // Waits until the writer thread has ended.
        let names = FileNames::resolve(&*os_file_system(), &path).unwrap();
        let lock = JournalLock::acquire(&*os_file_system(), &names, PendingRelease::default()).unwrap();
        assert!(is_closed(&path));
        assert_eq!(values(&path), (0..10).collect::<Vec<_>>());
        drop((lock, dir));
    }
}

#[test]
fn close_commits_accepted_and_refuses_later_appends() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_queue_bytes(1500));
        let first = fixture.stall(0);
        let accepted: Vec<_> = (1..4).map(|record: u64| fixture.submit(&record)).collect();
        let large = "x".repeat(1500);
        let mut waiting_append = Box::pin(fixture.store.append(&large));
        assert!(is_pending(&mut waiting_append));
        let mut closing = Box::pin(fixture.store.close());
        assert!(is_pending(&mut closing));
        fixture.faults.unblock(Op::Commit);
        finish(first).unwrap();
        for caller in accepted {
            finish(caller).unwrap();
        }
        finish(closing).unwrap();
        assert!(is_closed(&fixture.path));
        // It got its capacity after the store was closed, or not at all.
        assert!(matches!(finish(waiting_append), Err(MiniStoreError::Closed)));
        assert!(matches!(fixture.append(9), Err(MiniStoreError::Closed)));
        assert!(matches!(finish(fixture.store.rotate()), Err(MiniStoreError::Closed)));
        assert!(matches!(finish(fixture.store.close()), Err(MiniStoreError::Closed)));
        assert_eq!(values(&fixture.path), [0, 1, 2, 3]);
    }
}

#[test]
fn closed_journal_has_no_padding_or_next_segment() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new().max_segment_bytes(1000));
        for record in 0..70 {
            fixture.append(record).unwrap();
        }
        finish(fixture.store.close()).unwrap();
        let names: Vec<_> =
            fs::read_dir(fixture.dir.path()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        assert!(!names.iter().any(|name| name == "j.next"), "{names:?}");
        for name in names.iter().filter(|name| *name != "j.lock") {
            let bytes = fs::read(fixture.dir.path().join(name)).unwrap();
            assert!(bytes.ends_with(b"\t\n"), "{name:?}");
        }
    }
}

#[test]
fn dropped_journal_reopens_at_once() {
    for kind in backends() {
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
fn failed_close_leaves_recoverable_journal() {
    for kind in backends() {
        for op in [Op::SetLen, Op::Write, Op::SyncFile] {
            let fixture = StoreFixture::open(kind, JournalOptions::new());
            fixture.append(0).unwrap();
            fixture.barrier();
            fixture.faults.fail(op, 1, Errno::IO);
            finish(fixture.store.close()).expect_err("the close must fail");
            let again = open_on(kind, JournalOptions::new(), &fixture.path, &FaultInjector::new()).unwrap();
            finish(again.append(&1u64)).unwrap();
            assert_eq!(values(&fixture.path), [0, 1], "{op:?}");
        }
    }
}
