//! What the process holds of memory, descriptors and threads, between two generations.

use std::{
    env, fmt, fs,
    os::unix::process::CommandExt,
    process::Command,
    thread,
    time::{Duration, Instant},
};

/// A program that was warm may still grow by this much: allocators keep what they once had.
const GROWTH_KIB_MAX: u64 = 32 << 10;

/// Tells the C library's allocator how many heaps to keep.
const ARENAS: &str = "MALLOC_ARENA_MAX";

/// Starts the program again with one heap for all threads, unless it was told how many: with one for each thread what
/// was freed stays resident in many places, and a leak of a few bytes a record could not be told from it.
pub(crate) fn with_one_arena() {
    if env::var_os(ARENAS).is_none() {
        let failed =
            Command::new(env::current_exe().unwrap()).args(env::args_os().skip(1)).env(ARENAS, "1").exec();
        panic!("{failed}");
    }
}

/// How long a thread may take to end once nothing needs it.
const ENDING: Duration = Duration::from_secs(30);

#[derive(Debug)]
pub(crate) struct Watch {
    descriptors: usize,
    threads: usize,
    /// Resident memory after each generation, in KiB.
    resident: Vec<u64>,
}

impl Watch {
    pub(crate) fn start() -> Self {
        Self { descriptors: descriptors(), threads: threads(), resident: Vec::new() }
    }

    /// Waits until descriptors and threads are what they were, for a store closes in the background.
    pub(crate) fn look(&mut self) {
        let deadline = Instant::now() + ENDING;
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
        self.resident.push(resident_kib());
    }

    /// Resident memory at the end is what it was once the program was warm: in the first third of its life.
    pub(crate) fn finish(&self) {
        let warm = self.resident[..=self.resident.len() / 3].iter().max().copied().unwrap_or(0);
        let end = self.resident.last().copied().unwrap_or(0);
        assert!(end <= warm + GROWTH_KIB_MAX, "resident memory grew from {warm} to {end} KiB");
    }
}

impl fmt::Display for Watch {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let mib = |kib: Option<&u64>| kib.copied().unwrap_or(0) >> 10;
        write!(
            f,
            "between generations {} descriptors, {} threads, resident {} MiB at first, {} at most, {} at last",
            self.descriptors,
            self.threads,
            mib(self.resident.first()),
            mib(self.resident.iter().max()),
            mib(self.resident.last())
        )
    }
}

fn descriptors() -> usize {
    // Less the one that the listing itself holds.
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
