//! So many bytes through a small queue: what the process holds of memory depends on the limits set, not on what passes.

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

use crate::args::Pass;

const SEGMENT_BYTES: u64 = 64 << 20;

/// As little as lets a rotation and the retention behind it be seen.
const SEGMENTS: usize = 3;

const GROUP_BYTES: u64 = 1 << 20;

const CALLERS: u64 = 4;

/// Handed over and not awaited, by one caller: together more than the queue has room for.
const IN_FLIGHT_MAX: usize = 2000;

/// Bytes of text in a record, in turn. None is larger than the smallest queue.
const RECORD_BYTES: [usize; 8] = [100, 300, 300, 300, 1000, 4000, 16_000, 60_000];

/// Records in a batch.
const BATCH: usize = 20;

/// What the process may take beside its queue and its groups: stacks, the ring, padding that is written a MiB at a
/// time, the commit buffer's 4 MiB, what the allocator cannot give back, and what callers hold.
const REST_BYTES: u64 = 16 << 20;

/// Panics where more memory was used than the limits allow.
pub(crate) fn run(pass: &Pass) {
    let dir = tempfile::Builder::new().prefix("ministore-soak").tempdir_in(&pass.dir).unwrap();
    let path = dir.path().join("journal.jsonl");
    let before = high_water_bytes();
    // A group is held by the queue and by the commit buffer, which doubles when it grows; and an allocator leaves gaps.
    let limit = before + pass.queue_bytes + pass.queue_bytes / 4 + 2 * GROUP_BYTES + REST_BYTES;
    let options = JournalOptions::new()
        .backend(pass.backend)
        .max_segment_bytes(SEGMENT_BYTES)
        .max_segments(SEGMENTS)
        .max_group_bytes(GROUP_BYTES)
        .max_queue_bytes(pass.queue_bytes);
    let store = options.open_blocking(&path).unwrap();
    let started = Instant::now();
    let passed = AtomicU64::new(0);
    // Warm: a hundredth, or what fills the queue some times over.
    let warm_at = (pass.bytes / 100).max(8 * pass.queue_bytes);
    let warm = AtomicU64::new(0);
    thread::scope(|scope| {
        for caller in 0..CALLERS {
            let (store, passed, warm) = (&store, &passed, &warm);
            scope.spawn(move || {
                let note = |bytes| {
                    let total = passed.fetch_add(bytes, Ordering::Relaxed) + bytes;
                    if total >= warm_at && warm.load(Ordering::Relaxed) == 0 {
                        warm.store(high_water_bytes(), Ordering::Relaxed);
                    }
                    total < pass.bytes
                };
                appends(store, caller, note);
            });
        }
    });
    let seconds = started.elapsed().as_secs_f64();
    let stats = store.stats();
    let on_disk = disk_bytes(dir.path());
    store.blocking().close().unwrap();
    let (passed, warm, most) = (passed.into_inner(), warm.into_inner(), high_water_bytes());
    let mib = |bytes: u64| bytes as f64 / f64::from(1 << 20);
    println!(
        "{:?}, {:.0} MiB in {} records, {} groups and {} rotations in {seconds:.1} s through a queue of {:.0} MiB: \
         resident {:.1} MiB before opening, {:.1} at most once warm, {:.1} at most in the end, {:.1} allowed; \
         {:.0} MiB on the disk",
        stats.backend,
        mib(passed),
        stats.records,
        stats.groups,
        stats.rotations,
        mib(pass.queue_bytes),
        mib(before),
        mib(warm),
        mib(most),
        mib(limit),
        mib(on_disk)
    );
    assert!(stats.bytes >= pass.bytes, "it did not pass: {} of {} bytes", stats.bytes, pass.bytes);
    assert!(stats.rotations >= pass.bytes / SEGMENT_BYTES / 2, "segments were not rotated: {stats:?}");
    assert!(most <= limit, "{most} bytes were resident, and {limit} are allowed");
    let segments = (SEGMENTS as u64 + 2) * (SEGMENT_BYTES + SEGMENT_BYTES / 4);
    assert!(on_disk <= segments, "{on_disk} bytes are on the disk: old segments were not deleted");
    println!("memory is bounded");
}

/// Appends in every way until told to stop, many of them in flight.
fn appends(store: &MiniStore, caller: u64, note: impl Fn(u64) -> bool) {
    let text = "x".repeat(RECORD_BYTES[RECORD_BYTES.len() - 1]);
    let line = |bytes: usize| Bytes::from(["\"", &text[..bytes], "\""].concat());
    let mut pending: VecDeque<PendingAppend> = VecDeque::new();
    let blocking = store.blocking();
    for turn in caller as usize.. {
        let bytes = RECORD_BYTES[turn % RECORD_BYTES.len()];
        let accepted = match turn / RECORD_BYTES.len() % 3 {
            0 => blocking.submit(&text[..bytes]).unwrap(),
            1 => blocking.send(Append::json(line(bytes)).unwrap()).unwrap(),
            _ => blocking.send(Append::batch((0..BATCH).map(|_| &text[..bytes / BATCH])).unwrap()).unwrap(),
        };
        pending.push_back(accepted);
        if pending.len() >= IN_FLIGHT_MAX {
            for accepted in pending.drain(..IN_FLIGHT_MAX / 2) {
                accepted.wait().unwrap();
            }
        }
        if !note(bytes as u64) {
            break;
        }
    }
    for accepted in pending {
        accepted.wait().unwrap();
    }
}

/// The most that was ever resident.
fn high_water_bytes() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() << 10
}

fn disk_bytes(dir: &Path) -> u64 {
    fs::read_dir(dir).unwrap().filter_map(|entry| Some(entry.ok()?.metadata().ok()?.len())).sum()
}
