//! Random sequences of all operations on a journal, checked against a model: a list of records.

use ministore_uring::{Backend, JournalOptions, MiniStore};
use proptest::{collection::vec, prelude::*};

use crate::support::{TempJournal, legacy_replay, numbered};

#[derive(Debug, Clone)]
enum Operation {
    Append(String),
    Batch(Vec<String>),
    Submit(Vec<String>),
    Rotate,
    /// Close and open again.
    Reopen,
    /// Drop without a close, and open again.
    Drop,
    /// Continue with a copy of the files, as a crash would leave them.
    Crash,
}

fn operation() -> impl Strategy<Value = Operation> {
    let text = || prop_oneof![8 => "[ -~\\t\\n\u{e4}]{0,40}", 1 => "[a-z]{500,5000}"];
    prop_oneof![
        6 => text().prop_map(Operation::Append),
        3 => vec(text(), 0..5).prop_map(Operation::Batch),
        3 => vec(text(), 1..5).prop_map(Operation::Submit),
        2 => Just(Operation::Rotate),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Drop),
        2 => Just(Operation::Crash),
    ]
}

fn options() -> impl Strategy<Value = JournalOptions> {
    (any::<bool>(), any::<bool>(), prop_oneof![Just(300), Just(5000), Just(1 << 20)]).prop_map(
        |(preallocate, direct, segment_bytes)| {
            JournalOptions::new()
                .backend(Backend::Blocking)
                .preallocate(preallocate)
                .direct_io(direct)
                .max_segment_bytes(segment_bytes)
        },
    )
}

/// Applies an operation to the journal and to the model; returns the journal to continue with.
fn apply(
    operation: Operation,
    options: &JournalOptions,
    (journal, store): (TempJournal, MiniStore),
    model: &mut Vec<String>,
) -> (TempJournal, MiniStore) {
    let next = model.len() as u64 + 1;
    match operation {
        Operation::Append(text) => {
            store.blocking().append(&text).unwrap();
            model.push(text);
        }
        Operation::Batch(texts) => {
            let numbers = store.blocking().append_batch(&texts).unwrap();
            assert_eq!(numbers, next..next + texts.len() as u64);
            model.extend(texts);
        }
        Operation::Submit(texts) => {
            let pending: Vec<_> = texts.iter().map(|text| store.blocking().submit(text).unwrap()).collect();
            for (seq, pending) in (next..).zip(pending) {
                assert_eq!(pending.wait().unwrap().seq, seq);
            }
            model.extend(texts);
        }
        Operation::Rotate => store.blocking().rotate().unwrap(),
        Operation::Reopen => {
            store.blocking().close().unwrap();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            return (journal, store);
        }
        Operation::Drop => {
            drop(store);
            let store = options.clone().open_blocking(journal.path()).unwrap();
            return (journal, store);
        }
        Operation::Crash => {
            let copy = TempJournal::of(&journal.files());
            let store = options.clone().open_blocking(copy.path()).unwrap();
            assert_eq!(store.open_report().truncated, None, "nothing was in flight");
            return (copy, store);
        }
    }
    (journal, store)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 24, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn journal_equals_the_list_of_appends(options in options(), operations in vec(operation(), 1..25)) {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        let mut state = (journal, store);
        let mut model = Vec::new();
        for operation in operations {
            state = apply(operation, &options, state, &mut model);
            prop_assert_eq!(state.1.durable_seq(), model.len() as u64);
            let expected: Vec<_> = (1..).zip(model.clone()).collect();
            prop_assert_eq!(numbered::<String>(state.0.path()).unwrap(), expected);
        }
        state.1.blocking().close().unwrap();
        prop_assert_eq!(legacy_replay::<String>(state.0.path()).unwrap(), model);
    }
}
