//! Random reads against a scan of the whole journal, on disks and files that change and break under the reader.

#![allow(clippy::unwrap_used, clippy::expect_used, clippy::panic, reason = "tests")]

use std::{
    ffi::OsString,
    fs, io,
    path::{Path, PathBuf},
    sync::{
        Arc,
        atomic::{AtomicBool, Ordering},
    },
};

use proptest::{collection::vec, prelude::*};
use tempfile::TempDir;

use super::Reader;
use crate::{
    JournalOptions, MiniStore, MiniStoreError, Record, Records, Result,
    format::{ChainLink, Header, testing::SegmentBytes},
    io::{
        CommitBackend, Executor, FileHandle, FileId, FileKind, FileSystem, LockFile, OpenMode, OsFileSystem,
        os_file_system,
    },
    testkit::SimDisk,
};

const NAME: &str = "journal.jsonl";

/// What may be done to a journal between two reads.
#[derive(Debug, Clone)]
enum Operation {
    Append(usize),
    Batch(Vec<usize>),
    Rotate,
    Reopen,
    /// Loses what recovery cuts.
    Crash,
    /// These, in thousandths of what was ever written.
    Get(Vec<u64>),
    Range(u64, u64),
}

fn operation() -> impl Strategy<Value = Operation> {
    let length = || prop_oneof![8 => 0_usize..80, 1 => 600_usize..1500, 1 => Just(20_000_usize)];
    let position = 0_u64..1100;
    prop_oneof![
        6 => length().prop_map(Operation::Append),
        4 => vec(length(), 1..12).prop_map(Operation::Batch),
        2 => Just(Operation::Rotate),
        1 => Just(Operation::Reopen),
        1 => Just(Operation::Crash),
        4 => vec(position.clone(), 1..6).prop_map(Operation::Get),
        3 => (position.clone(), position).prop_map(|(a, b)| Operation::Range(a, b)),
    ]
}

fn options() -> impl Strategy<Value = JournalOptions> {
    let limits =
        (prop_oneof![Just(700), Just(4000), Just(1 << 20)], prop_oneof![Just(2), Just(4), Just(usize::MAX)]);
    (limits, any::<bool>(), 0..5).prop_map(|((bytes, segments), preallocate, plain)| {
        // Without seals the numbers of what is left change with each deletion.
        let segments = if plain == 0 { usize::MAX } else { segments };
        JournalOptions::new()
            .max_segment_bytes(bytes)
            .max_segments(segments)
            .preallocate(preallocate)
            .checksums(plain > 0)
    })
}

/// A journal on a simulated disk, with readers that live as long as it does.
struct Tried {
    disk: SimDisk,
    options: JournalOptions,
    store: MiniStore,
    reader: Reader,
    written: u64,
}

impl Tried {
    fn new(options: JournalOptions) -> Self {
        let disk = SimDisk::new(1);
        let store = disk.open_blocking(options.clone(), NAME).unwrap();
        let reader = disk.reader(NAME);
        Self { disk, options, store, reader, written: 0 }
    }

    /// Every record says its number, so that a wrong one is noticed.
    fn text(&mut self, length: usize) -> String {
        self.written += 1;
        format!("{}:{}", self.written, "x".repeat(length))
    }

    fn apply(&mut self, operation: &Operation) {
        match operation {
            &Operation::Append(length) => {
                let text = self.text(length);
                self.store.blocking().append(&text).unwrap();
            }
            Operation::Batch(lengths) => {
                let texts: Vec<_> = lengths.iter().map(|&length| self.text(length)).collect();
                self.store.blocking().append_batch(texts).unwrap();
            }
            Operation::Rotate => self.store.blocking().rotate().unwrap(),
            Operation::Reopen => {
                self.store.blocking().close().unwrap();
                self.store = self.disk.open_blocking(self.options.clone(), NAME).unwrap();
            }
            Operation::Crash => {
                self.disk.restart();
                self.store = self.disk.open_blocking(self.options.clone(), NAME).unwrap();
                // A process of its own.
                self.reader = self.disk.reader(NAME);
            }
            Operation::Get(places) => {
                let seqs: Vec<_> = places.iter().map(|&position| self.written * position / 1000).collect();
                self.get(&seqs);
            }
            &Operation::Range(a, b) => self.range(self.written * a / 1000, self.written * b / 1000),
        }
    }

    /// All that a scan finds, and what `read` gives beside it: retention may delete a segment at any moment.
    fn beside_a_scan<T>(&self, read: impl Fn() -> T) -> (Vec<Record<String>>, T) {
        let scan = || self.disk.reader(NAME).records().collect::<Result<Vec<Record<String>>>>();
        loop {
            let (before, read) = (scan(), read());
            match (before, scan()) {
                (Ok(before), Ok(after)) if before == after => return (after, read),
                (Err(error @ MiniStoreError::Corrupt { .. }), _) => panic!("{error}"),
                _ => {}
            }
        }
    }

    fn get(&self, seqs: &[u64]) {
        assert_eq!(self.reader.last_seq().unwrap(), self.store.durable_seq());
        let (all, found) = self.beside_a_scan(|| {
            let get = |&seq| {
                let of_store = self.store.blocking().get::<String>(seq);
                (seq, [self.reader.get(seq), of_store, pollster::block_on(self.store.get(seq))])
            };
            seqs.iter().map(get).collect::<Vec<_>>()
        });
        let first = all.first().map_or(self.store.durable_seq() + 1, |record| record.seq);
        for (seq, found) in found {
            let expected = all.iter().find(|record| record.seq == seq);
            for (way, found) in found.into_iter().enumerate() {
                match found {
                    Ok(found) => assert_eq!(found.as_ref(), expected, "record {seq}, way {way}"),
                    Err(MiniStoreError::Trimmed { first_seq, .. }) => {
                        assert!(0 < seq && seq < first && first_seq == first, "record {seq} of {first}..");
                    }
                    Err(error) => panic!("record {seq}, way {way}: {error}"),
                }
            }
        }
    }

    fn range(&self, from: u64, to: u64) {
        type FoundRecord = Result<Vec<Record<String>>>;
        let (all, found) = self.beside_a_scan(|| -> [FoundRecord; 3] {
            let of_store = self.store.blocking().range(from..to);
            [self.reader.range(from..to).collect(), of_store.collect(), self.reader.range(..to).collect()]
        });
        for (way, found) in found.into_iter().enumerate() {
            let wanted = if way == 2 { 0..to } else { from..to };
            let expected: Vec<_> = all.iter().filter(|record| wanted.contains(&record.seq)).collect();
            match found {
                Ok(found) => assert!(found.iter().eq(expected.iter().copied()), "{from}..{to}, way {way}"),
                Err(MiniStoreError::Trimmed { first_seq, .. }) => {
                    let first = all.first().map_or(self.store.durable_seq() + 1, |record| record.seq);
                    assert!(
                        way < 2 && from < to && from < first && first_seq == first,
                        "{from}..{to}, {first}"
                    );
                }
                Err(error) => panic!("{from}..{to}, way {way}: {error}"),
            }
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 32, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn what_is_looked_up_is_what_a_scan_finds(options in options(), operations in vec(operation(), 1..50)) {
        let mut tried = Tried::new(options);
        for operation in &operations {
            tried.apply(operation);
        }
        tried.get(&Vec::from_iter(0..=tried.written + 1));
    }
}

/// A directory with files of a journal, as they were composed.
struct Files {
    dir: TempDir,
}

impl Files {
    fn new() -> Self {
        Self { dir: tempfile::tempdir().unwrap() }
    }

    fn path(&self, suffix: &str) -> PathBuf {
        self.dir.path().join(format!("{NAME}{suffix}"))
    }

    fn write(&self, suffix: &str, bytes: impl AsRef<[u8]>) {
        fs::write(self.path(suffix), bytes).unwrap();
    }

    fn reader(&self) -> Reader {
        Reader::new(os_file_system(), &self.path(""))
    }
}

/// Groups of one record each, which say their number and `word`.
fn groups(mut segment: SegmentBytes, seqs: std::ops::RangeInclusive<u64>, word: &str) -> SegmentBytes {
    for seq in seqs {
        segment = segment.group(&[text(seq, word)]);
    }
    segment
}

fn text(seq: u64, word: &str) -> String {
    format!("\"{seq}:{}\"", word.repeat(seq as usize % 5 + 1))
}

fn first_segment() -> SegmentBytes {
    SegmentBytes::new(Header::Sealed(ChainLink { first: 1, prev: 0 }))
}

fn get(reader: &Reader, seq: u64) -> Result<Option<String>> {
    Ok(reader.get::<Box<serde_json::value::RawValue>>(seq)?.map(|record| {
        assert_eq!(record.seq, seq);
        record.value.get().to_owned()
    }))
}

/// A reader that knows its way about the journal.
fn warm(files: &Files, records: u64) -> Reader {
    let reader = files.reader();
    for seq in (1..=records).rev() {
        get(&reader, seq).unwrap().unwrap();
    }
    assert!(reader.index_bytes() > 0);
    reader
}

#[test]
fn rewritten_truncated_tail_is_read_as_it_is() {
    let kept = || groups(first_segment(), 1..=20, "kept");
    for (gone, now) in [("old", "other"), ("other", "o"), ("a word", "a longer one"), ("same", "same")] {
        for last in [20, 21, 39, 40, 60] {
            let files = Files::new();
            files.write("", groups(kept(), 21..=40, gone).padded(5000));
            let reader = warm(&files, 40);
            files.write("", groups(kept(), 21..=last, now).padded(5000));
            for seq in [40, 21, 30, 1, 20, 60, 39] {
                let word = if seq <= 20 { "kept" } else { now };
                let expected = (seq <= last).then(|| text(seq, word));
                assert_eq!(get(&reader, seq).unwrap(), expected, "{gone} to {now}, {seq} of {last}");
            }
            let found: Vec<_> = reader.range::<String>(15..=35).map(|record| record.unwrap().seq).collect();
            assert_eq!(found, (15..=35.min(last)).collect::<Vec<_>>());
        }
    }
}

#[test]
fn a_journal_that_was_replaced_is_read_as_it_is_now() {
    let files = Files::new();
    let old = groups(first_segment(), 1..=30, "old");
    let next = SegmentBytes::new(Header::Sealed(ChainLink { first: 31, prev: old.last_seal() }));
    files.write(".001", old.closed());
    files.write("", groups(next, 31..=60, "old").padded(3000));
    let reader = warm(&files, 60);
    let new = groups(first_segment(), 1..=45, "new");
    let next = SegmentBytes::new(Header::Sealed(ChainLink { first: 46, prev: new.last_seal() }));
    files.write(".001", new.closed());
    files.write("", groups(next, 46..=50, "new").ended());
    for seq in (1..=60).rev() {
        assert_eq!(get(&reader, seq).unwrap(), (seq <= 50).then(|| text(seq, "new")), "{seq}");
    }
}

#[test]
fn segment_index_survives_rotation() {
    let files = Files::new();
    let old = groups(first_segment(), 1..=60, "old");
    let last_seal = old.last_seal();
    files.write("", old.clone().padded(3000));
    let reader = warm(&files, 60);
    let known = reader.index_bytes();
    fs::rename(files.path(""), files.path(".001")).unwrap();
    files.write(".001", old.closed());
    // Between two steps of a rotation.
    assert_eq!(get(&reader, 59).unwrap(), Some(text(59, "old")));
    assert_eq!(get(&reader, 61).unwrap(), None);
    let next = SegmentBytes::new(Header::Sealed(ChainLink { first: 61, prev: last_seal }));
    files.write("", groups(next, 61..=61, "new").padded(100));
    assert_eq!(get(&reader, 61).unwrap(), Some(text(61, "new")));
    for seq in 1..=60 {
        assert_eq!(get(&reader, seq).unwrap(), Some(text(seq, "old")));
    }
    assert_eq!(reader.index_bytes(), known);
}

#[test]
fn records_deleted_by_retention_return_trimmed() {
    let files = Files::new();
    let mut last = (1, 0);
    for number in 1..=5 {
        let segment = SegmentBytes::new(Header::Sealed(ChainLink { first: last.0, prev: last.1 }));
        let segment = groups(segment, last.0..=last.0 + 19, "x");
        last = (last.0 + 20, segment.last_seal());
        files.write(&format!(".{number:03}"), segment.closed());
    }
    let reader = warm(&files, 100);
    let mut trimmed_meanwhile = reader.range::<String>(15..);
    assert_eq!(trimmed_meanwhile.next().unwrap().unwrap().seq, 15);
    for number in 1..=3 {
        fs::remove_file(files.path(&format!(".{number:03}"))).unwrap();
    }
    for seq in 1..=60 {
        for reader in [&reader, &files.reader()] {
            let found = get(reader, seq);
            assert!(matches!(found, Err(MiniStoreError::Trimmed { first_seq: 61, .. })), "{seq}: {found:?}");
        }
    }
    for seq in 61..=100 {
        assert_eq!(get(&reader, seq).unwrap(), Some(text(seq, "x")));
    }
    let first = reader.range::<String>(7..).next().unwrap();
    assert!(matches!(first, Err(MiniStoreError::Trimmed { first_seq: 61, .. })), "{first:?}");
    assert_eq!(reader.range::<String>(..).next().unwrap().unwrap().seq, 61);
    assert!(reader.range::<String>(7..7).next().is_none());
    let told = trimmed_meanwhile.find_map(Result::err);
    assert!(matches!(told, Some(MiniStoreError::Trimmed { first_seq: 61, .. })), "{told:?}");
}

/// A disk on which a rotation ends, and retention deletes, after the journal was listed and before the first of its
/// segments is opened.
#[derive(Debug)]
struct Overtaking {
    inner: OsFileSystem,
    dir: TempDir,
    trimmed_meanwhile: AtomicBool,
}

impl Overtaking {
    /// Records 1 to 3 in the only segment that has a name at first, 4 and 5 in the only one that has one at last.
    fn disk() -> (Arc<dyn FileSystem>, PathBuf) {
        let dir = TempDir::new().unwrap();
        let path = dir.path().join("j");
        let store = JournalOptions::new().open_blocking(&path).unwrap();
        store.blocking().append_batch([1, 2, 3]).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append_batch([4, 5]).unwrap();
        store.blocking().close().unwrap();
        fs::rename(&path, dir.path().join("aside")).unwrap();
        (
            Arc::new(Self { inner: OsFileSystem::default(), dir, trimmed_meanwhile: AtomicBool::default() }),
            path,
        )
    }
}

impl FileSystem for Overtaking {
    fn canonicalize(&self, path: &Path) -> io::Result<PathBuf> {
        self.inner.canonicalize(path)
    }

    fn kind(&self, path: &Path) -> io::Result<FileKind> {
        self.inner.kind(path)
    }

    fn create_dirs(&self, dir: &Path) -> io::Result<()> {
        self.inner.create_dirs(dir)
    }

    fn lock_file(&self, path: &Path) -> io::Result<Box<dyn LockFile>> {
        self.inner.lock_file(path)
    }

    fn open(&self, path: &Path, how: OpenMode) -> io::Result<Arc<dyn FileHandle>> {
        if path.ends_with("j.001") && !self.trimmed_meanwhile.swap(true, Ordering::SeqCst) {
            fs::rename(self.dir.path().join("aside"), self.dir.path().join("j"))?;
            fs::remove_file(path)?;
        }
        self.inner.open(path, how)
    }

    fn rename(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename(from, to)
    }

    fn rename_new(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.rename_new(from, to)
    }

    fn link(&self, from: &Path, to: &Path) -> io::Result<()> {
        self.inner.link(from, to)
    }

    fn id_at(&self, path: &Path) -> io::Result<Option<FileId>> {
        self.inner.id_at(path)
    }

    fn named(&self, path: &Path) -> io::Result<Option<(FileId, u64)>> {
        self.inner.named(path)
    }

    fn remove(&self, path: &Path) -> io::Result<()> {
        self.inner.remove(path)
    }

    fn sync_dir(&self, dir: &Path) -> io::Result<()> {
        self.inner.sync_dir(dir)
    }

    fn list(&self, dir: &Path) -> io::Result<Vec<OsString>> {
        self.inner.list(dir)
    }

    fn commit_backend(&self) -> io::Result<Box<dyn CommitBackend>> {
        self.inner.commit_backend()
    }

    fn executor(&self) -> io::Result<Box<dyn Executor>> {
        self.inner.executor()
    }
}

#[test]
fn a_reader_that_retention_overtakes_before_it_begins_looks_once_more() {
    let reader = || {
        let (disk, path) = Overtaking::disk();
        Reader::new(disk, &path)
    };
    let is_released = |outcome: Option<MiniStoreError>| {
        matches!(outcome, Some(MiniStoreError::Trimmed { first_seq: 4, .. }))
    };
    assert!(is_released(reader().get::<u64>(2).err()));
    assert_eq!(reader().get::<u64>(4).unwrap().map(|record| record.value), Some(4));
    assert!(is_released(reader().range::<u64>(2..).next().and_then(Result::err)));
    for from in [0, 1, 4] {
        let (disk, path) = Overtaking::disk();
        let records = Records::<u64>::new(disk, &path, from).map(|record| record.unwrap().seq);
        assert_eq!(records.collect::<Vec<_>>(), [4, 5], "from {from}");
    }
    assert_eq!(reader().range::<u64>(..).map(|record| record.unwrap().seq).collect::<Vec<_>>(), [4, 5]);
}

#[test]
fn a_journal_without_records_has_none() {
    let files = Files::new();
    let nothing = |reader: &Reader| {
        assert_eq!(get(reader, 0).unwrap(), None);
        assert_eq!(get(reader, 1).unwrap(), None);
        assert_eq!(get(reader, u64::MAX).unwrap(), None);
        assert_eq!(reader.range::<u64>(..).count(), 0);
        assert_eq!(reader.range::<u64>(1..=u64::MAX).count(), 0);
    };
    let reader = files.reader();
    nothing(&reader);
    files.write("", "");
    nothing(&reader);
    files.write("", first_segment().padded(100));
    nothing(&reader);
    files.write("", groups(first_segment(), 1..=1, "x").ended());
    assert_eq!(get(&reader, 1).unwrap(), Some(text(1, "x")));
    assert_eq!(get(&reader, 0).unwrap(), None);
    assert_eq!(get(&reader, u64::MAX).unwrap(), None);
    files.write("", "something else\n");
    assert!(matches!(get(&reader, 1), Err(MiniStoreError::MissingInitialState)));
}

/// Three segments, the last one in use, and the number of the last record.
fn three_segments() -> ([(&'static str, Vec<u8>); 3], u64) {
    let one = groups(first_segment(), 1..=3, "one");
    let two = SegmentBytes::new(Header::Sealed(ChainLink { first: 4, prev: one.last_seal() }));
    let two = groups(two, 4..=5, "one").group(&[text(6, "one"), text(7, "one")]);
    let three = SegmentBytes::new(Header::Sealed(ChainLink { first: 8, prev: two.last_seal() }));
    let three = groups(three, 8..=10, "one");
    ([(".001", one.closed()), (".002", two.closed()), ("", three.padded(40))], 10)
}

/// Whatever byte is changed, and whatever the reader knew before: what it hands out was appended.
#[test]
fn a_changed_byte_gives_an_error_or_the_right_record() {
    let (segments, last) = three_segments();
    let files = Files::new();
    let (mut errors, mut right) = (0, 0);
    for (suffix, bytes) in &segments {
        for at in 0..bytes.len() {
            let others = [b' ' ^ b'\t', b'\n' ^ b' ', b'1' ^ b'9', b'}' ^ b' '];
            for change in [1 << (at % 8), others[at % others.len()]] {
                for (suffix, bytes) in &segments {
                    files.write(suffix, bytes);
                }
                let known = files.reader();
                assert_eq!(known.range::<String>(..).filter_map(Result::ok).count() as u64, last);
                let mut damaged = bytes.clone();
                damaged[at] ^= change;
                files.write(suffix, &damaged);
                for reader in [known, files.reader()] {
                    for seq in [1, 3, 4, 6, 7, 8, 10, 11] {
                        let expected = (seq <= last).then(|| text(seq, "one"));
                        match get(&reader, seq) {
                            Ok(found) if found == expected => right += 1,
                            // As far as anybody can tell, it is the commit that was in flight.
                            Ok(None) if seq == last && suffix.is_empty() => {}
                            Ok(found) => panic!("{suffix:?} byte {at} ^ {change}: {seq} is {found:?}"),
                            Err(MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState) => {
                                errors += 1;
                            }
                            Err(error) => panic!("{suffix:?} byte {at} ^ {change}: {seq}: {error}"),
                        }
                    }
                }
            }
        }
    }
    assert!(errors > 1000 && right > 1000, "{errors} errors, {right} right");
}

#[test]
fn damage_after_a_record_does_not_affect_get() {
    let files = Files::new();
    let segment = groups(first_segment(), 1..=50, "x");
    let mut bytes = segment.closed();
    let half = bytes.len() / 2;
    bytes[half] ^= 1;
    files.write("", &bytes);
    let reader = files.reader();
    assert_eq!(get(&reader, 5).unwrap(), Some(text(5, "x")));
    let found = get(&reader, 45);
    assert!(matches!(found, Err(MiniStoreError::Corrupt { .. })), "{found:?}");
    let found: Vec<_> = reader.range::<String>(3..10).collect();
    assert!(found.len() == 7 && found.iter().all(Result::is_ok), "{found:?}");
}

#[test]
fn oversized_group_is_read_in_place() {
    let disk = SimDisk::new(1);
    let store = disk.open_blocking(JournalOptions::new(), NAME).unwrap();
    let texts: Vec<String> =
        (1..=2000).map(|number| format!("{number}:{}", "y".repeat(number % 90))).collect();
    store.blocking().append(&texts[0]).unwrap();
    store.blocking().append_batch(&texts[1..1998]).unwrap();
    store.blocking().append(&texts[1998]).unwrap();
    store.blocking().append(&texts[1999]).unwrap();
    let reader = disk.reader(Path::new(NAME));
    for seq in [2000, 1, 2, 1000, 1998, 1999, 700, 2001] {
        let expected = texts.get(seq - 1).cloned();
        assert_eq!(reader.get::<String>(seq as u64).unwrap().map(|record| record.value), expected, "{seq}");
    }
    let found: Vec<String> = reader.range(900..1999).map(|record| record.unwrap().value).collect();
    assert_eq!(found, texts[899..1998]);
}
