//! Appends many bytes through a small queue and checks that memory depends on the configured limits, not on the bytes
//! appended.

use std::{
    collections::VecDeque,
    fs,
    path::Path,
    sync::atomic::{AtomicU64, Ordering},
    thread,
    time::Instant,
};

use bytes::Bytes;
use ministore_uring::{Append, JournalOptions, MiniStore, PendingAppend};

use crate::args::SoakArgs;

const SEGMENT_BYTES: u64 = 64 << 20;

/// The smallest number that still shows rotations and the retention after them.
const MAX_SEGMENTS: usize = 3;

const GROUP_BYTES: u64 = 1 << 20;

const CLIENTS: u64 = 4;

/// Maximum number of appends that one client has not awaited. All clients together exceed the queue.
const MAX_IN_FLIGHT: usize = 2000;

/// Sizes of the records, used in round. None is larger than the smallest queue.
const RECORD_BYTES: [usize; 8] = [100, 300, 300, 300, 1000, 4000, 16_000, 60_000];

/// Records of one batch.
const BATCH_LEN: usize = 20;

/// Memory allowed in addition to the queue and the groups: stacks, the ring, padding written 1 MiB at a time, the 4 MiB
/// commit buffer, memory the allocator cannot return, and the records of the clients.
const OVERHEAD_BYTES: u64 = 16 << 20;

/// The bytes appended, and the resident memory after warm-up.
#[derive(Debug, Default)]
struct Throughput {
    appended_bytes: AtomicU64,
    warm_bytes: AtomicU64,
}

/// Runs the test. Panics if the process used more memory than the limits allow.
pub(crate) fn run(args: &SoakArgs, target_bytes: u64) {
    let queue_bytes = args.queue << 20;
    let dir = tempfile::Builder::new().prefix("ministore-soak").tempdir_in(&args.dir).unwrap();
    let path = dir.path().join("journal.jsonl");
    let before = max_resident_bytes();
    // The queue and the commit buffer each hold a group, the buffer doubles when it grows, and the allocator leaves
    // gaps.
    let limit = before + queue_bytes + queue_bytes / 4 + 2 * GROUP_BYTES + OVERHEAD_BYTES;
    let options = JournalOptions::new()
        .backend(args.backend)
        .max_segment_bytes(SEGMENT_BYTES)
        .max_segments(MAX_SEGMENTS)
        .max_group_bytes(GROUP_BYTES)
        .max_queue_bytes(queue_bytes);
    let store = options.open_blocking(&path).unwrap();
    let started = Instant::now();
    let throughput = Throughput::default();
    // Warm-up ends after one percent of the bytes, and after the queue was filled several times.
    let warm_at = (target_bytes / 100).max(8 * queue_bytes);
    thread::scope(|scope| {
        for client in 0..CLIENTS {
            let (store, throughput) = (&store, &throughput);
            scope.spawn(move || {
                let add_bytes = |bytes| {
                    let Throughput { appended_bytes, warm_bytes } = throughput;
                    let total = appended_bytes.fetch_add(bytes, Ordering::Relaxed) + bytes;
                    if total >= warm_at && warm_bytes.load(Ordering::Relaxed) == 0 {
                        warm_bytes.store(max_resident_bytes(), Ordering::Relaxed);
                    }
                    total < target_bytes
                };
                append_until(store, client, add_bytes);
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let stats = store.stats();
    let on_disk = disk_bytes(dir.path());
    store.blocking().close().unwrap();
    let Throughput { appended_bytes, warm_bytes } = throughput;
    let (appended, warm, max_resident) =
        (appended_bytes.into_inner(), warm_bytes.into_inner(), max_resident_bytes());
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{:?}, {:.0} MiB in {} records, {} groups and {} rotations in {seconds:.1} s through a queue of {:.0} MiB: \
         resident {:.1} MiB before opening, {:.1} at most after warm-up, {:.1} at most in the end, {:.1} allowed; \
         {:.0} MiB on disk",
        stats.backend,
        mib(appended),
        stats.records,
        stats.groups,
        stats.rotations,
        mib(queue_bytes),
        mib(before),
        mib(warm),
        mib(max_resident),
        mib(limit),
        mib(on_disk)
    );
    assert!(stats.bytes >= target_bytes, "only {} of {target_bytes} bytes were appended", stats.bytes);
    assert!(stats.rotations >= target_bytes / SEGMENT_BYTES / 2, "segments were not rotated: {stats:?}");
    assert!(max_resident <= limit, "{max_resident} bytes were resident, and {limit} are allowed");
    let max_on_disk = (MAX_SEGMENTS as u64 + 2) * (SEGMENT_BYTES + SEGMENT_BYTES / 4);
    assert!(on_disk <= max_on_disk, "{on_disk} bytes are on disk: old segments were not deleted");
    println!("memory is bounded");
}

/// Appends single records, raw JSON and batches, pipelined, until `add_bytes` returns `false`.
fn append_until(store: &MiniStore, client: u64, add_bytes: impl Fn(u64) -> bool) {
    let text = "x".repeat(RECORD_BYTES[RECORD_BYTES.len() - 1]);
    let line = |bytes: usize| Bytes::from(["\"", &text[..bytes], "\""].concat());
    let mut pending: VecDeque<PendingAppend> = VecDeque::new();
    let blocking = store.blocking();
    for round in client as usize.. {
        let bytes = RECORD_BYTES[round % RECORD_BYTES.len()];
        let append = match round / RECORD_BYTES.len() % 3 {
            0 => blocking.submit(&text[..bytes]).unwrap(),
            1 => blocking.send(Append::json(line(bytes)).unwrap()).unwrap(),
            _ => blocking
                .send(Append::batch((0..BATCH_LEN).map(|_| &text[..bytes / BATCH_LEN])).unwrap())
                .unwrap(),
        };
        pending.push_back(append);
        if pending.len() >= MAX_IN_FLIGHT {
            for append in pending.drain(..MAX_IN_FLIGHT / 2) {
                append.wait().unwrap();
            }
        }
        if !add_bytes(bytes as u64) {
            break;
        }
    }
    for append in pending {
        append.wait().unwrap();
    }
}

/// Returns the maximum resident memory since the start of the process.
fn max_resident_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn disk_bytes(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}
