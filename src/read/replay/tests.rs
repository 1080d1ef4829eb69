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

/// A subscriber that collects warnings.
#[derive(Default, Clone)]
struct WarningCapture(Arc<Mutex<Vec<String>>>);

struct FieldText(String);

impl Visit for FieldText {
    fn record_debug(&mut self, field: &Field, value: &dyn fmt::Debug) {
        write!(self.0, "{}={value:?} ", field.name()).unwrap();
    }
}

impl Subscriber for WarningCapture {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        *metadata.level() == tracing::Level::WARN
    }

    fn new_span(&self, _: &span::Attributes<'_>) -> span::Id {
        span::Id::from_u64(1)
    }

    fn record(&self, _: &span::Id, _: &span::Record<'_>) {}

    fn record_follows_from(&self, _: &span::Id, _: &span::Id) {}

    fn event(&self, event: &Event<'_>) {
        let mut text = FieldText(String::new());
        event.record(&mut text);
        self.0.lock().unwrap().push(text.0);
    }

    fn enter(&self, _: &span::Id) {}

    fn exit(&self, _: &span::Id) {}
}

/// Returns the warnings that opening the journal for a replay logs.
fn warnings(path: &Path) -> Vec<String> {
    let capture = WarningCapture::default();
    with_subscriber(capture.clone(), || open_whole(os_file_system(), path).unwrap());
    let warnings = capture.0.lock().unwrap();
    warnings.clone()
}

fn write(options: JournalOptions, path: &Path, records: u32) {
    let store = options.open_blocking(path).unwrap();
    for number in 1..=records {
        store.blocking().append(&number).unwrap();
    }
    store.blocking().close().unwrap();
}

fn first_seq(path: &Path) -> u64 {
    Reader::open(path).unwrap().records::<u32>().next().unwrap().unwrap().seq
}

#[test]
fn replay_after_trim_reports_missing_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    write(MiniStoreOptions::new().max_bytes_per_segment(200).into(), &path, 40);
    let first = first_seq(&path);
    assert!(first > 1);
    let logged = warnings(&path);
    assert_eq!(logged.len(), 1, "{logged:?}");
    assert!(logged[0].contains(&format!("first_seq={first} missing_records={} ", first - 1)), "{logged:?}");
    assert!(logged[0].contains("starts after record 1"), "{logged:?}");
}

#[test]
fn replay_of_no_records_reports_missing_count() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    let store = MiniStoreOptions::new().max_segments(1).open(&path);
    let store = block_on(store).unwrap();
    store.blocking().append_batch([1, 2, 3]).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().close().unwrap();
    assert_eq!(block_on(MiniStore::replay::<u32, _>(&path)).unwrap(), Vec::<u32>::new());
    let logged = warnings(&path);
    assert!(logged.len() == 1 && logged[0].contains("first_seq=4 missing_records=3 "), "{logged:?}");
}

#[test]
fn complete_replay_logs_no_warning() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    assert_eq!(warnings(&path), Vec::<String>::new());
    for checksums in [true, false] {
        write(JournalOptions::new().max_segment_bytes(200).checksums(checksums), &path, 40);
        assert!(dir.path().join("journal.jsonl.002").exists());
        assert_eq!(warnings(&path), Vec::<String>::new());
    }
}

/// Plain headers state no sequence number; the file name shows that there were segments before it.
#[test]
fn replay_of_plain_segments_reports_missing_ones() {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("journal.jsonl");
    write(JournalOptions::new().max_segment_bytes(200).max_segments(3).checksums(false), &path, 300);
    assert!(fs::read_dir(dir.path()).unwrap().count() < 10);
    let logged = warnings(&path);
    assert!(logged.len() == 1 && logged[0].contains("missing_segments="), "{logged:?}");
    assert!(logged[0].contains("starts after the first segment"), "{logged:?}");
}
