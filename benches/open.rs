//! How long it takes to open a journal, and what of it is scanning, syncing, and writing the last group again.
//! `cargo bench --bench open`.
//!
//! The page cache is warm and everything is durable, as after `kill -9`. The cases alternate, so that all see the same
//! mood of the machine; figures are medians over the rounds, in milliseconds. The parts come from the spans that the
//! engine itself opens.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

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
    Event as Logged, Metadata, Subscriber,
    span::{Attributes, Id, Record},
};

const ROUNDS: usize = 9;

/// Data in a full segment. A little less than a segment of 64 MiB takes, so that none of it is rotated away.
const FULL_BYTES: u64 = (64 << 20) - (256 << 10);

/// Records in a commit group.
const GROUP_RECORDS: usize = 100;

/// What the engine's spans are called. A step of recovery is one between two looks.
const PARTS: [&str; 6] = ["list", "scan", "sync", "step", "write_again", "end"];

/// About 300 bytes as JSON.
#[derive(Debug, Clone, Serialize)]
struct Event {
    number: u64,
    text: String,
}

/// A journal that is opened again and again.
struct Case {
    what: &'static str,
    /// Files to put there before each opening, durably; none where closing the store restores it by itself.
    image: Option<PathBuf>,
    dir: PathBuf,
    opened: Vec<f64>,
    parts: [Vec<f64>; PARTS.len()],
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
    println!("| journal | open, ms | {} |", PARTS.map(|part| part.replace('_', " ")).join(" | "));
    println!("| --- | ---: |{}", " ---: |".repeat(PARTS.len()));
    for Case { what, opened, parts, .. } in cases {
        let parts = parts.map(|times| format!("{:.2}", median(times)));
        println!("| {what} | {:.2} | {} |", median(opened), parts.join(" | "));
    }
    Ok(())
}

/// Writes the journals.
fn prepare(root: &Path) -> Result<Vec<Case>, Box<dyn Error>> {
    let place = |name: &str| -> io::Result<PathBuf> {
        let dir = root.join(name);
        fs::create_dir(&dir)?;
        Ok(dir)
    };
    let (small, full, one, thousand) = (place("small")?, place("full")?, place("one")?, place("thousand")?);
    let (crashed, nothing) = (place("crashed")?, place("nothing")?);
    fill(&small, 10, 0)?.blocking().close()?;
    let store = fill(&full, u64::MAX, 0)?;
    // As the machine sees it now it would be found after a crash.
    copy_durably(&full, &crashed)?;
    store.blocking().close()?;
    fill(&one, 10, 1)?.blocking().close()?;
    fill(&thousand, 10, 1000)?.blocking().close()?;
    let case = |what, dir, image| Case { what, image, dir, opened: Vec::new(), parts: Default::default() };
    Ok(vec![
        case("none yet", place("created")?, Some(nothing)),
        case("closed, 10 records", small, None),
        case("the same behind 1 archived segment", one, None),
        case("the same behind 1,000 archived segments", thousand, None),
        case("closed, 64 MiB", full, None),
        case("crashed, 64 MiB and its padding", place("again")?, Some(crashed)),
    ])
}

/// A store with so many records at most behind so many archived segments.
fn fill(dir: &Path, records: u64, archived: usize) -> Result<MiniStore, Box<dyn Error>> {
    let store = JournalOptions::new().open_blocking(dir.join("journal.jsonl"))?;
    let blocking = store.blocking();
    for _ in 0..archived {
        blocking.append(&0)?;
        blocking.rotate()?;
    }
    let mut group = Vec::new();
    let mut bytes = 0;
    for number in 0..records {
        let event = Event { number, text: "x".repeat(270) };
        bytes += serde_json::to_vec(&event)?.len() as u64 + 1;
        group.push(event);
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
    /// Times one opening.
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
        let spent = SPANS.take();
        for (part, times) in PARTS.iter().zip(&mut self.parts) {
            times.push(milliseconds(spent.get(part).copied().unwrap_or_default()));
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

/// Adds up how long the engine's spans were entered. One journal is opened at a time, on one thread.
#[derive(Debug)]
struct Spans(Mutex<Times>);

#[derive(Debug)]
struct Times {
    names: Vec<&'static str>,
    entered: Vec<(u64, Instant)>,
    spent: Option<HashMap<&'static str, Duration>>,
}

static SPANS: Spans = Spans(Mutex::new(Times { names: Vec::new(), entered: Vec::new(), spent: None }));

impl Spans {
    /// What was spent since the last time.
    fn take(&self) -> HashMap<&'static str, Duration> {
        self.times().spent.take().unwrap_or_default()
    }

    fn times(&self) -> std::sync::MutexGuard<'_, Times> {
        self.0.lock().unwrap_or_else(PoisonError::into_inner)
    }
}

impl Subscriber for &'static Spans {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.is_span() && PARTS.contains(&metadata.name())
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
            *times.spent.get_or_insert_default().entry(name).or_default() += since.elapsed();
        }
    }

    fn record(&self, _: &Id, _: &Record<'_>) {}

    fn record_follows_from(&self, _: &Id, _: &Id) {}

    fn event(&self, _: &Logged<'_>) {}
}
