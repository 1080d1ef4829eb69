//! Forks while a journal is open. A failed check ends the process with the panic message.

mod readers;

use std::{
    ffi::OsString,
    future::Future,
    io::{Read, stdin},
    os::unix::process::CommandExt,
    path::Path,
    pin::pin,
    process::{self, Command},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    thread,
};

use ministore_crash::{
    child::{ChildProcess, report},
    fork::ForkedChild,
};
use ministore_uring::{Backend, JournalOptions, MiniStore, MiniStoreError, Reader, Result};
use serde::de::IgnoredAny;

/// Forks per scenario. Each happens at another moment of the work of the parent's threads.
const FORKS: u32 = 40;

/// A queue so small that callers wait for permits.
const QUEUE_BYTES: u64 = 3000;

pub(crate) fn run(scenario: &str, backend: &str, path: &str) {
    let backend: Backend = backend.parse().expect("a backend");
    let options = JournalOptions::new().backend(backend).max_segment_bytes(8000).max_queue_bytes(QUEUE_BYTES);
    let path = Path::new(path);
    match scenario {
        "under-load" => under_load(options, path),
        "last-handle" => last_handle(options, path),
        "opening" => opening(&options, path),
        "closing" => closing(&options, path),
        "own-journal" => own_journal(&options, path),
        "reading" => readers::reading(options, path),
        "outlived" => outlived(options, path, false),
        "outlived-by-exec" => outlived(options, path, true),
        other => panic!("unknown scenario: {other}"),
    }
}

/// Checks that the result is [`MiniStoreError::Forked`].
fn assert_forked<T: std::fmt::Debug>(outcome: Result<T>, parent: u32) {
    match outcome {
        Err(MiniStoreError::Forked { pid, .. }) => assert_eq!(pid, parent),
        other => panic!("not rejected: {other:?}"),
    }
}

/// Checks the result of an append that was accepted before the fork: it completed before the fork, or it belongs to the
/// parent.
fn assert_committed_or_forked<T: std::fmt::Debug>(outcome: Result<T>, parent: u32) {
    if outcome.is_err() {
        assert_forked(outcome, parent);
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn large() -> String {
    "large".repeat(1500)
}

fn assert_all_calls_rejected(store: &MiniStore, parent: u32) {
    let blocking = store.blocking();
    assert_forked(blocking.append(&"a"), parent);
    assert_forked(blocking.append(&large()), parent);
    assert_forked(blocking.append_batch(["a", "b"]), parent);
    assert_forked(blocking.append_batch::<&str>([]), parent);
    assert_forked(blocking.append_json("1"), parent);
    assert_forked(blocking.submit(&"a"), parent);
    assert_forked(blocking.rotate(), parent);
    assert_forked(blocking.close(), parent);
    assert_forked(pollster::block_on(store.append(&"a")), parent);
}

fn under_load(options: JournalOptions, path: &Path) {
    let store = options.open_blocking(path).expect("it opens");
    let (stop, acknowledged) = (AtomicBool::new(false), AtomicU64::new(0));
    let parent = process::id();
    let mut issued = 0;
    thread::scope(|scope| {
        for writer in 0..6u32 {
            let (store, stop, acknowledged) = (&store, &stop, &acknowledged);
            scope.spawn(move || {
                for count in 0u32.. {
                    if stop.load(Relaxed) {
                        break;
                    }
                    let seq = store.blocking().submit(&(writer, count)).and_then(|pending| pending.wait());
                    seq.expect("the parent continues");
                    acknowledged.fetch_add(1, Relaxed);
                }
            });
        }
        for _ in 0..FORKS {
            let mut pending = Some(store.blocking().submit(&"before").expect("it is accepted"));
            let text = large();
            // Both appends usually wait for permits. The child awaits the first and drops the second.
            let mut awaited = Box::pin(store.append(&text));
            let is_awaited_done = poll_once(&mut awaited).is_ready();
            let mut dropped = Box::pin(store.append(&text));
            let is_dropped_done = poll_once(&mut dropped).is_ready();
            let mut dropped = Some(dropped);
            let durable = store.durable_seq();
            let mut awaited = Some(awaited).filter(|_| !is_awaited_done);
            let child = ForkedChild::new(|| {
                assert_all_calls_rejected(&store, parent);
                assert_committed_or_forked(pending.take().expect("once").wait(), parent);
                if let Some(append) = awaited.take() {
                    assert_committed_or_forked(pollster::block_on(append), parent);
                }
                drop(dropped.take());
                assert!(store.stats().durable_seq >= durable);
                let found = Reader::open(path)
                    .expect("it can be opened")
                    .records::<IgnoredAny>()
                    .map(|record| record.map(drop));
                let found = found.collect::<Result<Vec<_>>>().expect("the child can read").len() as u64;
                assert!(found >= durable, "{found} of {durable} records");
            });
            pending.expect("the child took its own copy").wait().expect("the parent continues");
            if let Some(append) = awaited {
                pollster::block_on(append).expect("the parent continues");
            }
            if !is_dropped_done {
                pollster::block_on(dropped.expect("the child took its own copy"))
                    .expect("the parent continues");
            }
            issued += 3;
            child.join();
        }
        stop.store(true, Relaxed);
    });
    store.blocking().close().expect("it can be closed");
    let expected = acknowledged.load(Relaxed) + issued;
    assert_eq!(newest_seq(path), expected, "all records of the parent and none of the children");
}

fn newest_seq(path: &Path) -> u64 {
    let records = Reader::open(path).expect("it can be opened").records::<IgnoredAny>();
    records.map(|record| record.expect("it can be read").seq).max().unwrap_or(0)
}

/// The child drops its only handle: it changes no file, keeps no lock, and ends.
fn last_handle(options: JournalOptions, path: &Path) {
    let mut store = Some(options.open_blocking(path).expect("it opens"));
    let program = std::env::current_exe().expect("the path of this program");
    for round in 1..=10u64 {
        let blocking = store.as_ref().expect("the child took its own copy").blocking();
        blocking.append(&round).expect("it is appended");
        blocking.rotate().expect("it rotates");
        blocking.append(&round).expect("it is appended");
        wait_for_background_work(path);
        let before = files(path);
        let child = ForkedChild::new(|| {
            drop(store.take());
        });
        child.join();
        // The parent may continue to preallocate.
        for ((name, before), (now, after)) in before.iter().zip(&files(path)) {
            assert_eq!(name, now);
            let common = before.iter().zip(after).take_while(|(before, after)| before == after).count();
            assert_eq!(
                common,
                before.len(),
                "the child changed {name:?}: {} bytes became {}",
                before.len(),
                after.len()
            );
        }
        let path = path.to_str().expect("a UTF-8 path");
        let reports = ChildProcess::start(&program, ["try", path]).finish();
        assert_eq!(reports, [format!("locked {}", process::id())]);
    }
    let store = store.expect("the child took its own copy");
    store.blocking().append(&0u64).expect("the parent continues");
    store.blocking().close().expect("it can be closed");
    assert_eq!(newest_seq(path), 21);
}

/// Waits until the background thread has closed the rotated segment and preallocated the new one.
fn wait_for_background_work(path: &Path) {
    let is_done =
        |(name, bytes): &(OsString, Vec<u8>)| match name.to_string_lossy().strip_prefix("journal.jsonl") {
            Some("") => bytes.ends_with(b" "),
            Some(".lock") => true,
            _ => bytes.ends_with(b"\t\n"),
        };
    while !files(path).iter().all(is_done) {
        thread::yield_now();
    }
}

fn files(path: &Path) -> Vec<(OsString, Vec<u8>)> {
    let dir = std::fs::read_dir(path.parent().expect("a directory")).expect("it can be listed");
    let mut files: Vec<_> = dir
        .map(|entry| entry.expect("it can be listed"))
        .map(|entry| (entry.file_name(), std::fs::read(entry.path()).expect("it can be read")))
        .collect();
    files.sort();
    files
}

/// Forks while the journal is being opened.
fn opening(options: &JournalOptions, path: &Path) {
    let parent = process::id();
    for _ in 0..FORKS {
        let mut opening = Box::pin(options.clone().open(path));
        if let Poll::Ready(store) = poll_once(&mut opening) {
            // The open completed on the first poll.
            store
                .and_then(|store| store.blocking().append(&1).and_then(|()| store.blocking().close()))
                .expect("it works");
            continue;
        }
        let mut opening = Some(opening);
        let child = ForkedChild::new(|| match pollster::block_on(opening.take().expect("once")) {
            Ok(store) => assert_all_calls_rejected(&store, parent),
            result => assert_forked(result, parent),
        });
        let store = pollster::block_on(opening.expect("the child took its own copy")).expect("it opens");
        store.blocking().append(&1).expect("it is appended");
        child.join();
        store.blocking().close().expect("it can be closed");
    }
    assert_eq!(newest_seq(path), u64::from(FORKS));
}

/// Forks while the journal is being closed. The child has no writer thread that could close it.
fn closing(options: &JournalOptions, path: &Path) {
    for _ in 0..FORKS {
        let store = options.clone().open_blocking(path).expect("it opens");
        store.blocking().append(&1).expect("it is appended");
        drop(store);
        let child = ForkedChild::new(|| {
            // The parent may still be closing it.
            match options.clone().open_blocking(path) {
                Ok(store) => store.blocking().close().expect("it can be closed"),
                Err(MiniStoreError::Locked { .. }) => {}
                Err(error) => panic!("{error}"),
            }
        });
        child.join();
    }
}

/// The child opens another journal, and the same one after the parent has closed it.
fn own_journal(options: &JournalOptions, path: &Path) {
    let parent = process::id();
    let store = options.clone().open_blocking(path).expect("it opens");
    store.blocking().append(&"parent's").expect("it is appended");
    let other = path.with_extension("of-the-child");
    let child = ForkedChild::new(|| {
        let own = options.clone().open_blocking(&other).expect("another journal opens");
        own.blocking().append(&"child's").expect("it is appended");
        own.blocking().close().expect("it can be closed");
        match options.clone().open_blocking(path) {
            Err(MiniStoreError::Locked { pid, .. }) => assert_eq!(pid, Some(parent)),
            other => panic!("not rejected: {other:?}"),
        }
    });
    child.join();
    store.blocking().close().expect("it can be closed");
    let child = ForkedChild::new(|| {
        let own = options.clone().open_blocking(path).expect("it is unlocked");
        own.blocking().append(&"child's").expect("it is appended");
        own.blocking().close().expect("it can be closed");
    });
    child.join();
    let store = options.clone().open_blocking(path).expect("it is unlocked");
    assert_eq!(store.durable_seq(), 2);
}

/// Forks, and waits to be killed. The child runs until its standard input ends, as `cat` if `exec` is set.
fn outlived(options: JournalOptions, path: &Path, exec: bool) {
    let store = options.open_blocking(path).expect("it opens");
    store.blocking().append(&1).expect("it is appended");
    let child = ForkedChild::new(|| {
        report("forked");
        if exec {
            panic!("{}", Command::new("cat").exec());
        }
        drop(stdin().read_to_end(&mut Vec::new()));
    });
    child.join();
}
