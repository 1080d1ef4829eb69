//! What it costs to find single records by their numbers, in a journal of 100 segments. `cargo bench --bench lookup`.
//!
//! The events are those of the benchmark `read`, over and over. `records_from(seq)`, which has no index, is asked for the
//! same records in turn, so that both see the same mood of the machine. Direct commits leave the page cache empty: the
//! first look at a segment, that of `get`, reads the disk, too. Every later one finds it in the page cache.

#![expect(clippy::print_stdout, reason = "what it prints is what it is for")]

mod support;

use std::{
    hint::black_box,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use ministore_uring::{JournalOptions, MiniStore, Reader};
use serde_json::value::RawValue;
use support::flights::events;

const SEGMENTS: u64 = 100;
const SEGMENT_BYTES: u64 = 8 << 20;
/// Records a commit group.
const GROUPS: [usize; 2] = [1, 64];
const ROUNDS: u64 = 200;

type Error = Box<dyn std::error::Error>;
type Raw = Box<RawValue>;

fn main() -> Result<(), Error> {
    let lines = events()?;
    let dir = tempfile::tempdir_in("target")?;
    for group in GROUPS {
        let path = dir.path().join(format!("groups-of-{group}.jsonl"));
        let (store, segments) = write(&path, &lines, group)?;
        let records = store.durable_seq();
        println!(
            "\n{records} records in groups of {group}, {segments} segments of {} MiB\n",
            SEGMENT_BYTES >> 20
        );
        println!("| | median, µs | 99 %, µs |\n| --- | ---: | ---: |");
        let found = measure(&path, &store, records)?;
        println!("\nindex of all of it: {} KiB; {:.0} records a second on 4 threads", found.0 >> 10, found.1);
        store.blocking().close()?;
        for file in std::fs::read_dir(dir.path())? {
            std::fs::remove_file(file?.path())?;
        }
    }
    Ok(())
}

/// A journal of enough segments; of one only where groups are of one record, which take a sync each.
fn write(path: &Path, lines: &[String], group: usize) -> Result<(MiniStore, u64), Error> {
    let segments = if group == 1 { 1 } else { SEGMENTS };
    let store = JournalOptions::new().max_segment_bytes(SEGMENT_BYTES).open_blocking(path)?;
    let mut lines = lines.iter().cycle();
    let mut written = 0;
    while written < segments * SEGMENT_BYTES {
        let batch: Vec<&String> = lines.by_ref().take(group).collect();
        written += batch.iter().map(|line| line.len() as u64 + 1).sum::<u64>();
        let values: Result<Vec<&RawValue>, _> = batch.iter().map(|line| serde_json::from_str(line)).collect();
        store.blocking().append_batch(values?)?;
    }
    Ok((store, segments))
}

/// Some number after another, the same ones each time.
fn scattered(records: u64) -> impl Iterator<Item = u64> {
    (1..).map(move |n: u64| n.wrapping_mul(6_364_136_223_846_793_005).rotate_left(29) % records + 1)
}

/// The memory of the index, and records a second.
fn measure(path: &Path, store: &MiniStore, records: u64) -> Result<(usize, f64), Error> {
    let seqs: Vec<u64> = scattered(records).take(ROUNDS as usize).collect();
    let cold = |seq| get(&Reader::open(path)?, seq);
    let without = |seq| -> Result<(), Error> {
        black_box(Reader::open(path)?.records_from::<Raw>(seq).next().ok_or("no such record")??);
        Ok(())
    };
    let (mut first, mut scans) = (Vec::new(), Vec::new());
    for &seq in &seqs[..40] {
        first.push(timed(|| cold(seq))?);
        scans.push(timed(|| without(seq))?);
    }
    row("`records_from(seq).next()`", scans);
    row("`get`, the first of a reader", first);
    let reader = Reader::open(path)?;
    get(&reader, records)?;
    row("`get`, the first in its segment", each(&seqs[..20], |seq| get(&reader, seq))?);
    assert_eq!(reader.range::<Raw>(..).filter_map(Result::ok).count() as u64, records, "records are missing");
    row("`get`, anywhere", each(&seqs, |seq| get(&reader, seq))?);
    let near: Vec<u64> = (0..ROUNDS).map(|n| records / 2 + n).collect();
    row("`get`, the next one", each(&near, |seq| get(&reader, seq))?);
    let range = |reader: &Reader, seq: u64| -> Result<(), Error> {
        let seq = seq.min(records - 1000);
        assert_eq!(
            reader.range::<Raw>(seq..seq + 1000).filter_map(Result::ok).count(),
            1000,
            "records are missing"
        );
        Ok(())
    };
    row("`range` of 1,000, anywhere", each(&seqs, |seq| range(&reader, seq))?);
    let awaited = |seq| -> Result<(), Error> {
        black_box(pollster::block_on(store.get::<Raw>(seq))?.ok_or("no such record")?);
        Ok(())
    };
    assert_eq!(store.blocking().range::<Raw>(..).filter_map(Result::ok).count() as u64, records);
    row("`store.get(..).await`, anywhere", each(&seqs, awaited)?);
    Ok((reader.index_bytes(), rate(&reader, records)))
}

fn get(reader: &Reader, seq: u64) -> Result<(), Error> {
    let record = reader.get::<Raw>(seq)?.ok_or("no such record")?;
    assert_eq!(record.seq, seq, "another record");
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<(), Error>) -> Result<Duration, Error> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

fn each(seqs: &[u64], work: impl Fn(u64) -> Result<(), Error>) -> Result<Vec<Duration>, Error> {
    seqs.iter().map(|&seq| timed(|| work(seq))).collect()
}

fn row(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let micros = |at: usize| took[at].as_secs_f64() * 1e6;
    println!("| {what} | {:.1} | {:.1} |", micros(took.len() / 2), micros(took.len() * 99 / 100));
}

/// Records a second on four threads.
fn rate(reader: &Reader, records: u64) -> f64 {
    const EACH: usize = 5000;
    let started = Instant::now();
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let found =
                    scattered(records).skip(thread * EACH).take(EACH).filter(|&seq| get(reader, seq).is_ok());
                assert_eq!(found.count(), EACH, "records are missing");
            });
        }
    });
    (4 * EACH) as f64 / started.elapsed().as_secs_f64()
}
