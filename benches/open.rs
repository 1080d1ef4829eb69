//! The time to open a journal, split into scanning, syncing, and rewriting the last group.
//! `cargo bench --bench open`.
//!
//! The page cache is warm and everything is durable, as after `kill -9`. The cases alternate, so that all run under
//! the same load of the machine. The results are medians over the rounds, in milliseconds. The phases come from the
//! spans of the engine.

#![expect(clippy::print_stdout, reason = "prints its results")]

use std::{
    collections::HashMap,
    error::Error,
    fs::{self, File},
    io,
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
    time::{Duration, Instant},
};

use ministore_uring::{JournalOptions, MiniStore};
use serde::Serialize;
use tracing::{
    Event as TracingEvent, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

const ROUNDS: usize = 9;

/// Data in a full segment: slightly less than the segment size of 64 MiB, so that nothing is rotated.
const FULL_BYTES: u64 = (64 << 20) - (256 << 10);

/// Records in a commit group.
const GROUP_RECORDS: usize = 100;

/// The names of the engine's spans. A `step` is one step of recovery.
const PHASES: [&str; 6] = ["list", "scan", "sync", "step", "write_again", "end"];

/// About 300 bytes as JSON.
#[derive(Debug, Clone, Serialize)]
struct TestRecord {
    number: u64,
    text: String,
}

/// A journal that is opened repeatedly.
struct Case {
    what: &'static str,
    /// Files to copy into place durably before each open; `None` if closing the store restores them.
    image: Option<PathBuf>,
    dir: PathBuf,
    opened: Vec<f64>,
    phases: [Vec<f64>; PHASES.len()],
}

fn main() -> Result<(), Box<dyn Error>> {
    tracing::subscriber::set_global_default(&SPANS)?;
    let dir = tempfile::tempdir_in("target")?;
    let mut cases = prepare(dir.path())?;
    for _ in 0..ROUNDS {
        for case in &mut cases {
            case.open()?;
        }
    }
    println!("| journal | open, ms | {} |", PHASES.map(|phase| phase.replace('_', " ")).join(" | "));
    println!("| --- | ---: |{}", " ---: |".repeat(PHASES.len()));
    for Case { what, opened, phases, .. } in cases {
        let phases = phases.map(|times| format!("{:.2}", median(times)));
        println!("| {what} | {:.2} | {} |", median(opened), phases.join(" | "));
    }
    Ok(())
}

/// Writes the journals.
fn prepare(root: &Path) -> Result<Vec<Case>, Box<dyn Error>> {
    let create_dir = |name: &str| -> io::Result<PathBuf> {
        let dir = root.join(name);
        fs::create_dir(&dir)?;
        Ok(dir)
    };
    let (small, full, one, thousand) =
        (create_dir("small")?, create_dir("full")?, create_dir("one")?, create_dir("thousand")?);
    let (crashed, nothing) = (create_dir("crashed")?, create_dir("nothing")?);
    fill(&small, 10, 0)?.blocking().close()?;
    let store = fill(&full, u64::MAX, 0)?;
    // These are the files that a crash at this point would leave.
    copy_durably(&full, &crashed)?;
    store.blocking().close()?;
    fill(&one, 10, 1)?.blocking().close()?;
    fill(&thousand, 10, 1000)?.blocking().close()?;
    let case = |what, dir, image| Case { what, image, dir, opened: Vec::new(), phases: Default::default() };
    Ok(vec![
        case("none yet", create_dir("created")?, Some(nothing)),
        case("closed, 10 records", small, None),
        case("the same after 1 rotated segment", one, None),
        case("the same after 1,000 rotated segments", thousand, None),
        case("closed, 64 MiB", full, None),
        case("crashed, 64 MiB and preallocated space", create_dir("again")?, Some(crashed)),
    ])
}

/// Creates a store with `rotated` rotated segments and at most `records` records after them.
fn fill(dir: &Path, records: u64, rotated: usize) -> Result<MiniStore, Box<dyn Error>> {
    let store = JournalOptions::new().open_blocking(dir.join("journal.jsonl"))?;
    let blocking = store.blocking();
    for _ in 0..rotated {
        blocking.append(&0)?;
        blocking.rotate()?;
    }
    let mut group = Vec::new();
    let mut bytes = 0;
    for number in 0..records {
        let record = TestRecord { number, text: "x".repeat(270) };
        bytes += serde_json::to_vec(&record)?.len() as u64 + 1;
        group.push(record);
        if group.len() == GROUP_RECORDS {
            blocking.append_batch(&group)?;
            group.clear();
            bytes += 33;
        }
        if bytes >= FULL_BYTES {
            break;
        }
    }
    blocking.append_batch(&group)?;
    Ok(store)
}

impl Case {
    /// Times one open.
    fn open(&mut self) -> Result<(), Box<dyn Error>> {
        if let Some(image) = &self.image {
            fs::remove_dir_all(&self.dir)?;
            fs::create_dir(&self.dir)?;
            copy_durably(image, &self.dir)?;
        }
        SPANS.take();
        let started = Instant::now();
        let store = JournalOptions::new().open_blocking(self.dir.join("journal.jsonl"))?;
        self.opened.push(milliseconds(started.elapsed()));
        let time_spent = SPANS.take();
        for (phase, times) in PHASES.iter().zip(&mut self.phases) {
            times.push(milliseconds(time_spent.get(phase).copied().unwrap_or_default()));
        }
        store.blocking().close()?;
        Ok(())
    }
}

fn copy_durably(from: &Path, to: &Path) -> io::Result<()> {
    for entry in fs::read_dir(from)? {
        let entry = entry?;
        let copy = to.join(entry.file_name());
        fs::copy(entry.path(), &copy)?;
        File::open(copy)?.sync_all()?;
    }
    File::open(to)?.sync_all()
}

fn milliseconds(duration: Duration) -> f64 {
    duration.as_secs_f64() * 1e3
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}

/// Adds up the time inside the engine's spans. One journal is opened at a time, on one thread.
#[derive(Debug)]
struct SpanTimer(Mutex<SpanTimes>);

#[derive(Debug)]
struct SpanTimes {
    names: Vec<&'static str>,
    entered: Vec<(u64, Instant)>,
    time_spent: Option<HashMap<&'static str, Duration>>,
}

static SPANS: SpanTimer =
    SpanTimer(Mutex::new(SpanTimes { names: Vec::new(), entered: Vec::new(), time_spent: None }));

impl SpanTimer {
    /// Returns the time spent in each span since the last call.
    fn take(&self) -> HashMap<&'static str, Duration> {
        self.times().time_spent.take().unwrap_or_default()
    }

    fn times(&self) -> std::sync::MutexGuard<'_, SpanTimes> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for &'static SpanTimer {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && PHASES.contains(&metadata.name())
    }

    fn new_span(&self, span: &Attributes<'_>) -> Id {
        let mut times = self.times();
        times.names.push(span.metadata().name());
        Id::from_u64(times.names.len() as u64)
    }

    fn enter(&self, span: &Id) {
        self.times().entered.push((span.into_u64(), Instant::now()));
    }

    fn exit(&self, span: &Id) {
        let mut times = self.times();
        let name = times.names[span.into_u64() as usize - 1];
        let at = times.entered.iter().rposition(|(entered, _)| *entered == span.into_u64());
        if let Some((_, since)) = at.map(|at| times.entered.remove(at)) {
            *times.time_spent.get_or_insert_default().entry(name).or_default() += since.elapsed();
        }
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &TracingEvent<'_>) {}
}
