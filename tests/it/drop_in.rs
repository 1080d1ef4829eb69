//! Every behaviour of `ministore` 0.1.7 that a program may rely on.

use std::{fs, io, path::Path, rc::Rc};

use ministore_uring::{JournalStream, MiniStore, MiniStoreError, MiniStoreOptions, Result};
use serde::{Deserialize, Deserializer, Serialize, de::DeserializeOwned};

use crate::support::{
    Journal, Mutation, child, child_args, for_each_backend, original_replay, original_write, replay,
    tokio_run,
};

const NOTHING: [u32; 0] = [];
const HEADER: &str = "// MINISTORE JOURNAL v0.1.4\n";

/// A program of the family: it knows of records only that serde does, and holds the store exclusively.
async fn log<M: Serialize + DeserializeOwned>(store: &mut MiniStore, mutations: &[M]) -> Result<()> {
    for mutation in mutations {
        store.append(mutation).await?;
    }
    Ok(())
}

/// Not `Send`: programs that rebuild their state on one thread may share it that way.
#[derive(Debug, PartialEq)]
struct Shared(Rc<str>);

impl<'de> Deserialize<'de> for Shared {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> std::result::Result<Self, D::Error> {
        Ok(Self(String::deserialize(deserializer)?.into()))
    }
}

#[tokio::test]
async fn the_documented_example_works() {
    let journal = Journal::new();
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
async fn options_are_a_struct_with_the_original_defaults() {
    let journal = Journal::new();
    let MiniStoreOptions { max_bytes_per_segment, max_segments } = MiniStoreOptions::new();
    assert_eq!((max_bytes_per_segment, max_segments), (64 << 20, 3));
    let options = MiniStoreOptions { max_bytes_per_segment: 1 << 20, max_segments: 2 };
    options.open(journal.path()).await.unwrap().append(&1).await.unwrap();
    assert_eq!(MiniStore::replay::<u32, _>(journal.path()).await.unwrap(), [1]);
}

#[test]
fn missing_directories_are_created() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let path = journal.dir().join("a/b/c/j.log");
        options.open_blocking(&path).unwrap().blocking().append(&"x").unwrap();
        assert_eq!(replay::<String>(&path).unwrap(), ["x"]);
    });
}

#[test]
fn an_empty_file_gets_the_header() {
    for_each_backend(|options| {
        let journal = Journal::of_bytes("");
        let store = options.open_blocking(journal.path()).unwrap();
        assert!(journal.bytes().starts_with(b"// MINISTORE JOURNAL v0.1.4"));
        store.blocking().append(&7).unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [7]);
    });
}

#[test]
fn a_directory_is_not_a_file() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let refused = options.open_blocking(journal.dir());
        assert!(
            matches!(&refused, Err(MiniStoreError::PathIsNotFile { path }) if path == journal.dir()),
            "{refused:?}"
        );
    });
}

#[test]
fn no_segments_is_an_invalid_argument() {
    let journal = Journal::new();
    let refused = tokio_run(MiniStoreOptions::new().max_segments(0).open(journal.path()));
    assert!(matches!(refused, Err(MiniStoreError::InvalidArgument(_))), "{refused:?}");
    assert_eq!(journal.names(), Vec::<String>::new());
}

#[test]
fn what_does_not_exist_or_is_empty_replays_as_nothing() {
    let journal = Journal::new();
    assert_eq!(replay::<u32>(journal.path()).unwrap(), NOTHING);
    assert_eq!(replay::<u32>(journal.dir().join("no/such/directory/j")).unwrap(), NOTHING);
    fs::write(journal.path(), "").unwrap();
    assert_eq!(replay::<u32>(journal.path()).unwrap(), NOTHING);
}

#[test]
fn missing_header_is_reported() {
    let journal = Journal::of_bytes("{\"Set\":{\"value\":1}}\n");
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
fn a_bad_line_is_counted_over_segments_as_the_original_counts() {
    let journal = Journal::new();
    for (suffix, lines) in [(".000001", "1\n2\n"), (".000002", "3\n"), ("", "4\n\"no number\"\n6\n")] {
        fs::write(journal.file(suffix), format!("{HEADER}{lines}")).unwrap();
    }
    let Err(MiniStoreError::Deserialize { line, .. }) = replay::<u32>(journal.path()) else {
        panic!("a text is no number");
    };
    let Err(ministore::MiniStoreError::Deserialize { line: original, .. }) =
        original_replay::<u32>(journal.path())
    else {
        panic!("a text is no number");
    };
    assert_eq!(line, original);
    assert_eq!(line, 6);
}

#[tokio::test]
async fn stream_reports_the_line_and_continues() {
    let journal = Journal::of_bytes(format!("{HEADER}invalid json\n2\n\"three\"\n4\n"));
    let mut stream: JournalStream<u32> = MiniStore::stream(journal.path()).await.unwrap();
    let mut seen = Vec::new();
    while let Some(record) = stream.next().await {
        seen.push(match record {
            Ok(value) => Ok(value),
            Err(MiniStoreError::Deserialize { line, .. }) => Err(line),
            Err(other) => panic!("{other}"),
        });
    }
    assert_eq!(seen, [Err(2), Ok(2), Err(4), Ok(4)]);
}

#[tokio::test]
async fn a_stream_of_what_does_not_exist_is_an_io_error() {
    let journal = Journal::new();
    let streamed = MiniStore::stream::<u32>(journal.path()).await;
    let Err(MiniStoreError::Io { source }) = streamed else { panic!("{streamed:?}") };
    assert_eq!(source.kind(), io::ErrorKind::NotFound);
}

#[test]
fn a_stream_reads_one_file_only() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([1, 2]).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&3).unwrap();
        for (suffix, expected) in [("", vec![3]), (".001", vec![1, 2])] {
            let streamed = tokio_run(async {
                let mut stream = MiniStore::stream::<u32>(journal.file(suffix)).await.unwrap();
                let mut seen = Vec::new();
                while let Some(record) = stream.next().await {
                    seen.push(record.unwrap());
                }
                seen
            });
            assert_eq!(streamed, expected);
        }
    });
}

#[test]
fn rotation_keeps_as_many_files_as_asked() {
    for_each_backend(|options| {
        let journal = Journal::new();
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
    let journal = Journal::new();
    tokio_run(async {
        let store = MiniStoreOptions::new().max_bytes_per_segment(100).open(journal.path()).await.unwrap();
        store.append(&"a record that fills the segment").await.unwrap();
        store.close().await.unwrap();
    });
    assert_eq!(journal.names(), ["journal.jsonl", "journal.jsonl.001"]);
}

#[test]
fn a_bare_file_name_is_in_the_current_directory() {
    if child_args().is_some() {
        let store = MiniStore::open_blocking("bare.log").unwrap();
        store.blocking().append(&1).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&2).unwrap();
        assert_eq!(replay::<u32>("bare.log").unwrap(), [1, 2]);
        return;
    }
    let journal = Journal::new();
    let name = "drop_in::a_bare_file_name_is_in_the_current_directory";
    let output = child(name, &[""]).current_dir(journal.dir()).output().unwrap();
    assert!(output.status.success(), "{output:?}");
    assert_eq!(replay::<u32>(journal.dir().join("bare.log")).unwrap(), [1, 2]);
    assert!(journal.dir().join("bare.log.001").exists());
}

#[test]
fn the_last_handle_may_be_dropped_and_the_journal_opened_again_at_once() {
    for_each_backend(|options| {
        let journal = Journal::new();
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
async fn records_that_are_not_send_replay() {
    let journal = Journal::new();
    MiniStore::open(journal.path()).await.unwrap().append(&"text").await.unwrap();
    let records: Vec<Shared> = MiniStore::replay(journal.path()).await.unwrap();
    assert_eq!(records, [Shared("text".into())]);
    let mut stream: JournalStream<Shared> = MiniStore::stream(journal.path()).await.unwrap();
    assert_eq!(stream.next().await.unwrap().unwrap(), Shared("text".into()));
}

#[test]
fn a_number_that_the_original_gave_is_continued() {
    let journal = Journal::new();
    let path: &Path = journal.path();
    original_write(path, ministore::MiniStoreOptions::new(), &[1, 2, 3]);
    let store = MiniStore::open_blocking(path).unwrap();
    assert_eq!(store.blocking().submit(&4).unwrap().wait().unwrap().seq, 4);
    assert_eq!(replay::<u32>(path).unwrap(), [1, 2, 3, 4]);
}

/// A journal of ours: two archived segments, one active, closed.
fn closed(options: &ministore_uring::JournalOptions) -> Journal {
    let journal = Journal::new();
    let store = options.clone().open_blocking(journal.path()).unwrap();
    for number in 1..=6u32 {
        store.blocking().append(&number).unwrap();
        if number % 2 == 0 && number < 6 {
            store.blocking().rotate().unwrap();
        }
    }
    store.blocking().hold("a cursor", 1).unwrap();
    store.blocking().close().unwrap();
    journal
}

#[test]
fn ministore_0_1_7_continues_after_close() {
    for_each_backend(|options| {
        let journal = closed(&options);
        // Its lock and its holds stand beside it: the original passes over both.
        assert!(journal.file(".lock").exists() && journal.file(".holds").exists());
        // Its own next archived segment is numbered behind ours.
        let small = ministore::MiniStoreOptions::new().max_bytes_per_segment(1).max_segments(usize::MAX);
        original_write(journal.path(), small, &[7, 8]);
        assert!(journal.file(".002").exists() && journal.file(".000004").exists(), "{:?}", journal.names());
        assert_eq!(original_replay::<u32>(journal.path()).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
    });
}

#[test]
fn records_of_0_1_7_after_seal_are_truncated_and_kept() {
    for_each_backend(|options| {
        let journal = closed(&options);
        original_write(journal.path(), ministore::MiniStoreOptions::new(), &[7, 8]);
        assert_eq!(original_replay::<u32>(journal.path()).unwrap(), [1, 2, 3, 4, 5, 6, 7, 8]);
        // Lines without a seal behind sealed ones: to us a commit that was cut off.
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2, 3, 4, 5, 6]);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        let cut = store.open_report().truncated.clone().unwrap();
        assert_eq!(fs::read(cut.saved_to.unwrap()).unwrap(), b"7\n8\n");
    });
}

#[test]
fn what_the_original_put_into_files_of_its_own_is_read_and_continued() {
    for_each_backend(|options| {
        let journal = closed(&options);
        // The way back: the last segment is archived by hand, so that the original begins a new one.
        fs::rename(journal.path(), journal.file(".003")).unwrap();
        original_write(journal.path(), ministore::MiniStoreOptions::new(), &[7, 8]);
        let numbers = |to| (1..=to).collect::<Vec<u32>>();
        assert_eq!(original_replay::<u32>(journal.path()).unwrap(), numbers(8));
        // And forth again.
        assert_eq!(replay::<u32>(journal.path()).unwrap(), numbers(8));
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert!(store.open_report().truncated.is_none());
        assert_eq!(store.blocking().submit(&9).unwrap().wait().unwrap().seq, 9);
        store.blocking().close().unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), numbers(9));
        assert_eq!(original_replay::<u32>(journal.path()).unwrap(), numbers(9));
    });
}

#[test]
fn open_journal_must_be_closed_before_0_1_7() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([1, 2]).unwrap();
        let crashed = Journal::of(&journal.files());
        assert_eq!(original_replay::<u32>(crashed.path()).unwrap(), [1, 2], "it reads it");
        original_write(crashed.path(), ministore::MiniStoreOptions::new(), &[3]);
        assert!(
            original_replay::<u32>(crashed.path()).is_err(),
            "and puts its line behind the spaces of ours"
        );

        let crashed = Journal::of(&journal.files());
        MiniStore::open_blocking(crashed.path()).unwrap().blocking().close().unwrap();
        original_write(crashed.path(), ministore::MiniStoreOptions::new(), &[3]);
        assert_eq!(original_replay::<u32>(crashed.path()).unwrap(), [1, 2, 3]);
    });
}
