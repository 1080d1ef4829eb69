//! What is asked of the journals in a file system that was just mounted after a power cut: read, examined, opened,
//! appended to, closed, read again, and read by the original.

use std::{
    fmt, io,
    path::{Path, PathBuf},
};

use ministore_uring::{
    Reader, Records,
    maintenance::{SegmentState, VerifyReport, verify},
};

use crate::{
    crash::{Crash, Kept},
    line::{CHECKER, Line},
    promise::{Found, Promise},
    random::Random,
    workload,
};

/// The original reads one journal in so many: it reads slowly.
const ORIGINAL_READS_ONE_IN: u64 = 6;

/// A record with its sequence number.
type Numbered = (u64, Line);

/// Why a power cut is not survived, or not tried.
#[derive(Debug)]
pub(crate) enum Trouble {
    /// What was promised does not hold.
    Broken { journal: u64, what: String },
    /// The file system itself did not come back.
    NotMounted(String),
    /// This program's own fault, or the machine's.
    Instrument { doing: &'static str, error: io::Error },
}

impl Trouble {
    pub(crate) fn instrument(doing: &'static str) -> impl FnOnce(io::Error) -> Self {
        move |error| Self::Instrument { doing, error }
    }
}

impl fmt::Display for Trouble {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Broken { journal, what } => write!(f, "journal {journal}: {what}"),
            Self::NotMounted(error) => write!(f, "the file system cannot be mounted: {error}"),
            Self::Instrument { doing, error } => write!(f, "instrument: {doing}: {error}"),
        }
    }
}

/// Does the asking.
#[derive(Debug)]
pub(crate) struct Checker {
    /// For the original, which needs tokio.
    runtime: tokio::runtime::Runtime,
    uring: bool,
}

impl Checker {
    pub(crate) fn new(uring: bool) -> io::Result<Self> {
        let runtime = tokio::runtime::Builder::new_current_thread().max_blocking_threads(1).build()?;
        Ok(Self { runtime, uring })
    }

    /// Everything that must hold in the mounted `dir`.
    pub(crate) fn check(&self, dir: &Path, promises: &[Promise], crash: Crash) -> Result<(), Trouble> {
        let kept = match crash.kept {
            Kept::Nothing => 1,
            Kept::Everything => 2,
            Kept::Some { seed, .. } => seed,
        };
        let mut random = Random::new(&[crash.at as u64, kept]);
        for promise in promises {
            let journal = promise.journal;
            let asked =
                Asked { path: workload::path(dir, journal), promise, checker: self, variant: random.next() };
            asked.check().map_err(|what| Trouble::Broken { journal, what })?;
        }
        Ok(())
    }
}

/// One journal.
#[derive(Debug)]
struct Asked<'a> {
    path: PathBuf,
    promise: &'a Promise,
    checker: &'a Checker,
    variant: u64,
}

impl Asked<'_> {
    fn check(&self) -> Result<(), String> {
        let exists = self.path.parent().is_some_and(Path::exists);
        if !exists && !self.promise.was_opened() {
            return Ok(());
        }
        let before = self.check_before_recovery()?;
        let next_seq = self.recover_and_append(before.as_deref().map(next_of))?;
        self.check_closed(before.as_deref(), next_seq)
    }

    /// Read by a reader that never writes: what it finds is what recovery must find. None where there is no journal yet.
    fn check_before_recovery(&self) -> Result<Option<Vec<Numbered>>, String> {
        let examined = match verify(&self.path) {
            Err(_) if !self.promise.was_opened() => return Ok(None),
            examined => examined.map_err(|error| format!("verify after the power cut: {error}"))?,
        };
        no_faults(&examined, "after the power cut")?;
        let records = self.records("after the power cut")?;
        self.promise.check(&Found { records: &records, segments: self.segments()? })?;
        Ok(Some(records))
    }

    /// Appends a record and a batch; the sequence number to come.
    fn recover_and_append(&self, readable: Option<u64>) -> Result<u64, String> {
        let journal = self.promise.journal;
        let options = workload::options(journal, self.variant, self.checker.uring);
        let store =
            options.open_blocking(&self.path).map_err(|error| format!("LOST: open refuses: {error}"))?;
        let next_seq = store.open_report().next_seq;
        if readable.is_some_and(|readable| readable != next_seq) {
            return Err(format!("readers found {readable:?} to come, recovery {next_seq}"));
        }
        let lines: Vec<Line> =
            (0..3).map(|place| Line::new((journal, 0, CHECKER), place + 2, place, 3, 100)).collect();
        let first = Line::new((journal, 0, CHECKER), 1, 0, 1, 100);
        let appended = store.blocking().submit(&first).and_then(|pending| pending.wait());
        let seq = appended.map_err(|error| format!("append after recovery: {error}"))?.seq;
        let seqs =
            store.blocking().append_batch(&lines).map_err(|error| format!("append a batch: {error}"))?;
        if (seq, &seqs) != (next_seq, &(next_seq + 1..next_seq + 4)) {
            return Err(format!("appended as {seq} and {seqs:?} where {next_seq} was to come"));
        }
        store.blocking().close().map_err(|error| format!("close after recovery: {error}"))?;
        Ok(seqs.end)
    }

    /// After a clean close everything is as if nothing had happened. `before` is what readers found before recovery.
    fn check_closed(&self, before: Option<&[Numbered]>, next_seq: u64) -> Result<(), String> {
        let examined = verify(&self.path).map_err(|error| format!("verify after recovery: {error}"))?;
        no_faults(&examined, "after recovery")?;
        if let Some(tail) = &examined.torn_tail {
            return Err(format!("torn tail after a clean close: {tail}"));
        }
        if let Some(open) = examined.segments.iter().find(|segment| segment.state != SegmentState::Closed) {
            return Err(format!("{} is {} after a clean close", open.path.display(), open.state));
        }
        let mut records = self.records("after recovery")?;
        if next_of(&records) != next_seq {
            return Err(format!("{next_seq} was to come after recovery, {} is", next_of(&records)));
        }
        if self.variant.is_multiple_of(ORIGINAL_READS_ONE_IN) {
            self.check_original(&records)?;
        }
        let appended = records.split_off(records.len().saturating_sub(4));
        if appended.len() != 4 || appended.iter().any(|(_, line)| line.caller != CHECKER || !line.is_whole())
        {
            return Err(format!("what was appended after recovery is not there: {appended:?}"));
        }
        let found = Found { records: &records, segments: examined.segments.len() };
        match before {
            None => self.promise.check(&found),
            Some(before) if before.ends_with(&records) => self.promise.check_numbers(&found),
            Some(_) => Err("LOST: recovery changed what readers had found".into()),
        }
    }

    fn check_original(&self, records: &[Numbered]) -> Result<(), String> {
        let replay = ministore::MiniStore::replay::<Line, _>(&self.path);
        let read = self.checker.runtime.block_on(replay);
        let read = read.map_err(|error| format!("the original cannot replay: {error}"))?;
        if !read.iter().eq(records.iter().map(|(_, line)| line)) {
            return Err(format!(
                "the original replays {} records, others, not these {}",
                read.len(),
                records.len()
            ));
        }
        Ok(())
    }

    fn records(&self, when: &str) -> Result<Vec<Numbered>, String> {
        let reader =
            Reader::open(&self.path).map_err(|error| format!("LOST: {when}, a reader says: {error}"))?;
        let records: Records<Line> = reader.records();
        let records = records.map(|record| record.map(|record| (record.seq, record.value)));
        records.collect::<Result<_, _>>().map_err(|error| format!("LOST: {when}, a reader says: {error}"))
    }

    /// Files of the journal: archived segments and the active one.
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

fn next_of(records: &[Numbered]) -> u64 {
    records.last().map_or(1, |(seq, _)| seq + 1)
}

fn no_faults(examined: &VerifyReport, when: &str) -> Result<(), String> {
    match examined.faults.first() {
        Some(fault) => Err(format!("LOST: {when}: {} faults: {fault}", examined.faults.len())),
        None => Ok(()),
    }
}
