//! Memory, descriptors and threads of the process, sampled between two instances.

use std::{
    env, fmt, fs,
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// Allowed growth after warm-up, because allocators retain freed memory.
const MAX_GROWTH_KIB: u64 = 32 << 10;

/// Sets the number of heaps of the C library's allocator.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Executes the program again with one heap for all threads, unless the environment sets the number of heaps. With one
/// heap per thread, freed memory stays resident in many places and hides a leak of a few bytes per record.
pub(crate) fn use_one_arena() {
    if env::var_os(ARENAS).is_none() {
        let failed =
            Command::new(env::current_exe().unwrap()).args(env::args_os().skip(1)).env(ARENAS, "1").exec();
        panic!("{failed}");
    }
}

/// How long threads may take to end after the store is dropped.
const SHUTDOWN_TIMEOUT: Duration = Duration::from_secs(30);

/// Compares resource usage with the start of the program.
#[derive(Debug)]
pub(crate) struct LeakCheck {
    descriptors: usize,
    threads: usize,
    /// Resident memory after each instance.
    resident_kib: Vec<u64>,
}

impl LeakCheck {
    /// Starts after `warm_up` has opened and closed a store: a backend may open descriptors once for the process.
    pub(crate) fn start(warm_up: impl FnOnce()) -> Self {
        let threads_before = threads();
        warm_up();
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        while threads() != threads_before {
            assert!(Instant::now() < deadline, "the threads of a closed store did not end");
            thread::sleep(Duration::from_millis(1));
        }
        Self { descriptors: descriptors(), threads: threads_before, resident_kib: Vec::new() }
    }

    /// Waits until the numbers of descriptors and threads are as at the start, because a dropped store closes in the
    /// background. Then records the resident memory.
    pub(crate) fn sample(&mut self) {
        let deadline = Instant::now() + SHUTDOWN_TIMEOUT;
        while (descriptors(), threads()) != (self.descriptors, self.threads) {
            assert!(
                Instant::now() < deadline,
                "{} descriptors and {} threads; at the start there were {} and {}",
                descriptors(),
                threads(),
                self.descriptors,
                self.threads
            );
            thread::sleep(Duration::from_millis(1));
        }
        self.resident_kib.push(resident_kib());
    }

    /// Checks that resident memory did not grow since warm-up, which is the first third of the run.
    pub(crate) fn finish(&self) {
        let warm = self.resident_kib[..=self.resident_kib.len() / 3].iter().max().copied().unwrap_or(0);
        let end = self.resident_kib.last().copied().unwrap_or(0);
        assert!(end <= warm + MAX_GROWTH_KIB, "resident memory grew from {warm} to {end} KiB");
    }
}

impl fmt::Display for LeakCheck {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: Option<&u64>| kib.copied().unwrap_or(0) >> 10;
        write!(
            f,
            "between instances {} descriptors, {} threads, resident {} MiB at first, {} at most, {} at last",
            self.descriptors,
            self.threads,
            mib(self.resident_kib.first()),
            mib(self.resident_kib.iter().max()),
            mib(self.resident_kib.last())
        )
    }
}

fn descriptors() -> usize {
    // The listing itself uses one descriptor.
    fs::read_dir("/proc/self/fd").unwrap().count() - 1
}

fn threads() -> usize {
    fs::read_dir("/proc/self/task").unwrap().count()
}

fn resident_kib() -> u64 {
    let status = fs::read_to_string("/proc/self/status").unwrap();
    let line = status.lines().find(|line| line.starts_with("VmRSS:")).unwrap();
    line.split_whitespace().nth(1).unwrap().parse().unwrap()
}
