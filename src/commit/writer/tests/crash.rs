//! A crash at any moment: before every operation the directory is copied, and before a commit also with parts of its
//! write. Every copy must open with all records that were acknowledged at that time.

use std::{
    collections::{HashMap, hash_map::Entry},
    fs::File,
    os::unix::fs::{FileExt, MetadataExt},
    sync::{
        Arc, Mutex,
        atomic::{AtomicU64, Ordering::SeqCst},
    },
};

use super::*;
use crate::io::fault::FaultEvent;

const SECTOR: usize = 512;
const RECORDS: u64 = 30;

/// A copy of the journal's directory, as a crash could leave it.
struct CrashImage {
    dir: PathBuf,
    /// The number of records acknowledged before.
    acknowledged: u64,
    what: String,
}

/// Copies a journal's directory before each operation.
#[derive(Clone)]
struct Snapshotter {
    from: PathBuf,
    to: Arc<TempDir>,
    acknowledged: Arc<AtomicU64>,
    images: Arc<Mutex<Vec<CrashImage>>>,
}

impl Snapshotter {
    fn capture(&self, event: &FaultEvent<'_>) {
        self.take(event, "not made", |_| {});
        let Some((offset, bytes)) = event.write.filter(|_| event.op == Op::Commit) else { return };
        let name = event.path.file_name().unwrap();
        for (what, is_written) in [
            ("only its first sector", (|sector| sector == 0) as fn(usize) -> bool),
            ("all but its first sector", |sector| sector > 0),
            ("every other sector", |sector| sector % 2 == 1),
            ("all of it", |_| true),
        ] {
            self.take(event, what, |dir| {
                let file = File::options().write(true).open(dir.join(name)).unwrap();
                for (number, at, sector) in changed_sectors(&fs::read(dir.join(name)).unwrap(), offset, bytes)
                {
                    if is_written(number) {
                        file.write_all_at(sector, at).unwrap();
                    }
                }
            });
        }
    }

    fn take(&self, event: &FaultEvent<'_>, what: &str, change: impl FnOnce(&Path)) {
        let acknowledged = self.acknowledged.load(SeqCst);
        let mut images = self.images.lock().unwrap();
        let dir = self.to.path().join(images.len().to_string());
        fs::create_dir(&dir).unwrap();
        let mut copied: HashMap<u64, PathBuf> = HashMap::new();
        for entry in fs::read_dir(&self.from).unwrap() {
            let path = entry.unwrap().path();
            let copy = dir.join(path.file_name().unwrap());
            // A file with two hard links must stay one file.
            match copied.entry(fs::metadata(&path).unwrap().ino()) {
                Entry::Occupied(first) => fs::hard_link(first.get(), &copy).unwrap(),
                Entry::Vacant(first) => {
                    fs::copy(&path, &copy).unwrap();
                    first.insert(copy);
                }
            }
        }
        change(&dir);
        let what = format!("image {}, {:?} of {}: {what}", images.len(), event.op, event.path.display());
        images.push(CrashImage { dir, acknowledged, what });
    }
}

/// Returns the sectors that a write changes: a number counted from 0, the offset, and the bytes.
fn changed_sectors<'a>(old: &[u8], offset: u64, new: &'a [u8]) -> Vec<(usize, u64, &'a [u8])> {
    let lead = (SECTOR - offset as usize % SECTOR) % SECTOR;
    let (first, rest) = new.split_at(lead.min(new.len()));
    let pieces = [first].into_iter().chain(rest.chunks(SECTOR)).filter(|piece| !piece.is_empty());
    let mut at = offset;
    let placed = pieces.map(|piece| {
        at += piece.len() as u64;
        (at - piece.len() as u64, piece)
    });
    let is_changed =
        |(at, piece): &(u64, &[u8])| old.get(*at as usize..*at as usize + piece.len()) != Some(*piece);
    placed.filter(is_changed).enumerate().map(|(number, (at, piece))| (number, at, piece)).collect()
}

/// Returns a record that contains its number. Every seventh is larger than a sector.
fn record(number: u64) -> (u64, String) {
    (number, "r".repeat(if number % 7 == 1 { 1300 } else { (number * 37 % 90) as usize }))
}

/// Runs a workload and closes the store. Returns the images of all moments.
fn capture_all(fixture: &StoreFixture, workload: impl FnOnce(&dyn Fn(u64))) -> Vec<CrashImage> {
    let snapshotter = Snapshotter {
        from: fixture.dir.path().into(),
        to: Arc::new(tempfile::tempdir().unwrap()),
        acknowledged: Arc::default(),
        images: Arc::default(),
    };
    fixture.faults.before_each({
        let snapshotter = snapshotter.clone();
        move |event| snapshotter.capture(event)
    });
    workload(&|number| {
        finish(fixture.store.append(&record(number))).unwrap();
        snapshotter.acknowledged.store(number + 1, SeqCst);
    });
    finish(fixture.store.close()).unwrap();
    std::mem::take(&mut *snapshotter.images.lock().unwrap())
}

fn run_and_crash(kind: BackendKind, options: &JournalOptions) {
    let fixture = StoreFixture::open(kind, options.clone());
    let images = capture_all(&fixture, |append| (0..RECORDS).for_each(append));
    assert!(fixture.rotations() >= 3 && images.len() > 100);
    images.iter().for_each(check);
}

fn check(CrashImage { dir, acknowledged, what }: &CrashImage) {
    let path = dir.join("j");
    let records = |when: &str| -> Vec<(u64, String)> {
        Reader::open(&path)
            .unwrap()
            .records()
            .map(|record| record.unwrap_or_else(|error| panic!("{what}, {when}: {error}")).value)
            .collect()
    };
    let expected: Vec<_> = (0..RECORDS).map(record).collect();
    // A reader needs no recovery.
    let read = records("before recovery");
    assert!(expected.starts_with(&read) && read.len() as u64 >= *acknowledged, "{what}: {}", read.len());
    // The format does not depend on the backend and options of the writer.
    let store =
        JournalOptions::new().preallocate(false).backend(crate::Backend::Blocking).open_blocking(&path);
    let store = store.unwrap_or_else(|error| panic!("{what}: {error}"));
    let recovered = records("after recovery");
    assert!(expected.starts_with(&recovered), "{what}");
    let count = recovered.len() as u64;
    assert!(count == *acknowledged || count == acknowledged + 1, "{what}: {count} of {acknowledged}");
    assert_eq!(store.open_report().next_seq, count + 1, "{what}");
    finish(store.append(&("more", 0))).unwrap();
    finish(store.close()).unwrap();
    let report = crate::maintenance::verify(&path).unwrap();
    assert_eq!((report.faults.len(), report.records), (0, count + 1), "{what}");
    fs::remove_dir_all(dir).unwrap();
}

#[test]
fn crash_loses_no_acknowledged_record() {
    for kind in backends() {
        for mode in SYNC_MODES {
            run_and_crash(kind, &JournalOptions::new().max_segment_bytes(1200).sync_mode(mode));
        }
    }
}

#[test]
fn crash_without_preallocation_loses_nothing() {
    for mode in SYNC_MODES {
        let options = JournalOptions::new().max_segment_bytes(1200).sync_mode(mode);
        run_and_crash(BackendKind::Blocking, &options.preallocate(false));
    }
}

#[test]
fn crash_with_buffered_writes_loses_nothing() {
    for mode in SYNC_MODES {
        let options = JournalOptions::new().max_segment_bytes(1200).sync_mode(mode);
        run_and_crash(BackendKind::Blocking, &options.direct_io(false));
    }
}

#[test]
fn crash_in_rename_by_links_loses_nothing() {
    let faults = FaultInjector::new();
    faults.rename_only_by_links();
    let fixture =
        StoreFixture::open_on(BackendKind::Blocking, JournalOptions::new().max_segment_bytes(1200), faults);
    let images = capture_all(&fixture, |append| (0..RECORDS).for_each(append));
    let has_two_names = |image: &&CrashImage| {
        fs::read_dir(&image.dir).unwrap().any(|entry| entry.unwrap().metadata().unwrap().nlink() == 2)
    };
    assert!(fixture.faults.count(Op::Link) >= 6 && images.iter().filter(has_two_names).count() >= 6);
    images.iter().for_each(check);
}

#[test]
fn crash_after_delayed_header_loses_nothing() {
    for preallocate in [true, false] {
        let fixture =
            StoreFixture::open(BackendKind::Blocking, JournalOptions::new().preallocate(preallocate));
        let images = capture_all(&fixture, |append| {
            append(0);
            fixture.faults.fail(Op::Commit, 1, Errno::NOSPC);
            finish(fixture.store.rotate()).unwrap();
            (1..4).for_each(append);
        });
        images.iter().for_each(check);
    }
}
