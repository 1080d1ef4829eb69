//! Closes that race with other closes, appends and opens.

use super::*;

#[test]
fn concurrent_closes_free_the_journal() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        for _ in 0..40 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&1).unwrap();
            let start = Barrier::new(2);
            let outcomes = thread::scope(|scope| {
                let close = || {
                    start.wait();
                    let outcome = store.blocking().close();
                    // The journal can be opened as soon as a close has returned, although the other handle still exists.
                    match options.clone().open_blocking(journal.path()) {
                        Ok(again) => again.blocking().close().unwrap(),
                        // The other thread was faster and has it open.
                        Err(MiniStoreError::Locked { .. }) => {}
                        Err(other) => panic!("{other}"),
                    }
                    outcome
                };
                let other = scope.spawn(close);
                [close(), other.join().unwrap()]
            });
            let closed = |outcome: &Result<(), _>| matches!(outcome, Err(MiniStoreError::Closed));
            assert_eq!(outcomes.iter().filter(|outcome| outcome.is_ok()).count(), 1, "{outcomes:?}");
            assert_eq!(outcomes.iter().filter(|outcome| closed(outcome)).count(), 1, "{outcomes:?}");
        }
    });
}

#[test]
fn closed_journal_can_be_opened_at_once() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        for _ in 0..40 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&1).unwrap();
            thread::scope(|scope| {
                scope.spawn(|| store.blocking().close().unwrap());
                let rejected = loop {
                    match store.blocking().append(&2) {
                        Ok(()) => {}
                        Err(rejected) => break rejected,
                    }
                };
                assert!(matches!(rejected, MiniStoreError::Closed), "{rejected}");
                let again = options.clone().open_blocking(journal.path());
                again.expect("it is closed").blocking().close().unwrap();
            });
        }
    });
}

#[test]
fn appends_racing_close_exist_iff_acknowledged() {
    for_each_commit_path(|options| {
        for _ in 0..15 {
            let journal = TempJournal::new();
            let store = options.clone().max_queue_bytes(3000).open_blocking(journal.path()).unwrap();
            let mut appended: Vec<u32> = thread::scope(|scope| {
                let append = |caller: u32| {
                    let store = &store;
                    move || {
                        let values =
                            (caller * 100_000..).take_while(|value| match store.blocking().append(value) {
                                Ok(()) => true,
                                Err(MiniStoreError::Closed) => false,
                                Err(other) => panic!("{other}"),
                            });
                        values.collect::<Vec<_>>()
                    }
                };
                let callers: Vec<_> = (0..12).map(|caller| scope.spawn(append(caller))).collect();
                while store.durable_seq() < 30 {
                    thread::yield_now();
                }
                store.blocking().close().unwrap();
                callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect()
            });
            let found = numbered::<u32>(journal.path()).unwrap();
            let mut found: Vec<_> = found.into_iter().map(|(_, value)| value).collect();
            found.sort_unstable();
            appended.sort_unstable();
            assert_eq!(found, appended);
        }
    });
}
