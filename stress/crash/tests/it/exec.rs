//! Processes that are started while a journal is open.

use std::{
    fs,
    process::{Command, Stdio},
    sync::atomic::{AtomicBool, Ordering::Relaxed},
    thread,
};

use ministore_crash::{child::Talking, place::Place};
use ministore_uring::JournalOptions;

use super::{on_each_backend, parent, program};

/// Looked at so many, at least.
const FILES: usize = 200;

/// Where the open files of a new process lead.
fn open_files() -> Vec<String> {
    let listed = Command::new("sh").args(["-c", "exec readlink /proc/self/fd/*"]).output().unwrap();
    let text = String::from_utf8(listed.stdout).unwrap();
    text.lines().map(str::to_owned).collect()
}

#[test]
fn a_started_process_inherits_no_file_of_the_journal() {
    on_each_backend(|on| {
        let place = Place::new(parent());
        let options = JournalOptions::new().backend(on.0).max_segment_bytes(2000);
        let store = options.open_blocking(place.path()).unwrap();
        let dir = place.dir().canonicalize().unwrap();
        let ours = |target: &str| target.starts_with(dir.to_str().unwrap()) || target.contains("io_uring");
        let held =
            fs::read_dir("/proc/self/fd").unwrap().filter_map(|entry| entry.unwrap().path().read_link().ok());
        assert!(held.into_iter().any(|target| ours(&target.to_string_lossy())), "this process has them open");
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
            while inherited.len() < FILES || store.stats().rotations < 3 {
                inherited.extend(open_files());
            }
            done.store(true, Relaxed);
            assert!(!inherited.iter().any(|target| ours(target)), "{inherited:?}");
        });
    });
}

#[test]
fn the_lock_is_free_after_close_though_processes_started_before_still_run() {
    on_each_backend(|on| {
        let place = Place::new(parent());
        for n in 1..=10u32 {
            let store = JournalOptions::new().backend(on.0).open_blocking(place.path()).unwrap();
            let pending = store.blocking().submit(&n).unwrap();
            let mut cat = Command::new("cat").stdin(Stdio::piped()).spawn().unwrap();
            assert_eq!(pending.wait().unwrap().seq, u64::from(n));
            store.blocking().close().unwrap();
            let told = Talking::start(program(), ["try", place.path().to_str().unwrap()]).finish();
            assert_eq!(told, ["free"]);
            drop(cat.stdin.take());
            assert!(cat.wait().unwrap().success());
        }
    });
}
