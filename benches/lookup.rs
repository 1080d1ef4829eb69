//! The cost of finding single records by their numbers in a journal of 100 segments. `cargo bench --bench lookup`.
//!
//! The records are those of the benchmark `read`, repeated. `records_from(seq)`, which has no index, alternates with
//! `get` on the same records, so that both run under the same load of the machine. Direct commits leave the page
//! cache empty: the first `get` in a segment reads from the disk, and later ones from the page cache.

#![expect(clippy::print_stdout, reason = "prints its results")]

mod support;

use std::{
    hint::black_box,
    iter,
    path::Path,
    thread,
    time::{Duration, Instant},
};

use fastrand::Rng;
use ministore_uring::{JournalOptions, MiniStore, Reader};
use serde_json::value::RawValue;
use support::flights::events;

const SEGMENTS: u64 = 100;
const SEGMENT_BYTES: u64 = 8 << 20;
/// Records per commit group.
const GROUPS: [usize; 2] = [1, 64];
const LOOKUPS: u64 = 200;

type Error = Box<dyn std::error::Error>;
type Raw = Box<RawValue>;

fn main() -> Result<(), Error> {
    let lines = events()?;
    let dir = tempfile::tempdir_in("target")?;
    for group in GROUPS {
        let path = dir.path().join(format!("groups-of-{group}.jsonl"));
        let (store, segments) = write_journal(&path, &lines, group)?;
        let records = store.durable_seq();
        println!(
            "\n{records} records in groups of {group}, {segments} segments of {} MiB\n",
            SEGMENT_BYTES >> 20
        );
        println!("| | median, µs | 99 %, µs |\n| --- | ---: | ---: |");
        let (index_bytes, lookups_per_second) = measure_lookups(&path, &store, records)?;
        println!(
            "\ncomplete index: {} KiB; {:.0} records per second on 4 threads",
            index_bytes >> 10,
            lookups_per_second
        );
        store.blocking().close()?;
        for file in std::fs::read_dir(dir.path())? {
            std::fs::remove_file(file?.path())?;
        }
    }
    Ok(())
}

/// Writes a journal of `SEGMENTS` segments, or of one if each group has one record, because each group is synced.
fn write_journal(path: &Path, lines: &[String], group: usize) -> Result<(MiniStore, u64), Error> {
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

/// Returns pseudo-random sequence numbers, the same ones each time.
fn pseudo_random_seqs(records: u64) -> impl Iterator<Item = u64> {
    let mut random = Rng::with_seed(1);
    iter::repeat_with(move || random.u64(1..=records))
}

/// Measures the lookups. Returns the memory of the index and the lookups per second.
fn measure_lookups(path: &Path, store: &MiniStore, records: u64) -> Result<(usize, f64), Error> {
    let seqs: Vec<u64> = pseudo_random_seqs(records).take(LOOKUPS as usize).collect();
    let cold = |seq| get(&Reader::open(path)?, seq);
    let scan_from = |seq| -> Result<(), Error> {
        black_box(Reader::open(path)?.records_from::<Raw>(seq).next().ok_or("record not found")??);
        Ok(())
    };
    let (mut cold_lookups, mut scans) = (Vec::new(), Vec::new());
    for &seq in &seqs[..40] {
        cold_lookups.push(timed(|| cold(seq))?);
        scans.push(timed(|| scan_from(seq))?);
    }
    print_row("`records_from(seq).next()`", scans);
    print_row("`get`, the first of a reader", cold_lookups);
    let reader = Reader::open(path)?;
    get(&reader, records)?;
    print_row("`get`, the first in its segment", time_each(&seqs[..20], |seq| get(&reader, seq))?);
    assert_eq!(reader.range::<Raw>(..).filter_map(Result::ok).count() as u64, records, "records are missing");
    print_row("`get`, anywhere", time_each(&seqs, |seq| get(&reader, seq))?);
    let consecutive: Vec<u64> = (0..LOOKUPS).map(|n| records / 2 + n).collect();
    print_row("`get`, the next one", time_each(&consecutive, |seq| get(&reader, seq))?);
    let range = |reader: &Reader, seq: u64| -> Result<(), Error> {
        let seq = seq.min(records - 1000);
        assert_eq!(
            reader.range::<Raw>(seq..seq + 1000).filter_map(Result::ok).count(),
            1000,
            "records are missing"
        );
        Ok(())
    };
    print_row("`range` of 1,000, anywhere", time_each(&seqs, |seq| range(&reader, seq))?);
    let async_get = |seq| -> Result<(), Error> {
        black_box(pollster::block_on(store.get::<Raw>(seq))?.ok_or("record not found")?);
        Ok(())
    };
    assert_eq!(store.blocking().range::<Raw>(..).filter_map(Result::ok).count() as u64, records);
    print_row("`store.get(..).await`, anywhere", time_each(&seqs, async_get)?);
    Ok((reader.index_bytes(), parallel_lookup_rate(&reader, records)))
}

fn get(reader: &Reader, seq: u64) -> Result<(), Error> {
    let record = reader.get::<Raw>(seq)?.ok_or("record not found")?;
    assert_eq!(record.seq, seq, "wrong record");
    Ok(())
}

fn timed(work: impl FnOnce() -> Result<(), Error>) -> Result<Duration, Error> {
    let started = Instant::now();
    work()?;
    Ok(started.elapsed())
}

fn time_each(seqs: &[u64], work: impl Fn(u64) -> Result<(), Error>) -> Result<Vec<Duration>, Error> {
    seqs.iter().map(|&seq| timed(|| work(seq))).collect()
}

fn print_row(what: &str, mut took: Vec<Duration>) {
    took.sort();
    let micros = |at: usize| took[at].as_secs_f64() * 1e6;
    println!("| {what} | {:.1} | {:.1} |", micros(took.len() / 2), micros(took.len() * 99 / 100));
}

/// Returns the lookups per second of four threads.
fn parallel_lookup_rate(reader: &Reader, records: u64) -> f64 {
    const LOOKUPS_PER_THREAD: usize = 5000;
    let started = Instant::now();
    thread::scope(|scope| {
        for thread in 0..4 {
            scope.spawn(move || {
                let found = pseudo_random_seqs(records)
                    .skip(thread * LOOKUPS_PER_THREAD)
                    .take(LOOKUPS_PER_THREAD)
                    .filter(|&seq| get(reader, seq).is_ok());
                assert_eq!(found.count(), LOOKUPS_PER_THREAD, "records are missing");
            });
        }
    });
    (4 * LOOKUPS_PER_THREAD) as f64 / started.elapsed().as_secs_f64()
}
