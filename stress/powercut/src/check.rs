//! Checks the journals in a file system that was mounted after a power cut: each is verified, read, opened, appended
//! to, closed, verified and read again. Some are also replayed by `ministore` 0.1.7.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use ministore_faultfs::recording::KeptWrites;
use ministore_uring::{
    Reader, Records,
    maintenance::{SegmentState, VerifyReport, verify},
};

use crate::{
    acked_state::{AckedState, JournalContents},
    crash::Crash,
    test_record::{CHECKER, TestRecord, rng},
    workload,
};

/// `ministore` 0.1.7 replays one journal in this many, because it reads slowly.
const LEGACY_REPLAY_ONE_IN: u64 = 6;

/// A record with its sequence number.
type NumberedRecord = (u64, TestRecord);

/// Why the test of an image failed.
#[derive(Debug)]
pub(crate) enum Finding {
    /// A journal violates a guarantee.
    Violation { journal: u64, message: String },
    /// The file system cannot be mounted.
    NotMounted(String),
    /// The test program or the machine failed.
    Harness { action: &'static str, error: io::Error },
}

impl Finding {
    pub(crate) fn harness(action: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Harness { action, error }
    }
}

impl fmt::Display for Finding {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Violation { journal, message } => write!(f, "journal {journal}: {message}"),
            Self::NotMounted(error) => write!(f, "the file system cannot be mounted: {error}"),
            Self::Harness { action, error } => write!(f, "test harness: {action}: {error}"),
        }
    }
}

/// Checks journals.
#[derive(Debug)]
pub(crate) struct Checker {
    /// For `ministore` 0.1.7, which needs tokio.
    runtime: tokio::runtime::Runtime,
    uring: bool,
}

impl Checker {
    pub(crate) fn new(uring: bool) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build()?;
        Ok(Self { runtime, uring })
    }

    /// Checks all journals in the mounted `dir`.
    pub(crate) fn check(&self, dir: &Path, acked_states: &[AckedState], crash: Crash) -> Result<(), Finding> {
        let kept = match crash.kept {
            KeptWrites::Nothing => 1,
            KeptWrites::Everything => 2,
            KeptWrites::Some { seed, .. } => seed,
        };
        let mut random = rng(&[crash.at as u64, kept]);
        for acked in acked_states {
            let journal = acked.journal;
            let path = workload::path(dir, journal);
            let check = JournalCheck { path, acked, checker: self, variant: random.u64(..) };
            check.run().map_err(|message| Finding::Violation { journal, message })?;
        }
        Ok(())
    }
}

/// The check of one journal.
#[derive(Debug)]
struct JournalCheck<'a> {
    path: PathBuf,
    acked: &'a AckedState,
    checker: &'a Checker,
    variant: u64,
}

impl JournalCheck<'_> {
    fn run(&self) -> Result<(), String> {
        let exists = self.path.parent().is_some_and(Path::exists);
        if !exists && !self.acked.was_opened() {
            return Ok(());
        }
        let before = self.check_before_recovery()?;
        let next_seq = self.recover_and_append(before.as_deref().map(seq_after))?;
        self.check_closed(before.as_deref(), next_seq)
    }

    /// Returns the records that a reader finds before recovery, which recovery must keep. Returns `None` if the journal
    /// was not created yet.
    fn check_before_recovery(&self) -> Result<Option<Vec<NumberedRecord>>, String> {
        let report = match verify(&self.path) {
            Err(_) if !self.acked.was_opened() => return Ok(None),
            report => report.map_err(|error| format!("verify after the power cut: {error}"))?,
        };
        check_no_faults(&report, "after the power cut")?;
        let records = self.records("after the power cut")?;
        self.acked.check(&JournalContents { records: &records, segments: self.segments()? })?;
        Ok(Some(records))
    }

    /// Opens the journal and appends a record and a batch. Returns the next sequence number.
    fn recover_and_append(&self, readable: Option<u64>) -> Result<u64, String> {
        let journal = self.acked.journal;
        let options = workload::options(journal, self.variant, self.checker.uring);
        let store =
            options.open_blocking(&self.path).map_err(|error| format!("LOST: open fails: {error}"))?;
        let next_seq = store.open_report().next_seq;
        if readable.is_some_and(|readable| readable != next_seq) {
            return Err(format!("readers expect {readable:?} next, recovery {next_seq}"));
        }
        let records: Vec<TestRecord> =
            (0..3).map(|index| TestRecord::new((journal, 0, CHECKER), index + 2, index, 3, 100)).collect();
        let first = TestRecord::new((journal, 0, CHECKER), 1, 0, 1, 100);
        let appended = store.blocking().submit(&first).and_then(|pending| pending.wait());
        let seq = appended.map_err(|error| format!("append after recovery: {error}"))?.seq;
        let seqs =
            store.blocking().append_batch(&records).map_err(|error| format!("append a batch: {error}"))?;
        if (seq, &seqs) != (next_seq, &(next_seq + 1..next_seq + 4)) {
            return Err(format!("appended as {seq} and {seqs:?}, expected {next_seq}"));
        }
        store.blocking().close().map_err(|error| format!("close after recovery: {error}"))?;
        Ok(seqs.end)
    }

    /// Checks the journal after a clean close. `before` are the records that readers found before recovery.
    fn check_closed(&self, before: Option<&[NumberedRecord]>, next_seq: u64) -> Result<(), String> {
        let report = verify(&self.path).map_err(|error| format!("verify after recovery: {error}"))?;
        check_no_faults(&report, "after recovery")?;
        if let Some(tail) = &report.torn_tail {
            return Err(format!("torn tail after a clean close: {tail}"));
        }
        if let Some(open) = report.segments.iter().find(|segment| segment.state != SegmentState::Closed) {
            return Err(format!("{} is {} after a clean close", open.path.display(), open.state));
        }
        let mut records = self.records("after recovery")?;
        if seq_after(&records) != next_seq {
            return Err(format!(
                "next number after recovery: expected {next_seq}, found {}",
                seq_after(&records)
            ));
        }
        let is_readable = !workload::has_json_headers(self.acked.journal);
        if is_readable && self.variant.is_multiple_of(LEGACY_REPLAY_ONE_IN) {
            self.check_legacy_replay(&records)?;
        }
        let appended = records.split_off(records.len().saturating_sub(4));
        if appended.len() != 4
            || appended.iter().any(|(_, record)| record.client != CHECKER || !record.is_intact())
        {
            return Err(format!("the records appended after recovery are missing: {appended:?}"));
        }
        let found = JournalContents { records: &records, segments: report.segments.len() };
        match before {
            None => self.acked.check(&found),
            Some(before) if before.ends_with(&records) => self.acked.check_numbers(&found),
            Some(_) => Err("LOST: recovery changed records that readers had found".into()),
        }
    }

    fn check_legacy_replay(&self, records: &[NumberedRecord]) -> Result<(), String> {
        let replay = ministore::MiniStore::replay::<TestRecord, _>(&self.path);
        let read = self.checker.runtime.block_on(replay);
        let read = read.map_err(|error| format!("ministore 0.1.7 cannot replay: {error}"))?;
        if !read.iter().eq(records.iter().map(|(_, record)| record)) {
            return Err(format!(
                "ministore 0.1.7 replays {} records that differ from the {} expected",
                read.len(),
                records.len()
            ));
        }
        Ok(())
    }

    fn records(&self, when: &str) -> Result<Vec<NumberedRecord>, String> {
        let reader =
            Reader::open(&self.path).map_err(|error| format!("LOST: {when}, a reader fails: {error}"))?;
        let records: Records<TestRecord> = reader.records();
        let records = records.map(|record| record.map(|record| (record.seq, record.value)));
        records.collect::<Result<_, _>>().map_err(|error| format!("LOST: {when}, a reader fails: {error}"))
    }

    /// Returns the number of segment files: the rotated segments and the active one.
    fn segments(&self) -> Result<usize, String> {
        let dir = self.path.parent().unwrap_or(&self.path);
        let names = std::fs::read_dir(dir).map_err(|error| format!("{}: {error}", dir.display()))?;
        let is_segment = |name: &str| {
            let rest = name.strip_prefix("log.jsonl");
            rest.is_some_and(|rest| rest.trim_start_matches('.').bytes().all(|byte| byte.is_ascii_digit()))
        };
        Ok(names.flatten().filter(|entry| is_segment(&entry.file_name().to_string_lossy())).count())
    }
}

fn seq_after(records: &[NumberedRecord]) -> u64 {
    records.last().map_or(1, |(seq, _)| seq + 1)
}

fn check_no_faults(report: &VerifyReport, when: &str) -> Result<(), String> {
    match report.faults.first() {
        Some(fault) => Err(format!("LOST: {when}: {} faults: {fault}", report.faults.len())),
        None => Ok(()),
    }
}
