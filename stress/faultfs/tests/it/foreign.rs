//! What a foreign process does to the files of an open journal: nothing panics or hangs, and for each deed it is
//! written down here who is told of it.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::Instant,
};

use ministore_uring::{MiniStore, MiniStoreError, Reader};
use tempfile::TempDir;

use crate::{
    callers::{Load, Log, Record},
    rig::{HANG, Lane, bounded, finish},
};

const LOAD: Load = Load { callers: 2, records: 6, padding: 100 };

/// Whether the segment that something is done to is rotated before the journal is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Rotation {
    Comes,
    /// The journal is closed as it is.
    StaysAway,
}

impl Rotation {
    /// The next segment is prepared halfway, which one load is.
    fn segment_bytes(self) -> u64 {
        match self {
            Self::Comes => 3000,
            Self::StaysAway => 1 << 20,
        }
    }
}

/// A journal of two archived segments and an active one, a load of records in each; where it is about to be rotated, the
/// next one is prepared.
struct Journal {
    dir: TempDir,
    lane: Lane,
    store: MiniStore,
    log: Log,
}

impl Journal {
    fn new(lane: Lane, rotation: Rotation) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        let path = dir.path().join("d/j");
        let options = lane.options().max_segment_bytes(rotation.segment_bytes());
        let store = finish(options.open(path)).unwrap();
        let mut log = Log::default();
        for _ in 0..2 {
            log.run(&store, LOAD);
            finish(store.rotate()).unwrap();
        }
        log.run(&store, LOAD);
        let this = Self { dir, lane, store, log };
        let started = Instant::now();
        while rotation == Rotation::Comes && !this.file("j.next").exists() {
            assert!(started.elapsed() < HANG, "the next segment is not prepared");
            std::thread::yield_now();
        }
        this
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("d").join(name)
    }

    /// Puts another file in the place of the active segment.
    fn replace(&self, bytes: &[u8]) {
        fs::write(self.file("new"), bytes).unwrap();
        fs::rename(self.file("new"), self.file("j")).unwrap();
    }

    fn active(&self) -> Vec<u8> {
        fs::read(self.file("j")).unwrap()
    }

    /// Cuts the active segment to a part of its data.
    fn cut(&self, part: impl Fn(u64) -> u64) {
        let data_end = self.active().trim_ascii_end().len() as u64;
        File::options().write(true).open(self.file("j")).unwrap().set_len(part(data_end)).unwrap();
    }
}

/// What a foreign process does.
type Deed<'a> = &'a dyn Fn(&Journal);

/// Who is told that something is wrong.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Told {
    /// Whoever appends, rotates or closes.
    writer: bool,
    /// Whoever opens the journal again.
    opener: bool,
    /// Whoever reads it then.
    reader: bool,
    /// Records that were acknowledged before the deed are not read any more.
    lost: bool,
}

impl Told {
    fn nobody(self) -> bool {
        !self.writer && !self.opener && !self.reader
    }
}

/// Goes on with the journal after the deed, closes it, and opens and reads it again in the directory `dir`.
fn go_on(mut journal: Journal, rotation: Rotation, dir: &str) -> Told {
    let before = journal.log.acknowledged();
    journal.log.run(&journal.store, LOAD);
    let rotated = if rotation == Rotation::Comes { finish(journal.store.rotate()) } else { Ok(()) };
    journal.log.run(&journal.store, Load { records: 1, ..LOAD });
    let closed = finish(journal.store.close());
    let writer = journal.log.unknown() > 0 || rotated.is_err() || closed.is_err();
    drop(journal.store);
    let path = journal.dir.path().join(dir).join("j");
    let opened = finish(journal.lane.options().open(&path));
    if let Err(error) = &opened {
        let clear = matches!(error, MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState);
        assert!(clear, "{error}");
    }
    let opener = opened.is_err();
    drop(opened);
    let outcomes: Vec<_> = bounded(move || Reader::open(&path).unwrap().records::<Record>().collect());
    let reader = outcomes.iter().any(Result::is_err);
    let read = outcomes.into_iter().flatten().filter(|record| record.seq <= before as u64).count();
    Told { writer, opener, reader, lost: read < before }
}

/// Does it to journals of every kind, and gives back who was told, each time.
fn after(rotation: Rotation, dir: &str, deed: impl Fn(&Journal)) -> Vec<(String, Told)> {
    let told = Lane::all().into_iter().map(|lane| {
        let journal = Journal::new(lane, rotation);
        deed(&journal);
        (format!("{lane}, a rotation {rotation:?}"), go_on(journal, rotation, dir))
    });
    told.collect()
}

const BOTH: [Rotation; 2] = [Rotation::Comes, Rotation::StaysAway];

/// A file that was cut is told to the writer, who stops: an empty one tells nobody else. Other damage is told to whoever
/// reads, unless it was healed: the engine keeps the file, and writes its last block again.
#[test]
fn active_segment_damage_is_reported() {
    for rotation in BOTH {
        let overwrite = |journal: &Journal| {
            let file = File::options().write(true).open(journal.file("j")).unwrap();
            file.write_all_at(b"!!", 300).unwrap();
        };
        let deeds: [Deed<'_>; 4] = [
            &|journal| journal.cut(|_| 0),
            &|journal| journal.cut(|data_end| data_end / 2),
            &overwrite,
            &|journal| journal.replace(b"something else\n"),
        ];
        for (number, deed) in deeds.iter().enumerate() {
            for (context, told) in after(rotation, "d", deed) {
                let context = format!("deed {number}, {context}: {told:?}");
                let is_cut = number < 2;
                assert!(!is_cut || told.writer, "{context}");
                assert!(!told.lost || told.reader || is_cut, "{context}");
                assert!(rotation == Rotation::Comes || !told.lost || told.opener || is_cut, "{context}");
            }
        }
    }
}

/// The archived name cannot be given then. The appends of the time between are in the deleted file.
#[test]
fn deleted_active_segment_or_directory_is_reported() {
    let deeds: [Deed<'_>; 2] = [&|journal| fs::remove_file(journal.file("j")).unwrap(), &|journal| {
        fs::remove_dir_all(journal.dir.path().join("d")).unwrap()
    }];
    for deed in deeds {
        for (context, told) in after(Rotation::Comes, "d", deed) {
            assert!(told.writer, "{context}: {told:?}");
        }
    }
}

/// What no file can tell by itself, and the writer can: that its newest groups, or all of it, are gone whole.
#[test]
fn deleted_newest_records_are_reported_to_writer() {
    let deeds: [(&str, Deed<'_>); 2] = [
        ("deleted", &|journal| fs::remove_file(journal.file("j")).unwrap()),
        ("deleted with its directory", &|journal| {
            fs::remove_dir_all(journal.dir.path().join("d")).unwrap();
        }),
    ];
    for (what, deed) in deeds {
        for (context, told) in after(Rotation::StaysAway, "d", deed) {
            assert!(told.writer && told.lost, "{what}, {context}: {told:?}");
        }
    }
}

#[test]
fn missing_rotated_segment_is_reported_to_readers() {
    for rotation in BOTH {
        let newest = |journal: &Journal| fs::remove_file(journal.file("j.002")).unwrap();
        for (context, told) in after(rotation, "d", newest) {
            assert!(told.reader, "{context}: {told:?}");
            assert!(rotation == Rotation::Comes || told.opener, "{context}: {told:?}");
        }
        let oldest = |journal: &Journal| fs::remove_file(journal.file("j.001")).unwrap();
        for (context, told) in after(rotation, "d", oldest) {
            assert!(told.nobody(), "{context}: {told:?}, as after retention");
        }
    }
}

#[test]
fn a_prepared_segment_that_was_deleted_or_emptied_costs_no_record() {
    let deeds: [Deed<'_>; 2] = [
        // Another one is prepared.
        &|journal| fs::remove_file(journal.file("j.next")).unwrap(),
        &|journal| drop(File::create(journal.file("j.next")).unwrap()),
    ];
    for deed in deeds {
        for (context, told) in after(Rotation::Comes, "d", deed) {
            assert_eq!(told, Told { writer: false, opener: false, reader: false, lost: false }, "{context}");
        }
    }
}

#[test]
fn renamed_directory_does_not_stop_the_writer() {
    for rotation in BOTH {
        let rename = |journal: &Journal| {
            fs::rename(journal.dir.path().join("d"), journal.dir.path().join("e")).unwrap();
        };
        for (context, told) in after(rotation, "e", rename) {
            assert_eq!(told, Told { writer: false, opener: false, reader: false, lost: false }, "{context}");
        }
    }
}

#[test]
fn without_its_lock_file_a_journal_still_has_one_writer() {
    for rotation in BOTH {
        let second_writer = |journal: &Journal| {
            fs::remove_file(journal.file("j.lock")).unwrap();
            for _ in 0..2 {
                let second = finish(journal.lane.options().open(journal.file("j")));
                assert!(matches!(second, Err(MiniStoreError::Locked { .. })), "{second:?}");
            }
        };
        for (context, told) in after(rotation, "d", second_writer) {
            assert_eq!(told, Told { writer: false, opener: false, reader: false, lost: false }, "{context}");
        }
    }
}
