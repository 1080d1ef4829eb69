//! The store works on any executor, with any number of callers.

use std::{fmt::Debug, marker::PhantomData, rc::Rc, thread};

use bytes::Bytes;
use ministore_uring::{MiniStore, PendingAppend};
use serde::{Serialize, Serializer};

use crate::support::{TempJournal, block_on, for_each_backend, numbered, tokio_run};

const CALLERS: u64 = 16;
const RECORDS_EACH: u64 = 20;

/// Appends the records of one caller; returns them with their sequence numbers.
async fn append_as(store: MiniStore, caller: u64) -> Vec<(u64, (u64, u64))> {
    let mut issued = Vec::new();
    for n in 0..RECORDS_EACH {
        let seq = store.submit(&(caller, n)).await.unwrap().await.unwrap().seq;
        issued.push((seq, (caller, n)));
    }
    issued
}

/// Checks that every caller got the sequence numbers of its records, in order, and that there are no other records.
fn check(journal: &TempJournal, mut issued: Vec<(u64, (u64, u64))>) {
    assert_eq!(issued.len() as u64, CALLERS * RECORDS_EACH);
    assert!(issued.chunks(RECORDS_EACH as usize).all(|caller| caller.is_sorted()), "{issued:?}");
    issued.sort_unstable();
    assert_eq!(numbered::<(u64, u64)>(journal.path()).unwrap(), issued);
}

#[test]
fn many_callers_on_a_current_thread_runtime() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let issued = tokio_run(async {
            let store = options.open(journal.path()).await.unwrap();
            let local = tokio::task::LocalSet::new();
            let callers: Vec<_> =
                (0..CALLERS).map(|n| local.spawn_local(append_as(store.clone(), n))).collect();
            local.await;
            let mut issued = Vec::new();
            for caller in callers {
                issued.extend(caller.await.unwrap());
            }
            issued
        });
        check(&journal, issued);
    });
}

#[test]
fn many_callers_on_a_multi_thread_runtime() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let runtime = tokio::runtime::Builder::new_multi_thread().worker_threads(2).build().unwrap();
        let issued = runtime.block_on(async {
            let store = options.open(journal.path()).await.unwrap();
            let callers: Vec<_> = (0..CALLERS).map(|n| tokio::spawn(append_as(store.clone(), n))).collect();
            let mut issued = Vec::new();
            for caller in callers {
                issued.extend(caller.await.unwrap());
            }
            issued
        });
        check(&journal, issued);
    });
}

#[test]
fn many_callers_without_any_runtime() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let callers: Vec<_> = (0..CALLERS)
            .map(|n| {
                let store = store.clone();
                thread::spawn(move || block_on(append_as(store, n)))
            })
            .collect();
        check(&journal, callers.into_iter().flat_map(|caller| caller.join().unwrap()).collect());
    });
}

#[test]
fn appends_of_one_caller_stay_in_order() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let pending: Vec<PendingAppend> =
            (1..=500u64).map(|n| store.blocking().submit(&n).unwrap()).collect();
        for (n, pending) in (1..).zip(pending) {
            assert_eq!(pending.wait().unwrap().seq, n);
        }
        let expected: Vec<_> = (1..=500).map(|n| (n, n)).collect();
        assert_eq!(numbered::<u64>(journal.path()).unwrap(), expected);
    });
}

#[test]
fn store_and_futures_are_send() {
    /// A record that is not `Send`: a future must not keep the record.
    struct LocalRecord(PhantomData<Rc<()>>);
    impl Serialize for LocalRecord {
        fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
            serializer.serialize_str("local")
        }
    }
    fn is_a_handle<T: Clone + Send + Sync + Debug + 'static>(_: &T) {}
    fn is_send<T: Send>(value: T) -> T {
        value
    }

    for_each_backend(|options| {
        let journal = TempJournal::new();
        let opening = is_send(options.open(journal.path()));
        let store = block_on(opening).unwrap();
        is_a_handle(&store);
        let future = is_send(store.append(&LocalRecord(PhantomData)));
        block_on(future).unwrap();
        block_on(is_send(is_send(block_on(is_send(store.submit(&LocalRecord(PhantomData)))).unwrap())))
            .unwrap();
        block_on(is_send(store.append_batch([LocalRecord(PhantomData)]))).unwrap();
        block_on(is_send(store.append_json(Bytes::from("\"local\"")))).unwrap();
        block_on(is_send(store.rotate())).unwrap();
        block_on(is_send(store.close())).unwrap();
        assert_eq!(numbered::<String>(journal.path()).unwrap().len(), 4);
    });
}
