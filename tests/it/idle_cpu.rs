//! The threads of an idle store do not run.
//!
//! The sleeps do not order threads: they are the time during which the threads are watched. The test asserts that no counter
//! changed, not how long anything took.

use std::{fs, thread, time::Duration};

use ministore_uring::{Backend, JournalOptions, MiniStore};

use crate::support::{TempJournal, child, child_args, on_each_backend};

/// The length of one observation.
const WATCH: Duration = Duration::from_millis(300);

/// The number of observations within which all threads must become idle: adaptive spinning and preallocation take a while.
const WATCHES_MAX: usize = 40;

/// The number of observations in which idle threads must stay idle.
const WATCHES_IDLE: usize = 3;

/// The processor usage of a thread.
#[derive(Debug, Clone, PartialEq, Eq)]
struct ThreadUsage {
    thread: String,
    name: String,
    /// Clock ticks in user mode and in the kernel.
    ticks: [u64; 2],
    /// Voluntary and involuntary context switches: every thread that runs, however briefly, has one or the other.
    switches: [u64; 2],
}

/// Returns the usage of the engine's threads and of the io_uring threads that the kernel started for it.
fn engine_threads() -> Vec<ThreadUsage> {
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
            found.push(ThreadUsage {
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

/// Returns the usage before and after one observation.
fn watch() -> [Vec<ThreadUsage>; 2] {
    let before = engine_threads();
    thread::sleep(WATCH);
    [before, engine_threads()]
}

fn check_becomes_idle(after: &str) {
    let found = (0..WATCHES_MAX).map(|_| watch()).find(|[before, later]| before == later);
    let [idle, _] = found.unwrap_or_else(|| panic!("after {after}: never idle, last {:#?}", watch()));
    for name in ["ministore-write", "ministore-bg"] {
        assert!(idle.iter().any(|thread| thread.name == name), "{name} is watched: {idle:#?}");
    }
    for _ in 0..WATCHES_IDLE {
        assert_eq!(watch()[1], idle, "after {after}: it stays idle");
    }
}

/// Appends from many threads, with at least one rotation.
fn load(store: &MiniStore) {
    thread::scope(|scope| {
        for caller in 0..8_u32 {
            scope.spawn(move || {
                let blocking = store.blocking();
                let pending: Vec<_> =
                    (0..500).map(|nth| blocking.submit(&(caller, nth, "x".repeat(200))).unwrap()).collect();
                for append in pending {
                    append.wait().unwrap();
                }
                (0..20).for_each(|nth| blocking.append(&(caller, nth)).unwrap());
            });
        }
    });
}

/// Runs in a child process, without the threads of other tests.
fn run_child(backend: &str, path: &str) {
    let backend: Backend = backend.parse().unwrap();
    let options = JournalOptions::new().backend(backend).max_segment_bytes(256 << 10);
    let store = options.open_blocking(path).unwrap();
    check_becomes_idle("opening");
    load(&store);
    assert!(store.stats().rotations > 0);
    check_becomes_idle("load");
    store.blocking().append(&1).unwrap();
    check_becomes_idle("one append");
    store.blocking().close().unwrap();
}

#[test]
fn idle_store_uses_no_cpu() {
    if let Some(args) = child_args() {
        return run_child(&args[0], &args[1]);
    }
    on_each_backend(|backend| {
        let journal = TempJournal::new();
        let args = [&backend.to_string(), journal.path().to_str().unwrap()];
        let output = child("idle_cpu::idle_store_uses_no_cpu", &args).output().unwrap();
        assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stdout));
    });
}
