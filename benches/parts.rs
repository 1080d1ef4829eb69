//! The parts of a commit and of reading, one by one. `cargo bench --features unstable-internals --bench parts`.
//!
//! The events are those of `benches/read.rs`: from the file that `MINISTORE_EVENTS` names, or generated. The
//! measurements do not alternate, so compare rates with `benches/read.rs` instead.

#![expect(clippy::unwrap_used, reason = "a benchmark")]

mod support;

use std::{fs, hint::black_box, path::Path};

use bytes::Bytes;
use criterion::{BenchmarkId, Criterion, Throughput, criterion_group, criterion_main};
use ministore_uring::{JournalOptions, MiniStore, Reader, internals::bench};
use serde_json::value::RawValue;
use support::flights::{Flight, events};
use tempfile::TempDir;

/// The number of events that are read: more than fit into a CPU cache.
const EVENTS: usize = 50_000;
/// Records per commit group: one caller, several callers, a bulk load.
const GROUPS: [usize; 3] = [1, 64, 3000];

fn encode(c: &mut Criterion) {
    let line = events().unwrap().swap_remove(0);
    let flight: Flight = serde_json::from_str(&line).unwrap();
    let mut group = c.benchmark_group("encode");
    group.throughput(Throughput::Bytes(line.len() as u64));
    group.bench_function("a struct", |b| b.iter(|| bench::to_line(black_box(&flight)).unwrap()));
    let line = Bytes::from(line);
    group.bench_function("ready-made JSON", |b| b.iter(|| bench::validate_line(black_box(&line)).unwrap()));
}

fn seal(c: &mut Criterion) {
    let mut group = c.benchmark_group("seal");
    group.bench_function("encode", |b| b.iter(|| bench::encode_seal(black_box(0x5321_4414))));
    let seal = bench::encode_seal(0x5321_4414);
    group.bench_function("decode", |b| b.iter(|| bench::decode_seal(black_box(&seal)).unwrap()));
    for len in [100, 300, 4 << 10, 64 << 10, 1 << 20] {
        let lines = vec![b'x'; len];
        group.throughput(Throughput::Bytes(len as u64));
        group.bench_function(BenchmarkId::new("checksum", len), |b| {
            b.iter(|| bench::seal_of(black_box(&lines)));
        });
    }
}

fn statistics(c: &mut Criterion) {
    let statistics = bench::StatsCounters::new().unwrap();
    let mut group = c.benchmark_group("statistics");
    group.bench_function("count a group", |b| b.iter(|| statistics.group(black_box(256), black_box(76_800))));
    group.bench_function("read", |b| b.iter(|| statistics.read()));
    #[cfg(feature = "metrics")]
    group.bench_function("count a group, with a recorder of metrics", |b| {
        let recorder = metrics_exporter_prometheus::PrometheusBuilder::new().build_recorder();
        let statistics = metrics::with_local_recorder(&recorder, bench::StatsCounters::new).unwrap();
        let (scraped, mut groups) = (recorder.handle(), 0_u64);
        b.iter(|| {
            statistics.group(black_box(256), black_box(76_800));
            groups += 1;
            // Scrape periodically; otherwise the exporter stores every single value.
            if groups.is_multiple_of(4096) {
                black_box(scraped.render());
            }
        });
    });
}

fn group_encoding(c: &mut Criterion) {
    let events = events().unwrap();
    let mut group = c.benchmark_group("group encoding");
    for count in GROUPS {
        let lines: Vec<&[u8]> = events[..count].iter().map(|line| line.as_bytes()).collect();
        let mut encoder = bench::GroupEncoder::default();
        group.throughput(Throughput::Bytes(lines.iter().map(|line| line.len() as u64).sum()));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| encoder.group(black_box(&lines)));
        });
    }
}

/// Writes a journal of one segment with `group` records per commit group.
fn write_journal(lines: &[String], group: usize) -> TempDir {
    let dir = tempfile::tempdir_in("target").unwrap();
    let store = JournalOptions::new().open_blocking(dir.path().join("journal")).unwrap();
    for lines in lines.chunks(group) {
        let lines = lines.iter().map(|line| serde_json::from_str::<&RawValue>(line).unwrap());
        store.blocking().append_batch(lines).unwrap();
    }
    store.blocking().close().unwrap();
    dir
}

fn scan(c: &mut Criterion) {
    let mut events = events().unwrap();
    events.truncate(EVENTS);
    let mut group = c.benchmark_group("scan in memory");
    for count in GROUPS {
        // Single commits take long to write.
        let lines = &events[..if count == 1 { 5_000.min(events.len()) } else { events.len() }];
        let segment = fs::read(write_journal(lines, count).path().join("journal")).unwrap();
        group.throughput(Throughput::Bytes(segment.len() as u64));
        group.bench_function(BenchmarkId::from_parameter(count), |b| {
            b.iter(|| assert_eq!(bench::scan_to_end(black_box(&segment)), Some(lines.len() as u64)));
        });
    }
}

fn read(c: &mut Criterion) {
    let mut events = events().unwrap();
    events.truncate(EVENTS);
    let dir = write_journal(&events, 64);
    let path = dir.path().join("journal");
    let mut group = c.benchmark_group("read");
    group.sample_size(20);
    group.throughput(Throughput::Bytes(events.iter().map(|line| line.len() as u64).sum()));
    group.bench_function("lines, not parsed", |b| b.iter(|| count_lines(&path)));
    group.bench_function("records", |b| {
        b.iter(|| Reader::open(&path).unwrap().records::<Flight>().map(Result::unwrap).count())
    });
    group.bench_function("records, of serde_json::Value", |b| {
        b.iter(|| Reader::open(&path).unwrap().records::<serde_json::Value>().map(Result::unwrap).count());
    });
    group.bench_function("serde_json in memory, one by one", |b| {
        let parse = |line: &String| serde_json::from_slice::<Flight>(line.as_bytes()).unwrap();
        b.iter(|| events.iter().map(parse).map(black_box).count());
    });
    group.bench_function("serde_json::Value in memory, one by one", |b| {
        let parse = |line: &String| serde_json::from_slice::<serde_json::Value>(line.as_bytes()).unwrap();
        b.iter(|| events.iter().map(parse).map(black_box).count());
    });
    // The results are dropped outside of the measured time.
    group.bench_function("serde_json in memory, into a Vec", |b| {
        let parse = |line: &String| serde_json::from_slice(line.as_bytes()).unwrap();
        b.iter_with_large_drop(|| events.iter().map(parse).collect::<Vec<Flight>>());
    });
    group.bench_function("replay", |b| {
        b.iter_with_large_drop(|| pollster::block_on(MiniStore::replay::<Flight, _>(&path)).unwrap());
    });
    group.bench_function("replay_parallel", |b| {
        b.iter_with_large_drop(|| {
            pollster::block_on(Reader::open(&path).unwrap().replay_parallel::<Flight>()).unwrap()
        });
    });
    let runtime = tokio::runtime::Runtime::new().unwrap();
    group.bench_function("ministore 0.1.7, replay", |b| {
        b.iter_with_large_drop(|| {
            runtime.block_on(ministore::MiniStore::replay::<Flight, _>(&path)).unwrap()
        });
    });
}

fn count_lines(path: &Path) -> usize {
    let mut lines = Reader::open(path).unwrap().raw_records();
    let mut count = 0;
    while lines.next_record().unwrap().is_some() {
        count += 1;
    }
    count
}

criterion_group!(components, encode, seal, statistics, group_encoding, scan, read);
criterion_main!(components);
