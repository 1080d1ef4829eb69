//! Holds on blocked, failing and full file systems.

use std::pin::Pin;

use super::*;

fn held(fixture: &StoreFixture) -> Vec<(String, u64)> {
    fixture.store.holds().into_iter().collect()
}

/// Closes and reopens the journal, and returns its holds. The close may fail.
fn held_at_next_open(fixture: StoreFixture, kind: BackendKind) -> Vec<(String, u64)> {
    let _ = finish(fixture.store.close());
    let StoreFixture { dir: _dir, path, store, .. } = fixture;
    drop(store);
    let store = open_on(kind, JournalOptions::new(), &path, &FaultInjector::new()).unwrap();
    store.holds().into_iter().collect()
}

#[test]
fn hold_on_full_disk_is_refused_and_others_kept() {
    for kind in backends() {
        for space in [0, 10] {
            let fixture = StoreFixture::open(kind, JournalOptions::new());
            fixture.append_segments(2);
            finish(fixture.store.hold("x", 1)).unwrap();
            fixture.barrier();
            fixture.faults.set_space_limit(space);
            let refused = finish(fixture.store.hold("x", 2));
            let Err(MiniStoreError::StorageFull { path, .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(path, fixture.path.with_extension("holds"));
            assert!(is_storage_full(&finish(fixture.store.release_hold("x"))));
            assert_eq!(
                (held(&fixture), finish(fixture.store.trim_before(9)).unwrap()),
                (vec![("x".into(), 1)], 1)
            );
            assert!(!fixture.path.with_extension("holds.next").exists());
            fixture.faults.clear_space_limit();
            finish(fixture.store.hold("x", 2)).unwrap();
            assert_eq!(finish(fixture.store.trim_before(0)).unwrap(), 2);
            fixture.append(7).unwrap();
            assert_eq!(held_at_next_open(fixture, kind), [("x".into(), 2)]);
        }
    }
}

#[test]
fn hold_write_failure_keeps_previous_holds() {
    for kind in backends() {
        for (op, action) in [(Op::Create, "create"), (Op::Write, "write"), (Op::SyncFile, "sync")] {
            let fixture = StoreFixture::open(kind, JournalOptions::new());
            finish(fixture.store.hold("x", 1)).unwrap();
            fixture.append(1).unwrap();
            fixture.barrier();
            fixture.faults.fail(op, 1, Errno::IO);
            let refused = finish(fixture.store.hold("x", 2)).unwrap_err().to_string();
            assert!(refused.contains("holds") && refused.contains(action), "{refused}");
            assert_eq!(held(&fixture), [("x".into(), 1)]);
            fixture.append(2).unwrap();
            finish(fixture.store.hold("y", 2)).unwrap();
            assert_eq!(held_at_next_open(fixture, kind), [("x".into(), 1), ("y".into(), 2)]);
        }
    }
}

#[test]
fn unknown_hold_outcome_poisons_the_store() {
    for kind in backends() {
        for op in [Op::Rename, Op::SyncDir] {
            let fixture = StoreFixture::open(kind, JournalOptions::new());
            finish(fixture.store.hold("x", 1)).unwrap();
            fixture.append(1).unwrap();
            fixture.barrier();
            fixture.faults.fail(op, 1, Errno::IO);
            assert!(
                matches!(finish(fixture.store.hold("x", 2)), Err(MiniStoreError::Poisoned { .. })),
                "{op:?}"
            );
            assert!(matches!(finish(fixture.store.append(&2)), Err(MiniStoreError::Poisoned { .. })));
            assert!(matches!(finish(fixture.store.trim_before(1)), Err(MiniStoreError::Poisoned { .. })));
            let holds = held_at_next_open(fixture, kind);
            assert!(holds == [("x".to_owned(), 1)] || holds == [("x".to_owned(), 2)], "{holds:?}");
        }
    }
}

type HoldFuture<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

#[test]
fn holds_share_one_write_while_commits_continue() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(2);
        let writes = fixture.faults.count(Op::Rename);
        fixture.faults.block(Op::Rename);
        let mut pending: Vec<HoldFuture<'_>> = vec![Box::pin(fixture.store.hold("first", 1))];
        assert!(is_pending(&mut pending[0]));
        fixture.faults.wait_until_blocked(Op::Rename);
        let store = &fixture.store;
        for seq in 1..100_u64 {
            let mut hold: HoldFuture<'_> =
                Box::pin(async move { store.hold(&(seq % 7).to_string(), seq).await });
            assert!(is_pending(&mut hold));
            pending.push(hold);
        }
        let mut trimming = Box::pin(fixture.store.trim_before(2));
        assert!(is_pending(&mut trimming));
        fixture.append(5).unwrap();
        assert_eq!(fixture.store.holds().len(), 0, "nothing is durable yet");
        fixture.faults.unblock(Op::Rename);
        pending.into_iter().for_each(|hold| finish(hold).unwrap());
        assert_eq!(finish(trimming).unwrap(), 1, "the first record is held");
        assert_eq!(fixture.faults.count(Op::Rename), writes + 2);
        let expected =
            (0..7_u64).map(|name| (name.to_string(), (1..100).rfind(|seq| seq % 7 == name).unwrap()));
        assert_eq!(held(&fixture), expected.chain([("first".to_owned(), 1)]).collect::<Vec<_>>());
    }
}

#[test]
fn hold_is_confirmed_before_the_deletions_it_allows() {
    for kind in backends() {
        let fixture = StoreFixture::open(kind, JournalOptions::new());
        fixture.append_segments(5);
        finish(fixture.store.hold("x", 1)).unwrap();
        assert_eq!(finish(fixture.store.trim_before(6)).unwrap(), 1);
        fixture.faults.block(Op::Remove);
        finish(fixture.store.hold("x", 5)).unwrap();
        fixture.faults.wait_until_blocked(Op::Remove);
        assert_eq!((held(&fixture), fixture.store.first_seq()), (vec![("x".to_owned(), 5)], 1));
        fixture.faults.unblock(Op::Remove);
        assert_eq!(finish(fixture.store.trim_before(0)).unwrap(), 5);
    }
}
