//! The interface that `ministore` 0.1.7 does not have: appends in flight, batches, raw JSON, limits, executors.

use bytes::Bytes;
use futures_lite::future::poll_once;
use ministore_uring::{Append, MiniStoreError};
use serde::{Serialize, Serializer};
use serde_json::value::RawValue;

use crate::support::{TempJournal, block_on, for_each_commit_path, numbered, replay};

#[test]
fn pending_append_may_be_awaited_or_dropped() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        block_on(async {
            let awaited = store.submit(&"a").await.unwrap();
            let waited = store.submit(&"b").await.unwrap();
            drop(store.submit(&"c").await.unwrap());
            let last = store.submit(&"d").await.unwrap();
            assert_eq!(awaited.await.unwrap().seq, 1);
            assert_eq!(waited.wait().unwrap().seq, 2);
            assert_eq!(last.await.unwrap().seq, 4);
        });
        assert_eq!(store.durable_seq(), 4);
        assert_eq!(replay::<String>(journal.path()).unwrap(), ["a", "b", "c", "d"]);
    });
}

#[test]
fn pending_append_outlives_the_store() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let pending = store.blocking().submit(&"x").unwrap();
        drop(store);
        assert_eq!(pending.wait().unwrap().seq, 1);
    });
}

#[test]
fn batch_gets_consecutive_seqs() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.blocking().append_batch(["a", "b", "c"]).unwrap(), 1..4);
        assert_eq!(store.blocking().submit(&"d").unwrap().wait().unwrap().seq, 4);
        assert_eq!(store.blocking().append_batch(["e"]).unwrap(), 5..6);
        let expected: Vec<_> = (1..).zip(["a", "b", "c", "d", "e"].map(String::from)).collect();
        assert_eq!(numbered::<String>(journal.path()).unwrap(), expected);
    });
}

#[test]
fn empty_batch_writes_nothing() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.blocking().append_batch(Vec::<u32>::new()).unwrap(), 1..1);
        store.blocking().append(&1).unwrap();
        let before = journal.bytes();
        assert_eq!(store.blocking().append_batch(Vec::<u32>::new()).unwrap(), 2..2);
        assert_eq!(journal.bytes().trim_ascii_end(), before.trim_ascii_end());
        assert_eq!(store.stats().groups, 1);
    });
}

#[test]
fn append_json_keeps_every_byte() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let odd = r#"{"b" : 1.50e+00,"a":"\u00e4 \/ ü",	"b":[ ]}"#;
        assert_eq!(store.blocking().append_json(Bytes::from(odd)).unwrap(), 1);
        let spaced = Bytes::from(format!(" \t{odd}\r\n"));
        assert_eq!(store.blocking().send(Append::json(spaced).unwrap()).unwrap().wait().unwrap().seq, 2);
        let records: Vec<Box<RawValue>> = replay(journal.path()).unwrap();
        assert_eq!(records.iter().map(|raw| raw.get()).collect::<Vec<_>>(), [odd, odd]);
    });
}

#[test]
fn invalid_json_is_rejected() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for (bytes, at) in [
            (&b""[..], 0),
            (b"   ", 3),
            (b"{\"a\":1", 5),
            (b"nope", 1),
            (b"1 2", 2),
            (b"{}{}", 2),
            (b"{\"a\":\n1}", 5),
            (b"\"\xff\"", 1),
        ] {
            let rejected = store.blocking().append_json(Bytes::copy_from_slice(bytes));
            let Err(MiniStoreError::InvalidJson { offset, .. }) = rejected else {
                panic!("{bytes:?}: {rejected:?}")
            };
            assert_eq!(offset, at, "{bytes:?}");
        }
        assert_eq!(store.blocking().append_json(Bytes::from("1")).unwrap(), 1);
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1]);
    });
}

#[test]
fn raw_value_never_contains_a_line_break() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let raw = RawValue::from_string("{\n  \"a\": [1,\r\n 2]\n}".into()).unwrap();
        store.blocking().append(&raw).unwrap();
        store.blocking().append_batch([&raw, &raw]).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(journal.bytes().iter().filter(|&&b| b == b'\n').count(), 4);
        let expected = serde_json::json!({"a": [1, 2]});
        assert_eq!(replay::<serde_json::Value>(journal.path()).unwrap(), vec![expected; 3]);
    });
}

#[test]
fn too_large_record_is_rejected() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let options = options.max_record_bytes(100).max_batch_bytes(250);
        let store = options.open_blocking(journal.path()).unwrap();
        let text = |json_len: usize| "x".repeat(json_len - 2);
        store.blocking().append(&text(100)).unwrap();
        let rejections = [
            store.blocking().append(&text(101)),
            store.blocking().append_json(Bytes::from(format!("\"{}\"", text(101)))).map(drop),
            store.blocking().append_batch([text(3), text(101)]).map(drop),
        ];
        for rejection in rejections {
            assert!(
                matches!(
                    rejection,
                    Err(MiniStoreError::TooLarge { what: "a record", bytes: 101, bytes_max: 100 })
                ),
                "{rejection:?}"
            );
        }
        // 3 * 83 bytes and two line feeds between them.
        let rejection = store.blocking().append_batch([text(83), text(83), text(83)]);
        assert!(
            matches!(
                rejection,
                Err(MiniStoreError::TooLarge { what: "a batch", bytes: 251, bytes_max: 250 })
            ),
            "{rejection:?}"
        );
        assert_eq!(store.blocking().append_batch([text(83), text(83), text(82)]).unwrap(), 2..5);
        let lens: Vec<_> = replay::<String>(journal.path()).unwrap().iter().map(String::len).collect();
        assert_eq!(lens, [98, 81, 81, 80]);
    });
}

#[test]
fn limits_out_of_range_are_rejected() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let too_much = (1 << 30) + 1;
        for bad in [
            options.clone().max_record_bytes(0),
            options.clone().max_batch_bytes(too_much),
            options.clone().max_queue_bytes(0),
            options.clone().max_group_bytes(too_much),
            options.clone().max_segments(0),
            options.clone().commit_delay(std::time::Duration::from_secs(2)),
        ] {
            let rejected = bad.open_blocking(journal.path());
            assert!(matches!(rejected, Err(MiniStoreError::InvalidArgument(_))), "{rejected:?}");
        }
        assert_eq!(journal.names(), Vec::<String>::new());
    });
}

#[test]
fn unserializable_record_affects_only_itself() {
    struct Unserializable;
    impl Serialize for Unserializable {
        fn serialize<S: Serializer>(&self, _: S) -> Result<S::Ok, S::Error> {
            Err(serde::ser::Error::custom("no"))
        }
    }
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let rejected = store.blocking().append(&Unserializable);
        assert!(matches!(rejected, Err(MiniStoreError::Serialize { .. })), "{rejected:?}");
        let rejected = store.blocking().append_batch([Unserializable]);
        assert!(matches!(rejected, Err(MiniStoreError::Serialize { .. })), "{rejected:?}");
        assert_eq!(store.blocking().submit(&1).unwrap().wait().unwrap().seq, 1);
    });
}

#[test]
fn closed_store_rejects_all_clones() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let clone = store.clone();
        let pending = store.blocking().submit(&1).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(pending.wait().unwrap().seq, 1);
        for rejection in [
            clone.blocking().append(&2),
            clone.blocking().submit(&2).map(drop),
            clone.blocking().append_batch([2]).map(drop),
            clone.blocking().append_json(Bytes::from("2")).map(drop),
            clone.blocking().rotate(),
            clone.blocking().close(),
            store.blocking().close(),
        ] {
            assert!(matches!(rejection, Err(MiniStoreError::Closed)), "{rejection:?}");
        }
        assert_eq!(clone.durable_seq(), 1);
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1]);
    });
}

#[test]
fn append_dropped_in_any_state_is_harmless() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        // Capacity for one append at a time: if any of it leaks, the next append hangs.
        let store = options.max_queue_bytes(300).open_blocking(journal.path()).unwrap();
        block_on(async {
            for round in 0..50 {
                let kept = store.submit(&format!("kept {round}")).await.unwrap();
                drop(store.append(&"never polled"));
                let waiting = store.append(&"polled");
                let waiting_second = store.append(&"polled");
                futures_lite::pin!(waiting, waiting_second);
                let _ = poll_once(&mut waiting).await;
                let _ = poll_once(&mut waiting_second).await;
                let _ = poll_once(&mut waiting).await;
                kept.await.unwrap();
                let _ = poll_once(&mut waiting_second).await;
            }
            store.append(&"last").await.unwrap();
        });
        let records = replay::<String>(journal.path()).unwrap();
        assert!(!records.contains(&"never polled".into()));
        let kept: Vec<_> = records.iter().filter(|record| record.starts_with("kept")).collect();
        assert_eq!(
            kept,
            (0..50).map(|round| format!("kept {round}")).collect::<Vec<_>>().iter().collect::<Vec<_>>()
        );
        assert_eq!(records.last().unwrap(), "last");
    });
}
