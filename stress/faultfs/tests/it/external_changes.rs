//! Another process changes the files of an open journal: nothing panics or hangs, and each test states who reports
//! the damage.

use std::{
    fs::{self, File},
    os::unix::fs::FileExt,
    path::PathBuf,
    time::Instant,
};

use ministore_uring::{MiniStore, MiniStoreError, Reader};
use tempfile::TempDir;

use crate::{
    fixture::{HANG_TIMEOUT, StoreConfig, block_on, run_with_timeout},
    workload::{AckLog, Record, Workload},
};

const WORKLOAD: Workload = Workload { callers: 2, records: 6, padding: 100 };

/// Whether the affected segment is rotated before the journal is closed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum RotationPlan {
    BeforeClose,
    /// The journal is closed without a rotation.
    Never,
}

impl RotationPlan {
    /// The next segment is prepared when the active one is half full, which one workload reaches.
    fn segment_bytes(self) -> u64 {
        match self {
            Self::BeforeClose => 3000,
            Self::Never => 1 << 20,
        }
    }
}

/// A journal of two rotated segments and an active one, with the records of one workload in each. If a rotation is
/// planned, the next segment is already prepared.
struct TestJournal {
    dir: TempDir,
    config: StoreConfig,
    store: MiniStore,
    acks: AckLog,
}

impl TestJournal {
    fn new(config: StoreConfig, rotation: RotationPlan) -> Self {
        let dir = tempfile::tempdir().unwrap();
        fs::create_dir(dir.path().join("d")).unwrap();
        let path = dir.path().join("d/j");
        let options = config.options().max_segment_bytes(rotation.segment_bytes());
        let store = block_on(options.open(path)).unwrap();
        let mut acks = AckLog::default();
        for _ in 0..2 {
            acks.run(&store, WORKLOAD);
            block_on(store.rotate()).unwrap();
        }
        acks.run(&store, WORKLOAD);
        let this = Self { dir, config, store, acks };
        let started = Instant::now();
        while rotation == RotationPlan::BeforeClose && !this.file("j.next").exists() {
            assert!(started.elapsed() < HANG_TIMEOUT, "the next segment is not prepared");
            std::thread::yield_now();
        }
        this
    }

    fn file(&self, name: &str) -> PathBuf {
        self.dir.path().join("d").join(name)
    }

    /// Replaces the active segment by another file.
    fn replace(&self, bytes: &[u8]) {
        fs::write(self.file("new"), bytes).unwrap();
        fs::rename(self.file("new"), self.file("j")).unwrap();
    }

    fn active(&self) -> Vec<u8> {
        fs::read(self.file("j")).unwrap()
    }

    /// Truncates the active segment to a part of its data.
    fn truncate(&self, new_len: impl Fn(u64) -> u64) {
        let data_end = self.active().trim_ascii_end().len() as u64;
        File::options().write(true).open(self.file("j")).unwrap().set_len(new_len(data_end)).unwrap();
    }
}

/// A change that another process makes.
type Action<'a> = &'a dyn Fn(&TestJournal);

/// Which operations report the damage.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct DamageReport {
    /// An append, a rotation or the close fails.
    writer: bool,
    /// Opening the journal again fails.
    opener: bool,
    /// Reading it afterwards fails.
    reader: bool,
    /// Records that were acknowledged before the action can no longer be read.
    lost: bool,
}

impl DamageReport {
    fn is_unreported(self) -> bool {
        !self.writer && !self.opener && !self.reader
    }
}

/// Continues to use the journal after the action, closes it, and opens and reads it again in the directory `dir`.
fn reopen_and_read(mut journal: TestJournal, rotation: RotationPlan, dir: &str) -> DamageReport {
    let before = journal.acks.acknowledged();
    journal.acks.run(&journal.store, WORKLOAD);
    let rotated =
        if rotation == RotationPlan::BeforeClose { block_on(journal.store.rotate()) } else { Ok(()) };
    journal.acks.run(&journal.store, Workload { records: 1, ..WORKLOAD });
    let closed = block_on(journal.store.close());
    let writer = journal.acks.unknown() > 0 || rotated.is_err() || closed.is_err();
    drop(journal.store);
    let path = journal.dir.path().join(dir).join("j");
    let opened = block_on(journal.config.options().open(&path));
    if let Err(error) = &opened {
        let is_expected =
            matches!(error, MiniStoreError::Corrupt { .. } | MiniStoreError::MissingInitialState);
        assert!(is_expected, "{error}");
    }
    let opener = opened.is_err();
    drop(opened);
    let outcomes: Vec<_> =
        run_with_timeout(move || Reader::open(&path).unwrap().records::<Record>().collect());
    let reader = outcomes.iter().any(Result::is_err);
    let read = outcomes.into_iter().flatten().filter(|record| record.seq <= before as u64).count();
    DamageReport { writer, opener, reader, lost: read < before }
}

/// Applies the action to a journal of each configuration, and returns who reported the damage.
fn run_action(
    rotation: RotationPlan,
    dir: &str,
    action: impl Fn(&TestJournal),
) -> Vec<(String, DamageReport)> {
    let reports = StoreConfig::all().into_iter().map(|config| {
        let journal = TestJournal::new(config, rotation);
        action(&journal);
        (format!("{config}, a rotation {rotation:?}"), reopen_and_read(journal, rotation, dir))
    });
    reports.collect()
}

const ROTATION_PLANS: [RotationPlan; 2] = [RotationPlan::BeforeClose, RotationPlan::Never];

/// The writer reports a truncated file and stops; only the writer reports an empty file. A reader reports other
/// damage, unless the writer repaired it: it keeps the file open and rewrites its last block.
#[test]
fn active_segment_damage_is_reported() {
    for rotation in ROTATION_PLANS {
        let overwrite = |journal: &TestJournal| {
            let file = File::options().write(true).open(journal.file("j")).unwrap();
            file.write_all_at(b"!!", 300).unwrap();
        };
        let actions: [Action<'_>; 4] = [
            &|journal| journal.truncate(|_| 0),
            &|journal| journal.truncate(|data_end| data_end / 2),
            &overwrite,
            &|journal| journal.replace(b"something else\n"),
        ];
        for (number, action) in actions.iter().enumerate() {
            for (context, report) in run_action(rotation, "d", action) {
                let context = format!("action {number}, {context}: {report:?}");
                let is_truncated = number < 2;
                assert!(!is_truncated || report.writer, "{context}");
                assert!(!report.lost || report.reader || is_truncated, "{context}");
                assert!(
                    rotation == RotationPlan::BeforeClose || !report.lost || report.opener || is_truncated,
                    "{context}"
                );
            }
        }
    }
}

/// The rotated name cannot be assigned then. The appends between the action and the rotation are in the deleted
/// file.
#[test]
fn deleted_active_segment_or_directory_is_reported() {
    let actions: [Action<'_>; 2] = [&|journal| fs::remove_file(journal.file("j")).unwrap(), &|journal| {
        fs::remove_dir_all(journal.dir.path().join("d")).unwrap()
    }];
    for action in actions {
        for (context, report) in run_action(RotationPlan::BeforeClose, "d", action) {
            assert!(report.writer, "{context}: {report:?}");
        }
    }
}

/// Only the writer can detect that the newest groups, or the whole file, are missing.
#[test]
fn deleted_newest_records_are_reported_to_writer() {
    let actions: [(&str, Action<'_>); 2] = [
        ("deleted", &|journal| fs::remove_file(journal.file("j")).unwrap()),
        ("deleted with its directory", &|journal| {
            fs::remove_dir_all(journal.dir.path().join("d")).unwrap();
        }),
    ];
    for (what, action) in actions {
        for (context, report) in run_action(RotationPlan::Never, "d", action) {
            assert!(report.writer && report.lost, "{what}, {context}: {report:?}");
        }
    }
}

#[test]
fn missing_rotated_segment_is_reported_to_readers() {
    for rotation in ROTATION_PLANS {
        let delete_newest = |journal: &TestJournal| fs::remove_file(journal.file("j.002")).unwrap();
        for (context, report) in run_action(rotation, "d", delete_newest) {
            assert!(report.reader, "{context}: {report:?}");
            assert!(rotation == RotationPlan::BeforeClose || report.opener, "{context}: {report:?}");
        }
        let delete_oldest = |journal: &TestJournal| fs::remove_file(journal.file("j.001")).unwrap();
        for (context, report) in run_action(rotation, "d", delete_oldest) {
            assert!(report.is_unreported(), "{context}: {report:?}, as after retention");
        }
    }
}

#[test]
fn lost_prepared_segment_loses_no_record() {
    let actions: [Action<'_>; 2] = [
        // The writer prepares another one.
        &|journal| fs::remove_file(journal.file("j.next")).unwrap(),
        &|journal| drop(File::create(journal.file("j.next")).unwrap()),
    ];
    for action in actions {
        for (context, report) in run_action(RotationPlan::BeforeClose, "d", action) {
            assert_eq!(
                report,
                DamageReport { writer: false, opener: false, reader: false, lost: false },
                "{context}"
            );
        }
    }
}

#[test]
fn renamed_directory_does_not_stop_the_writer() {
    for rotation in ROTATION_PLANS {
        let rename = |journal: &TestJournal| {
            fs::rename(journal.dir.path().join("d"), journal.dir.path().join("e")).unwrap();
        };
        for (context, report) in run_action(rotation, "e", rename) {
            assert_eq!(
                report,
                DamageReport { writer: false, opener: false, reader: false, lost: false },
                "{context}"
            );
        }
    }
}

#[test]
fn journal_without_lock_file_has_one_writer() {
    for rotation in ROTATION_PLANS {
        let second_writer = |journal: &TestJournal| {
            fs::remove_file(journal.file("j.lock")).unwrap();
            for _ in 0..2 {
                let second = block_on(journal.config.options().open(journal.file("j")));
                assert!(matches!(second, Err(MiniStoreError::Locked { .. })), "{second:?}");
            }
        };
        for (context, report) in run_action(rotation, "d", second_writer) {
            assert_eq!(
                report,
                DamageReport { writer: false, opener: false, reader: false, lost: false },
                "{context}"
            );
        }
    }
}
