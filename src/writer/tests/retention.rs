//! Holds and deletions on a disk that fails, fills up and holds back.

use std::pin::Pin;

use super::*;

/// Segments of one record each, the last one active and empty.
fn segments(rig: &Rig, count: u64) {
    for record in 0..count {
        rig.append(record).unwrap();
        finish(rig.store.rotate()).unwrap();
    }
    // All that the last rotation left to be done is done before what is asked for here.
    finish(rig.store.release_before(0)).unwrap();
}

fn held(rig: &Rig) -> Vec<(String, u64)> {
    rig.store.holds().into_iter().collect()
}

/// What stands after the journal was closed, or left, and opened again.
fn held_at_next_open(rig: Rig, kind: BackendKind) -> Vec<(String, u64)> {
    let _ = finish(rig.store.close());
    let Rig { dir: _dir, path, store, .. } = rig;
    drop(store);
    let store = open_on(kind, JournalOptions::new(), &path, &Faults::new()).unwrap();
    store.holds().into_iter().collect()
}

#[test]
fn a_hold_that_finds_no_room_is_refused_and_those_before_stand() {
    for kind in lanes() {
        for room in [0, 10] {
            let rig = Rig::open(kind, JournalOptions::new());
            segments(&rig, 2);
            finish(rig.store.hold("x", 1)).unwrap();
            rig.settle();
            rig.faults.limit_room(room);
            let refused = finish(rig.store.hold("x", 2));
            let Err(MiniStoreError::StorageFull { path, .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(path, rig.path.with_extension("holds"));
            assert!(is_full(&finish(rig.store.unhold("x"))));
            assert_eq!(
                (held(&rig), finish(rig.store.release_before(9)).unwrap()),
                (vec![("x".into(), 1)], 1)
            );
            assert!(!rig.path.with_extension("holds.next").exists());
            rig.faults.free_room();
            finish(rig.store.hold("x", 2)).unwrap();
            assert_eq!(rig.store.first_seq(), 2);
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
fn after_a_hold_of_which_nobody_knows_whether_it_stands_nothing_is_acknowledged() {
    for kind in lanes() {
        for op in [Op::Rename, Op::SyncDir] {
            let rig = Rig::open(kind, JournalOptions::new());
            finish(rig.store.hold("x", 1)).unwrap();
            rig.append(1).unwrap();
            rig.settle();
            rig.faults.fail(op, 1, Errno::IO);
            assert!(matches!(finish(rig.store.hold("x", 2)), Err(MiniStoreError::Poisoned { .. })), "{op:?}");
            assert!(matches!(finish(rig.store.append(&2)), Err(MiniStoreError::Poisoned { .. })));
            assert!(matches!(finish(rig.store.release_before(1)), Err(MiniStoreError::Poisoned { .. })));
            let stands = held_at_next_open(rig, kind);
            assert!(stands == [("x".to_owned(), 1)] || stands == [("x".to_owned(), 2)], "{stands:?}");
        }
    }
}

#[test]
fn a_segment_that_cannot_be_deleted_is_named_and_goes_later() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 3);
        rig.faults.fail(Op::Remove, 2, Errno::PERM);
        let error = finish(rig.store.release_before(4)).unwrap_err();
        assert!(
            matches!(&error, MiniStoreError::Io { source } if source.kind() == std::io::ErrorKind::PermissionDenied)
        );
        let text = error.to_string();
        assert!(text.contains("j.002") && text.contains("cannot delete"), "{text}");
        assert_eq!(rig.store.first_seq(), 2);
        assert_eq!(finish(rig.store.release_before(0)).unwrap(), 4);
        rig.append(9).unwrap();
    }
}

#[test]
fn a_deletion_that_may_not_be_durable_stops_everything() {
    for kind in lanes() {
        let rig = Rig::open(kind, JournalOptions::new());
        segments(&rig, 3);
        rig.faults.fail(Op::SyncDir, 1, Errno::IO);
        let before = rig.faults.count(Op::Remove);
        assert!(matches!(finish(rig.store.release_before(4)), Err(MiniStoreError::Poisoned { .. })));
        // One of which it is not known, and none behind it.
        assert_eq!(rig.faults.count(Op::Remove), before + 1);
    }
}

type Asked<'a> = Pin<Box<dyn Future<Output = Result<()>> + 'a>>;

#[test]
fn commits_go_on_meanwhile_and_many_holds_share_one_write() {
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
        let mut releasing = Box::pin(rig.store.release_before(2));
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
