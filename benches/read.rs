//! Events read a second: this crate and `ministore` 0.1.7 over the same journal, in turn, in one run, against
//! `serde_json` over the same lines in memory. `cargo bench --bench read`.
//!
//! The events are lines of JSON, the flights of the data set `nycflights13` or some like them: `MINISTORE_EVENTS` names a
//! file of them; without it, like ones are made up. The contestants alternate, so that all see the same mood of the
//! machine; figures are medians over the rounds.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod support;

use std::{path::Path, time::Instant};

use ministore_uring::{MiniStore, Reader};
use support::flights::{Flight, FlightRef, events};

const ROUNDS: usize = 7;
/// Records a commit group: a lone caller, some callers, bulk.
const GROUPS: [usize; 3] = [1, 64, 3000];
/// A journal of single commits takes long to write.
const RECORDS_OF_SINGLE_COMMITS_MAX: usize = 20_000;

type Error = Box<dyn std::error::Error>;

/// One way to read all events.
type Method<'a> = (&'static str, Box<dyn Fn() -> Result<Outcome, Error> + 'a>);

/// What was read.
enum Outcome {
    All(Vec<Flight>),
    /// One by one, none of them kept.
    Passed(Sum),
    /// Checked already.
    Unparsed,
}

/// How many there were, and something of each, so that nothing is left out.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
struct Sum {
    records: u64,
    distance: u64,
}

impl Sum {
    fn add(mut self, flight: &Flight) -> Self {
        self.records += 1;
        self.distance += u64::from(flight.distance);
        self
    }

    fn add_borrowed(mut self, flight: &FlightRef<'_>) -> Self {
        self.records += 1;
        self.distance += u64::from(flight.distance);
        self
    }
}

impl Outcome {
    fn sum(&self) -> Option<Sum> {
        match self {
            Self::All(flights) => Some(flights.iter().fold(Sum::default(), Sum::add)),
            Self::Passed(sum) => Some(*sum),
            Self::Unparsed => None,
        }
    }
}

fn main() -> Result<(), Error> {
    let lines = events()?;
    let dir = tempfile::tempdir_in("target")?;
    for group in GROUPS {
        let count = if group == 1 { RECORDS_OF_SINGLE_COMMITS_MAX.min(lines.len()) } else { lines.len() };
        let lines = &lines[..count];
        let path = dir.path().join(format!("groups-of-{group}.jsonl"));
        write(&path, lines, group)?;
        println!("\n{count} records of {} bytes, {group} a commit group\n", bytes(lines) / count);
        table(&readers(&path, lines), count, bytes(lines))?;
    }
    Ok(())
}

/// A journal with these lines, so many in one commit.
fn write(path: &Path, lines: &[String], group: usize) -> Result<(), Error> {
    let store = ministore_uring::JournalOptions::new().open_blocking(path)?;
    for lines in lines.chunks(group) {
        let values: Result<Vec<&serde_json::value::RawValue>, _> =
            lines.iter().map(|line| serde_json::from_str(line)).collect();
        store.blocking().append_batch(values?)?;
    }
    Ok(store.blocking().close()?)
}

fn bytes(lines: &[String]) -> usize {
    lines.iter().map(String::len).sum()
}

fn readers<'a>(path: &'a Path, lines: &'a [String]) -> Vec<Method<'a>> {
    vec![
        ("serde_json in memory, into a `Vec`", Box::new(|| in_memory_all(lines))),
        ("serde_json in memory, one by one", Box::new(|| in_memory(lines))),
        ("ministore 0.1.7, `replay`", Box::new(|| original(path))),
        ("`replay`", Box::new(|| replay(path))),
        ("`replay_parallel`", Box::new(|| replay_parallel(path))),
        ("`records`", Box::new(|| records(path))),
        ("`lines`, parsed without copying", Box::new(|| borrowed(path))),
        ("serde_json in memory, without copying", Box::new(|| in_memory_borrowed(lines))),
        ("`lines`, not parsed", Box::new(|| unparsed(path, lines))),
    ]
}

fn in_memory_all(lines: &[String]) -> Result<Outcome, Error> {
    let mut flights = Vec::new();
    for line in lines {
        flights.push(serde_json::from_slice(line.as_bytes())?);
    }
    Ok(Outcome::All(flights))
}

fn in_memory(lines: &[String]) -> Result<Outcome, Error> {
    let mut sum = Sum::default();
    for line in lines {
        sum = sum.add(&serde_json::from_slice(line.as_bytes())?);
    }
    Ok(Outcome::Passed(sum))
}

fn original(path: &Path) -> Result<Outcome, Error> {
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(Outcome::All(runtime.block_on(ministore::MiniStore::replay(path))?))
}

fn replay(path: &Path) -> Result<Outcome, Error> {
    Ok(Outcome::All(pollster::block_on(MiniStore::replay(path))?))
}

fn replay_parallel(path: &Path) -> Result<Outcome, Error> {
    Ok(Outcome::All(pollster::block_on(Reader::open(path)?.replay_parallel())?))
}

fn records(path: &Path) -> Result<Outcome, Error> {
    let mut sum = Sum::default();
    for record in Reader::open(path)?.records() {
        sum = sum.add(&record?.value);
    }
    Ok(Outcome::Passed(sum))
}

fn borrowed(path: &Path) -> Result<Outcome, Error> {
    let mut sum = Sum::default();
    let mut lines = Reader::open(path)?.raw_records();
    while let Some(line) = lines.next_record()? {
        sum = sum.add_borrowed(&line.parse()?);
    }
    Ok(Outcome::Passed(sum))
}

fn in_memory_borrowed(lines: &[String]) -> Result<Outcome, Error> {
    let mut sum = Sum::default();
    for line in lines {
        sum = sum.add_borrowed(&serde_json::from_slice(line.as_bytes())?);
    }
    Ok(Outcome::Passed(sum))
}

/// How fast a journal is read and checked. What it gives is held against the lines by length.
fn unparsed(path: &Path, expected: &[String]) -> Result<Outcome, Error> {
    let (mut records, mut read) = (0, 0);
    let mut lines = Reader::open(path)?.raw_records();
    while let Some(line) = lines.next_record()? {
        records += 1;
        read += line.json.len();
    }
    assert_eq!((records, read), (expected.len(), bytes(expected)), "`lines` reads something else");
    Ok(Outcome::Unparsed)
}

fn table(readers: &[Method<'_>], count: usize, bytes: usize) -> Result<(), Error> {
    let mut seconds = vec![Vec::new(); readers.len()];
    let expected = readers[0].1()?.sum();
    for _ in 0..ROUNDS {
        for (reader, seconds) in readers.iter().zip(&mut seconds) {
            let started = Instant::now();
            let outcome = reader.1()?;
            seconds.push(started.elapsed().as_secs_f64());
            assert!(
                outcome.sum().is_none_or(|sum| Some(sum) == expected),
                "{} reads something else",
                reader.0
            );
        }
    }
    let medians: Vec<f64> = seconds.into_iter().map(median).collect();
    println!(
        "| | ms | records/s | MB/s | of serde_json into a `Vec` | of serde_json one by one | of ministore 0.1.7 |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for ((name, _), seconds) in readers.iter().zip(&medians) {
        let [vec, one, theirs] = [medians[0] / seconds, medians[1] / seconds, medians[2] / seconds];
        println!(
            "| {name} | {:.1} | {:.0} | {:.0} | {vec:.2} | {one:.2} | {theirs:.2} |",
            seconds * 1e3,
            count as f64 / seconds,
            bytes as f64 / seconds / 1e6,
        );
    }
    Ok(())
}

fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values[values.len() / 2]
}
