use std::{
    fmt::{self, Write},
    fs,
    sync::Mutex,
};

use tracing::{
    Event, Metadata, Subscriber,
    field::{Field, Visit},
    span,
};

use super::*;
use crate::{
    JournalOptions, MiniStore, MiniStoreOptions, Reader, io::os_file_system, sync::block_on,
    testkit::tests::with_subscriber,
};

/// Keeps what was said as a warning.
#[derive(Default, Clone)]
struct Listener(Arc<Mutex<Vec<String>>>);

struct Line(String);

impl Visit for Line {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for Listener {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut line = Line(String::new());
        event.record(&mut line);
        self.0.lock().unwrap().push(line.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// What opening the journal for a replay warns of.
fn warnings(path: &Path) -> Vec<String> {
    let listener = Listener::default();
    with_subscriber(listener.clone(), || whole(os_file_system(), path).unwrap());
    let said = listener.0.lock().unwrap();
    said.clone()
}

fn write(options: JournalOptions, path: &Path, records: u32) {
    let store = options.open_blocking(path).unwrap();
    for number in 1..=records {
        store.blocking().append(&number).unwrap();
    }
    store.blocking().close().unwrap();
}

fn first_left(path: &Path) -> u64 {
    Reader::open(path).unwrap().records::<u32>().next().unwrap().unwrap().seq
}

#[test]
fn replay_after_trim_reports_missing_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    write(MiniStoreOptions::new().max_bytes_per_segment(200).into(), &path, 40);
    let first = first_left(&path);
    assert!(first > 1);
    let said = warnings(&path);
    assert_eq!(said.len(), 1, "{said:?}");
    assert!(said[0].contains(&format!("first_seq={first} missing_records={} ", first - 1)), "{said:?}");
    assert!(said[0].contains("starts after record 1"), "{said:?}");
}

#[test]
fn a_replay_of_nothing_says_how_many_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let store = MiniStoreOptions::new().max_segments(1).open(&path);
    let store = block_on(store).unwrap();
    store.blocking().append_batch([1, 2, 3]).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().close().unwrap();
    assert_eq!(block_on(MiniStore::replay::<u32, _>(&path)).unwrap(), Vec::<u32>::new());
    let said = warnings(&path);
    assert!(said.len() == 1 && said[0].contains("first_seq=4 missing_records=3 "), "{said:?}");
}

#[test]
fn a_replay_of_everything_says_nothing() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    assert_eq!(warnings(&path), Vec::<String>::new());
    for seals in [true, false] {
        write(JournalOptions::new().max_segment_bytes(200).checksums(seals), &path, 40);
        assert!(dir.path().join("journal.jsonl.002").exists());
        assert_eq!(warnings(&path), Vec::<String>::new());
    }
}

/// Without seals no file says which record it begins with; its name says that others were before it.
#[test]
fn a_replay_of_plain_segments_says_that_older_ones_are_gone() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    write(JournalOptions::new().max_segment_bytes(200).max_segments(3).checksums(false), &path, 300);
    assert!(fs::read_dir(dir.path()).unwrap().count() < 10);
    let said = warnings(&path);
    assert!(said.len() == 1 && said[0].contains("missing_segments="), "{said:?}");
    assert!(said[0].contains("starts after the first segment"), "{said:?}");
}
