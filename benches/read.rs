//! Events read per second: this crate and `ministore` 0.1.7 on the same journal, alternating in one run, and
//! `serde_json` on the same lines in memory. `cargo bench --bench read`.
//!
//! The events are lines of JSON: flights of the data set `nycflights13` from the file that `MINISTORE_EVENTS` names,
//! or generated ones. The methods alternate, so that all run under the same load of the machine. The results are
//! medians over the rounds.

#![expect(clippy::print_stdout, reason = "prints its results")]

mod support;

use std::{path::Path, time::Instant};

use ministore_uring::{MiniStore, Reader};
use support::flights::{Flight, FlightRef, events};

const ROUNDS: usize = 7;
/// Records per commit group: one caller, several callers, a bulk load.
const GROUPS: [usize; 3] = [1, 64, 3000];
/// A journal of single commits takes long to write.
const MAX_SINGLE_COMMITS: usize = 20_000;

type Error = Box<dyn std::error::Error>;

/// One way to read all events.
type Method<'a> = (&'static str, Box<dyn Fn() -> Result<ReadResult, Error> + 'a>);

/// The records that a method returned.
enum ReadResult {
    All(Vec<Flight>),
    /// Records were read one by one and dropped.
    Streamed(Sum),
    /// The method compared the records itself.
    Unparsed,
}

/// The number of records and a sum over a field, which shows that all were read.
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

impl ReadResult {
    fn sum(&self) -> Option<Sum> {
        match self {
            Self::All(flights) => Some(flights.iter().fold(Sum::default(), Sum::add)),
            Self::Streamed(sum) => Some(*sum),
            Self::Unparsed => None,
        }
    }
}

fn main() -> Result<(), Error> {
    let lines = events()?;
    let dir = tempfile::tempdir_in("target")?;
    for group in GROUPS {
        let count = if group == 1 { MAX_SINGLE_COMMITS.min(lines.len()) } else { lines.len() };
        let lines = &lines[..count];
        let path = dir.path().join(format!("groups-of-{group}.jsonl"));
        write_journal(&path, lines, group)?;
        println!("\n{count} records of {} bytes, {group} a commit group\n", bytes(lines) / count);
        print_table(&methods(&path, lines), count, bytes(lines))?;
    }
    Ok(())
}

/// Writes a journal of these lines with `group` records per commit.
fn write_journal(path: &Path, lines: &[String], group: usize) -> Result<(), Error> {
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

fn methods<'a>(path: &'a Path, lines: &'a [String]) -> Vec<Method<'a>> {
    vec![
        ("serde_json in memory, into a `Vec`", Box::new(|| in_memory_all(lines))),
        ("serde_json in memory, one by one", Box::new(|| in_memory(lines))),
        ("ministore 0.1.7, `replay`", Box::new(|| ministore_replay(path))),
        ("`replay`", Box::new(|| replay(path))),
        ("`replay_parallel`", Box::new(|| replay_parallel(path))),
        ("`records`", Box::new(|| records(path))),
        ("`raw_records`, parsed without copying", Box::new(|| raw_records_borrowed(path))),
        ("serde_json in memory, without copying", Box::new(|| in_memory_borrowed(lines))),
        ("`raw_records`, not parsed", Box::new(|| raw_records_unparsed(path, lines))),
    ]
}

fn in_memory_all(lines: &[String]) -> Result<ReadResult, Error> {
    let mut flights = Vec::new();
    for line in lines {
        flights.push(serde_json::from_slice(line.as_bytes())?);
    }
    Ok(ReadResult::All(flights))
}

fn in_memory(lines: &[String]) -> Result<ReadResult, Error> {
    let mut sum = Sum::default();
    for line in lines {
        sum = sum.add(&serde_json::from_slice(line.as_bytes())?);
    }
    Ok(ReadResult::Streamed(sum))
}

fn ministore_replay(path: &Path) -> Result<ReadResult, Error> {
    let runtime = tokio::runtime::Runtime::new()?;
    Ok(ReadResult::All(runtime.block_on(ministore::MiniStore::replay(path))?))
}

fn replay(path: &Path) -> Result<ReadResult, Error> {
    Ok(ReadResult::All(pollster::block_on(MiniStore::replay(path))?))
}

fn replay_parallel(path: &Path) -> Result<ReadResult, Error> {
    Ok(ReadResult::All(pollster::block_on(Reader::open(path)?.replay_parallel())?))
}

fn records(path: &Path) -> Result<ReadResult, Error> {
    let mut sum = Sum::default();
    for record in Reader::open(path)?.records() {
        sum = sum.add(&record?.value);
    }
    Ok(ReadResult::Streamed(sum))
}

fn raw_records_borrowed(path: &Path) -> Result<ReadResult, Error> {
    let mut sum = Sum::default();
    let mut lines = Reader::open(path)?.raw_records();
    while let Some(line) = lines.next_record()? {
        sum = sum.add_borrowed(&line.parse()?);
    }
    Ok(ReadResult::Streamed(sum))
}

fn in_memory_borrowed(lines: &[String]) -> Result<ReadResult, Error> {
    let mut sum = Sum::default();
    for line in lines {
        sum = sum.add_borrowed(&serde_json::from_slice(line.as_bytes())?);
    }
    Ok(ReadResult::Streamed(sum))
}

/// Reads and checks a journal without parsing, and compares the number and length of the lines.
fn raw_records_unparsed(path: &Path, expected: &[String]) -> Result<ReadResult, Error> {
    let (mut records, mut read) = (0, 0);
    let mut lines = Reader::open(path)?.raw_records();
    while let Some(line) = lines.next_record()? {
        records += 1;
        read += line.json.len();
    }
    assert_eq!((records, read), (expected.len(), bytes(expected)), "`raw_records` reads other records");
    Ok(ReadResult::Unparsed)
}

fn print_table(methods: &[Method<'_>], count: usize, bytes: usize) -> Result<(), Error> {
    let mut seconds = vec![Vec::new(); methods.len()];
    let expected = methods[0].1()?.sum();
    for _ in 0..ROUNDS {
        for (method, seconds) in methods.iter().zip(&mut seconds) {
            let started = Instant::now();
            let result = method.1()?;
            seconds.push(started.elapsed().as_secs_f64());
            assert!(result.sum().is_none_or(|sum| Some(sum) == expected), "{} reads other records", method.0);
        }
    }
    let medians: Vec<f64> = seconds.into_iter().map(median).collect();
    println!(
        "| | ms | records/s | MB/s | of serde_json into a `Vec` | of serde_json one by one | of ministore 0.1.7 |"
    );
    println!("| --- | ---: | ---: | ---: | ---: | ---: | ---: |");
    for ((name, _), seconds) in methods.iter().zip(&medians) {
        let [into_vec, streamed, ministore] =
            [medians[0] / seconds, medians[1] / seconds, medians[2] / seconds];
        println!(
            "| {name} | {:.1} | {:.0} | {:.0} | {into_vec:.2} | {streamed:.2} | {ministore:.2} |",
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
