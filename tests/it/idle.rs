//! While nothing is appended the engine's threads do nothing at all.
//!
//! Nothing is ordered by the pauses here: they are how long the threads are watched, and a longer watch could only find
//! more. What is asserted is that nothing changed, not how long something took.

use std::{fs, thread, time::Duration};

use ministore_uring::{Backend, JournalOptions, MiniStore};

use crate::support::{Journal, child, child_args, on_each_backend};

/// How long the threads are watched at a time.
const WATCH: Duration = Duration::from_millis(300);

/// A thread that lets go of the processor bit by bit, or padding that is still being written, has this many watches to
/// come to rest in.
const WATCHES_MAX: usize = 40;

/// Watches in which nothing may happen any more, once it did not in one.
const WATCHES_AT_REST: usize = 3;

/// What a thread has used of the processor.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Used {
    thread: String,
    name: String,
    /// Clock ticks, in its own code and in the kernel.
    ticks: [u64; 2],
    /// How often it gave up the processor, or lost it: a thread that runs, however briefly, does one or the other.
    switches: [u64; 2],
}

/// All threads of this process that the engine started, or the kernel for it.
fn engine_threads() -> Vec<Used> {
    let read = |thread: &fs::DirEntry, file: &str| fs::read_to_string(thread.path().join(file)).unwrap();
    let mut found = Vec::new();
    for thread in fs::read_dir("/proc/self/task").unwrap().map(|entry| entry.unwrap()) {
        let name = read(&thread, "comm").trim_end().to_owned();
        if name.starts_with("ministore-") || name.starts_with("iou-") {
            let (stat, status) = (read(&thread, "stat"), read(&thread, "status"));
            // proc_pid_stat(5): the name, in parentheses, is the second field; utime and stime are the 14th and 15th.
            let fields: Vec<_> = stat.rsplit_once(')').unwrap().1.split_whitespace().collect();
            let switches = ["voluntary_ctxt_switches:", "nonvoluntary_ctxt_switches:"].map(|what| {
                let line = status.lines().find(|line| line.starts_with(what)).unwrap();
                line[what.len()..].trim().parse().unwrap()
            });
            found.push(Used {
                thread: thread.file_name().into_string().unwrap(),
                name,
                ticks: [fields[11].parse().unwrap(), fields[12].parse().unwrap()],
                switches,
            });
        }
    }
    found.sort_by(|one, other| one.thread.cmp(&other.thread));
    found
}

/// Before and after a watch.
fn watch() -> [Vec<Used>; 2] {
    let before = engine_threads();
    thread::sleep(WATCH);
    [before, engine_threads()]
}

fn comes_to_rest(after: &str) {
    let found = (0..WATCHES_MAX).map(|_| watch()).find(|[before, later]| before == later);
    let [at_rest, _] = found.unwrap_or_else(|| panic!("after {after}: never at rest, last {:#?}", watch()));
    for name in ["ministore-write", "ministore-bg"] {
        assert!(at_rest.iter().any(|thread| thread.name == name), "{name} is watched: {at_rest:#?}");
    }
    for _ in 0..WATCHES_AT_REST {
        assert_eq!(watch()[1], at_rest, "after {after}: once at rest, it stays so");
    }
}

/// Many callers at once, through a rotation or two.
fn load(store: &MiniStore) {
    thread::scope(|scope| {
        for caller in 0..8_u32 {
            scope.spawn(move || {
                let blocking = store.blocking();
                let pending: Vec<_> =
                    (0..500).map(|nth| blocking.submit(&(caller, nth, "x".repeat(200))).unwrap()).collect();
                for answer in pending {
                    answer.wait().unwrap();
                }
                (0..20).for_each(|nth| blocking.append(&(caller, nth)).unwrap());
            });
        }
    });
}

/// In a process of its own, where no other test's threads are.
fn watched(backend: &str, path: &str) {
    let backend = if backend == "Uring" { Backend::Uring } else { Backend::Blocking };
    let options = JournalOptions::new().backend(backend).max_segment_bytes(256 << 10);
    let store = options.open_blocking(path).unwrap();
    comes_to_rest("opening");
    load(&store);
    assert!(store.stats().rotations > 0);
    comes_to_rest("load");
    store.blocking().append(&1).unwrap();
    comes_to_rest("one append");
    store.blocking().close().unwrap();
}

#[test]
fn idle_store_uses_no_cpu() {
    if let Some(args) = child_args() {
        return watched(&args[0], &args[1]);
    }
    on_each_backend(|backend| {
        let journal = Journal::new();
        let args = [&format!("{backend:?}"), journal.path().to_str().unwrap()];
        let output = child("idle::idle_store_uses_no_cpu", &args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    });
}
