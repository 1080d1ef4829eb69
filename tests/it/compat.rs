//! Every behaviour of `ministore` 0.1.7 that a program may rely on.

mod both_ways;

use std::{fs, io, path::Path, rc::Rc};

use ministore_uring::{JournalStream, MiniStore, MiniStoreError, MiniStoreOptions, Result};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::support::{
    Mutation, TempJournal, child, child_args, for_each_backend, legacy_replay, legacy_write, replay,
    tokio_run,
};

const EMPTY: [u32; 0] = [];
const HEADER: &str = "// MINISTORE JOURNAL v0.1.4\n";

/// Appends as programs written for `ministore` do: with serde bounds only and exclusive access to the store.
async fn log<M: Serialize + DeserializeOwned>(store: &mut MiniStore, mutations: &[M]) -> Result<()> {
    for mutation in mutations {
        store.append(mutation).await?;
    }
    Ok(())
}

/// A record that is not `Send`: programs that rebuild their state on one thread may use such types.
#[derive(Debug, PartialEq)]
struct LocalText(Rc<str>);

impl<'de> Deserialize<'de> for LocalText {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Self(String::deserialize(deserializer)?.into()))
    }
}

#[tokio::test]
async fn documented_example_works() {
    let journal = TempJournal::new();
    let path = journal.dir().join("counter.log");
    let mut store = MiniStore::open(&path).await.unwrap();
    log(&mut store, &[Mutation::Set { value: 100 }, Mutation::Inc { by: 25 }]).await.unwrap();
    let mut value = 0;
    let records: Vec<Mutation> = MiniStore::replay(&path).await.unwrap();
    for record in records {
        match record {
            Mutation::Set { value: set } => value = set,
            Mutation::Inc { by } => value += by,
        }
    }
    assert_eq!(value, 125);
}

#[tokio::test]
async fn options_have_the_fields_and_defaults_of_0_1_7() {
    let journal = TempJournal::new();
    let MiniStoreOptions { max_bytes_per_segment, max_segments } = MiniStoreOptions::new();
    assert_eq!((max_bytes_per_segment, max_segments), (64 << 20, 3));
    let options = MiniStoreOptions { max_bytes_per_segment: 1 << 20, max_segments: 2 };
    options.open(journal.path()).await.unwrap().append(&1).await.unwrap();
    assert_eq!(MiniStore::replay::<u32, _>(journal.path()).await.unwrap(), [1]);
}

#[test]
fn missing_directories_are_created() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let path = journal.dir().join("a/b/c/j.log");
        options.open_blocking(&path).unwrap().blocking().append(&"x").unwrap();
        assert_eq!(replay::<String>(&path).unwrap(), ["x"]);
    });
}

#[test]
fn empty_file_gets_the_header() {
    for_each_backend(|options| {
        let journal = TempJournal::of_bytes("");
        let store = options.open_blocking(journal.path()).unwrap();
        assert!(journal.bytes().starts_with(b"// MINISTORE JOURNAL v0.1.4"));
        store.blocking().append(&7).unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [7]);
    });
}

#[test]
fn directory_is_rejected() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let opened = options.open_blocking(journal.dir());
        assert!(
            matches!(&opened, Err(MiniStoreError::PathIsNotFile { path }) if path == journal.dir()),
            "{opened:?}"
        );
    });
}

#[test]
fn zero_segments_is_an_invalid_argument() {
    let journal = TempJournal::new();
    let opened = tokio_run(MiniStoreOptions::new().max_segments(0).open(journal.path()));
    assert!(matches!(opened, Err(MiniStoreError::InvalidArgument(_))), "{opened:?}");
    assert_eq!(journal.names(), Vec::<String>::new());
}

#[test]
fn missing_or_empty_journal_replays_as_empty() {
    let journal = TempJournal::new();
    assert_eq!(replay::<u32>(journal.path()).unwrap(), EMPTY);
    assert_eq!(replay::<u32>(journal.dir().join("no/such/directory/j")).unwrap(), EMPTY);
    fs::write(journal.path(), "").unwrap();
    assert_eq!(replay::<u32>(journal.path()).unwrap(), EMPTY);
}

#[test]
fn missing_header_is_reported() {
    let journal = TempJournal::of_bytes("{\"Set\":{\"value\":1}}\n");
    let replayed = replay::<Mutation>(journal.path());
    assert!(matches!(replayed, Err(MiniStoreError::MissingInitialState)), "{replayed:?}");
    for_each_backend(|options| {
        let opened = options.open_blocking(journal.path());
        assert!(matches!(opened, Err(MiniStoreError::MissingInitialState)), "{opened:?}");
    });
    for bytes in ["{\"Set\":{\"value\":1}}\n", ""] {
        fs::write(journal.path(), bytes).unwrap();
        let streamed = tokio_run(MiniStore::stream::<Mutation>(journal.path()));
        assert!(matches!(streamed, Err(MiniStoreError::MissingInitialState)), "{streamed:?}");
    }
}

#[test]
fn bad_line_is_numbered_across_segments_as_in_0_1_7() {
    let journal = TempJournal::new();
    for (suffix, lines) in [(".000001", "1\n2\n"), (".000002", "3\n"), ("", "4\n\"no number\"\n6\n")] {
        fs::write(journal.file(suffix), format!("{HEADER}{lines}")).unwrap();
    }
    let Err(MiniStoreError::Deserialize { line, .. }) = replay::<u32>(journal.path()) else {
        panic!("a text is no number");
    };
    let Err(ministore::MiniStoreError::Deserialize { line: legacy_line, .. }) =
        legacy_replay::<u32>(journal.path())
    else {
        panic!("a text is no number");
    };
    assert_eq!(line, legacy_line);
    assert_eq!(line, 6);
}

#[tokio::test]
async fn stream_reports_the_line_and_continues() {
    let journal = TempJournal::of_bytes(format!("{HEADER}invalid json\n2\n\"three\"\n4\n"));
    let mut stream: JournalStream<u32> = MiniStore::stream(journal.path()).await.unwrap();
    let mut read = Vec::new();
    while let Some(record) = stream.next().await {
        read.push(match record {
            Ok(value) => Ok(value),
            Err(MiniStoreError::Deserialize { line, .. }) => Err(line),
            Err(other) => panic!("{other}"),
        });
    }
    assert_eq!(read, [Err(2), Ok(2), Err(4), Ok(4)]);
}

#[tokio::test]
async fn stream_of_missing_file_is_an_io_error() {
    let journal = TempJournal::new();
    let streamed = MiniStore::stream::<u32>(journal.path()).await;
    let Err(MiniStoreError::Io { source }) = streamed else { panic!("{streamed:?}") };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
}

#[test]
fn stream_reads_one_file_only() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([1, 2]).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&3).unwrap();
        for (suffix, expected) in [("", vec![3]), (".001", vec![1, 2])] {
            let streamed = tokio_run(async {
                let mut stream = MiniStore::stream::<u32>(journal.file(suffix)).await.unwrap();
                let mut read = Vec::new();
                while let Some(record) = stream.next().await {
                    read.push(record.unwrap());
                }
                read
            });
            assert_eq!(streamed, expected);
        }
    });
}

#[test]
fn rotation_keeps_max_segments_files() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let options = options.max_segment_bytes(200).max_segments(3);
        let store = options.open_blocking(journal.path()).unwrap();
        for n in 0..40u32 {
            store.blocking().append(&n).unwrap();
        }
        store.blocking().close().unwrap();
        let names = journal.names();
        assert_eq!(names.len(), 3, "{names:?}");
        assert!(names.iter().skip(1).all(|name| name[14..].chars().all(|c| c.is_ascii_digit())), "{names:?}");
        let kept = replay::<u32>(journal.path()).unwrap();
        assert!(!kept.is_empty() && kept.len() < 40, "{kept:?}");
        assert_eq!(kept, (40 - kept.len() as u32..40).collect::<Vec<_>>());
    });
}

#[test]
fn first_rotated_segment_is_called_001() {
    let journal = TempJournal::new();
    tokio_run(async {
        let store = MiniStoreOptions::new().max_bytes_per_segment(100).open(journal.path()).await.unwrap();
        store.append(&"a record that fills the segment").await.unwrap();
        store.close().await.unwrap();
    });
    assert_eq!(journal.names(), ["journal.jsonl", "journal.jsonl.001"]);
}

#[test]
fn bare_file_name_is_in_the_current_directory() {
    if child_args().is_some() {
        let store = MiniStore::open_blocking("bare.log").unwrap();
        store.blocking().append(&1).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&2).unwrap();
        assert_eq!(replay::<u32>("bare.log").unwrap(), [1, 2]);
        return;
    }
    let journal = TempJournal::new();
    let name = "compat::bare_file_name_is_in_the_current_directory";
    let output = child(name, &[""]).current_dir(journal.dir()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(replay::<u32>(journal.dir().join("bare.log")).unwrap(), [1, 2]);
    assert!(journal.dir().join("bare.log.001").exists());
}

#[test]
fn dropped_store_can_be_reopened_at_once() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        for round in 0..30u32 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            let clone = store.clone();
            drop(store);
            clone.blocking().append(&round).unwrap();
        }
        assert_eq!(replay::<u32>(journal.path()).unwrap(), (0..30).collect::<Vec<_>>());
    });
}

#[tokio::test]
async fn records_may_be_not_send() {
    let journal = TempJournal::new();
    MiniStore::open(journal.path()).await.unwrap().append(&"text").await.unwrap();
    let records: Vec<LocalText> = MiniStore::replay(journal.path()).await.unwrap();
    assert_eq!(records, [LocalText("text".into())]);
    let mut stream: JournalStream<LocalText> = MiniStore::stream(journal.path()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), LocalText("text".into()));
}
