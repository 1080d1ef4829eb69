//! Programs started while a journal is open.

use std::{
    fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use ministore_crash::{child::ChildProcess, workdir::Workdir};
use ministore_uring::JournalOptions;

use super::{base_dir, on_each_backend, program};

/// Minimum number of inherited descriptors to check.
const MIN_DESCRIPTORS: usize = 200;

/// Starts a process and returns the link targets of its open descriptors.
fn inherited_files() -> Vec<String> {
    let listed = Command::new("sh").args(["-c", "exec readlink /proc/self/fd/*"]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn started_process_inherits_no_journal_file() {
    on_each_backend(|backend| {
        let workdir = Workdir::new(base_dir());
        let options = JournalOptions::new().backend(backend).max_segment_bytes(2000);
        let store = options.open_blocking(workdir.path()).unwrap();
        let dir = workdir.dir().canonicalize().unwrap();
        let is_of_store =
            |target: &str| target.starts_with(dir.to_str().unwrap()) || target.contains("io_uring");
        let mut open =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| entry.unwrap().path().read_link().ok());
        assert!(
            open.any(|target| is_of_store(&target.to_string_lossy())),
            "this process has the journal files open"
        );
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            for writer in 0..3 {
                let (store, done) = (&store, &done);
                scope.spawn(move || {
                    while !done.load(Relaxed) {
                        store.blocking().append(&format!("{writer:0100}")).unwrap();
                    }
                });
            }
            let mut inherited = Vec::new();
            while inherited.len() < MIN_DESCRIPTORS || store.stats().rotations < 3 {
                inherited.extend(inherited_files());
            }
            done.store(true, Relaxed);
            assert!(!inherited.iter().any(|target| is_of_store(target)), "{inherited:?}");
        });
    });
}

#[test]
fn close_unlocks_while_earlier_children_run() {
    on_each_backend(|backend| {
        let workdir = Workdir::new(base_dir());
        for n in 1..=10u32 {
            let store = JournalOptions::new().backend(backend).open_blocking(workdir.path()).unwrap();
            let pending = store.blocking().submit(&n).unwrap();
            let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            assert_eq!(pending.wait().unwrap().seq, u64::from(n));
            store.blocking().close().unwrap();
            let reports = ChildProcess::start(program(), ["try", workdir.path().to_str().unwrap()]).finish();
            assert_eq!(reports, ["free"]);
            drop(cat.stdin.take());
            assert!(cat.wait().unwrap().success());
        }
    });
}
