//! Forks while a journal is open. Whatever does not hold ends the process with a panic's message.

use std::{
    ffi::OsString,
    future::Future,
    io::{Read, stdin},
    iter,
    os::unix::process::CommandExt,
    path::Path,
    pin::pin,
    process::{self, Command},
    sync::atomic::{AtomicBool, AtomicU64, Ordering::Relaxed},
    task::{Context, Poll, Waker},
    thread,
};

use ministore_crash::{
    child::{Talking, tell},
    fork::Forked,
    place::On,
};
use ministore_uring::{
    FollowStream, JournalOptions, JournalStream, MiniStore, MiniStoreError, RawFollower, Reader, Result,
};
use serde::de::IgnoredAny;

/// Each at another moment of what the parent's threads are doing.
const FORKS: u32 = 40;

/// What a fork says where everything is as it must be.
const WELL: &str = "well";

/// So little room that callers wait for it.
const QUEUE_BYTES: u64 = 3000;

pub(crate) fn run(scenario: &str, on: &str, path: &str) {
    let on: On = on.parse().expect("a backend");
    let options = JournalOptions::new().backend(on.0).max_segment_bytes(8000).max_queue_bytes(QUEUE_BYTES);
    let path = Path::new(path);
    match scenario {
        "under-load" => under_load(options, path),
        "last-handle" => last_handle(options, path),
        "opening" => opening(&options, path),
        "closing" => closing(&options, path),
        "own-journal" => own_journal(&options, path),
        "reading" => reading(options, path),
        "outlived" => outlived(options, path, false),
        "outlived-by-exec" => outlived(options, path, true),
        other => panic!("no scenario: {other}"),
    }
}

/// The one clear error.
fn must_be_forked<T: std::fmt::Debug>(outcome: Result<T>, parent: u32) {
    match outcome {
        Err(MiniStoreError::Forked { pid, .. }) => assert_eq!(pid, parent),
        other => panic!("not refused: {other:?}"),
    }
}

/// What was handed over before the fork: its outcome is known, or it is the parent's.
fn must_be_answered<T: std::fmt::Debug>(outcome: Result<T>, parent: u32) {
    if outcome.is_err() {
        must_be_forked(outcome, parent);
    }
}

fn poll_once<F: Future + Unpin>(future: &mut F) -> Poll<F::Output> {
    pin!(future).poll(&mut Context::from_waker(Waker::noop()))
}

fn large() -> String {
    "large".repeat(1500)
}

fn everything_is_refused(store: &MiniStore, parent: u32) {
    let blocking = store.blocking();
    must_be_forked(blocking.append(&"a"), parent);
    must_be_forked(blocking.append(&large()), parent);
    must_be_forked(blocking.append_batch(["a", "b"]), parent);
    must_be_forked(blocking.append_batch::<&str>([]), parent);
    must_be_forked(blocking.append_json("1"), parent);
    must_be_forked(blocking.submit(&"a"), parent);
    must_be_forked(blocking.rotate(), parent);
    must_be_forked(blocking.close(), parent);
    must_be_forked(pollster::block_on(store.append(&"a")), parent);
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
                    seq.expect("the parent goes on undisturbed");
                    acknowledged.fetch_add(1, Relaxed);
                }
            });
        }
        for _ in 0..FORKS {
            let mut pending = Some(store.blocking().submit(&"before").expect("it is accepted"));
            let text = large();
            let mut waiting = Some(Box::pin(store.append(&text)));
            let early = waiting.as_mut().map(poll_once).is_some_and(|polled| polled.is_ready());
            let mut left_waiting = Box::pin(store.append(&text));
            let early_too = poll_once(&mut left_waiting).is_ready();
            let mut left_waiting = Some(left_waiting);
            let durable = store.durable_seq();
            let mut rest = waiting.take().filter(|_| !early);
            let fork = Forked::new(|| {
                everything_is_refused(&store, parent);
                must_be_answered(pending.take().expect("once").wait(), parent);
                if let Some(waiting) = rest.take() {
                    must_be_answered(pollster::block_on(waiting), parent);
                }
                drop(left_waiting.take());
                assert!(store.stats().durable_seq >= durable);
                let found = Reader::open(path)
                    .expect("it can be opened")
                    .records::<IgnoredAny>()
                    .map(|record| record.map(drop));
                let found = found.collect::<Result<Vec<_>>>().expect("a fork reads").len() as u64;
                assert!(found >= durable, "{found} of {durable} records");
                WELL.to_owned()
            });
            pending.expect("the fork took a copy").wait().expect("the parent goes on undisturbed");
            if let Some(waiting) = rest {
                pollster::block_on(waiting).expect("the parent goes on undisturbed");
            }
            if !early_too {
                pollster::block_on(left_waiting.expect("the fork took a copy")).expect("undisturbed");
            }
            issued += 3;
            assert_eq!(fork.said(), WELL);
        }
        stop.store(true, Relaxed);
    });
    store.blocking().close().expect("it can be closed");
    let expected = acknowledged.load(Relaxed) + issued;
    assert_eq!(newest(path), expected, "nothing of a fork's, everything of ours");
}

/// The number of the newest record.
fn newest(path: &Path) -> u64 {
    let records = Reader::open(path).expect("it can be opened").records::<IgnoredAny>();
    records.map(|record| record.expect("it can be read").seq).max().unwrap_or(0)
}

/// In the fork nothing is left that holds the journal, and the fork ends.
fn last_handle(options: JournalOptions, path: &Path) {
    let mut store = Some(options.open_blocking(path).expect("it opens"));
    let program = std::env::current_exe().expect("this program");
    for round in 1..=10u64 {
        let ours = store.as_ref().expect("the fork took a copy");
        ours.blocking().append(&round).expect("it is appended");
        ours.blocking().rotate().expect("nothing is left to be done beside");
        ours.blocking().append(&round).expect("it is appended");
        wait_for_the_housekeeper(path);
        let before = files(path);
        let fork = Forked::new(|| {
            drop(store.take());
            WELL.to_owned()
        });
        assert_eq!(fork.said(), WELL);
        // The parent may go on writing ahead.
        for ((name, before), (now, after)) in before.iter().zip(&files(path)) {
            assert_eq!(name, now);
            let common = before.iter().zip(after).take_while(|(before, after)| before == after).count();
            assert_eq!(
                common,
                before.len(),
                "the fork touched {name:?}: {} bytes are {}",
                before.len(),
                after.len()
            );
        }
        let path = path.to_str().expect("our own name");
        let told = Talking::start(&program, ["try", path]).finish();
        assert_eq!(told, [format!("locked {}", process::id())]);
    }
    let store = store.expect("the fork took a copy");
    store.blocking().append(&0u64).expect("the parent goes on undisturbed");
    store.blocking().close().expect("it can be closed");
    assert_eq!(newest(path), 21);
}

/// Until the segment that was archived is closed, and the new one written ahead.
fn wait_for_the_housekeeper(path: &Path) {
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

/// Forked while the journal is being opened.
fn opening(options: &JournalOptions, path: &Path) {
    let parent = process::id();
    for _ in 0..FORKS {
        let mut opening = Box::pin(options.clone().open(path));
        if let Poll::Ready(store) = poll_once(&mut opening) {
            // That was quick.
            store
                .and_then(|store| store.blocking().append(&1).and_then(|()| store.blocking().close()))
                .expect("it works");
            continue;
        }
        let mut opening = Some(opening);
        let fork = Forked::new(|| {
            match pollster::block_on(opening.take().expect("once")) {
                Ok(store) => everything_is_refused(&store, parent),
                refused => must_be_forked(refused, parent),
            }
            WELL.to_owned()
        });
        let store = pollster::block_on(opening.expect("the fork took a copy")).expect("it opens");
        store.blocking().append(&1).expect("it is appended");
        assert_eq!(fork.said(), WELL);
        store.blocking().close().expect("it can be closed");
    }
    assert_eq!(newest(path), u64::from(FORKS));
}

/// Forked while the journal is being closed: in the fork nobody closes it.
fn closing(options: &JournalOptions, path: &Path) {
    for _ in 0..FORKS {
        let store = options.clone().open_blocking(path).expect("it opens");
        store.blocking().append(&1).expect("it is appended");
        drop(store);
        let fork = Forked::new(|| {
            // Its parent may still be closing it.
            match options.clone().open_blocking(path) {
                Ok(store) => store.blocking().close().expect("it is the fork's own"),
                Err(MiniStoreError::Locked { .. }) => {}
                Err(error) => panic!("{error}"),
            }
            WELL.to_owned()
        });
        assert_eq!(fork.said(), WELL);
    }
}

/// A fork opens journals of its own.
fn own_journal(options: &JournalOptions, path: &Path) {
    let parent = process::id();
    let store = options.clone().open_blocking(path).expect("it opens");
    store.blocking().append(&"parent's").expect("it is appended");
    let other = path.with_extension("of-the-fork");
    let fork = Forked::new(|| {
        let own = options.clone().open_blocking(&other).expect("another journal opens");
        own.blocking().append(&"fork's").expect("it is appended");
        own.blocking().close().expect("it can be closed");
        match options.clone().open_blocking(path) {
            Err(MiniStoreError::Locked { pid, .. }) => assert_eq!(pid, Some(parent)),
            other => panic!("not refused: {other:?}"),
        }
        WELL.to_owned()
    });
    assert_eq!(fork.said(), WELL);
    store.blocking().close().expect("it can be closed");
    let fork = Forked::new(|| {
        let own = options.clone().open_blocking(path).expect("it is free now");
        own.blocking().append(&"fork's").expect("it is appended");
        own.blocking().close().expect("it can be closed");
        WELL.to_owned()
    });
    assert_eq!(fork.said(), WELL);
    let store = options.clone().open_blocking(path).expect("it is free again");
    assert_eq!(store.durable_seq(), 2);
}

/// A journal is read ahead by threads that the fork has not got, and waited for through descriptors that it shares.
fn reading(options: JournalOptions, path: &Path) {
    let parent = process::id();
    let store = options.max_segment_bytes(1 << 30).open_blocking(path).expect("it opens");
    store.blocking().append_batch(vec![large(); READ_AHEAD]).expect("it is appended");
    store.blocking().close().expect("it can be closed");
    for round in 0..FORKS {
        let mut readers = Some(Readers::start(path));
        let before = event_counts();
        let fork = Forked::new(|| {
            let mut readers = readers.take().expect("once");
            if round % 2 == 0 {
                readers.must_end(parent);
            }
            readers.lines.stop_handle().stop();
            drop(readers);
            WELL.to_owned()
        });
        assert_eq!(fork.said(), WELL);
        assert_eq!(event_counts(), before, "the fork has stopped the parent's follower");
        readers.expect("the fork took a copy").must_go_on();
    }
}

/// More than the threads read ahead.
const READ_AHEAD: usize = 300;

struct Readers {
    stream: JournalStream<IgnoredAny>,
    follow: FollowStream<IgnoredAny>,
    lines: RawFollower,
}

impl Readers {
    /// Each has handed out one record.
    fn start(path: &Path) -> Self {
        let mut stream = pollster::block_on(MiniStore::stream(path)).expect("it can be read");
        let mut follow = Reader::open(path).expect("it can be opened").follow_stream(1);
        let mut lines = Reader::open(path)
            .expect("it can be opened")
            .follow_raw(READ_AHEAD as u64)
            .expect("it can be followed");
        pollster::block_on(stream.next()).expect("a record").expect("it can be read");
        pollster::block_on(follow.next()).expect("a record").expect("it can be read");
        lines.next_record().expect("it can be read").expect("a record");
        Self { stream, follow, lines }
    }

    /// In a fork: with the one clear error, and then for good.
    fn must_end(&mut self, parent: u32) {
        let told = iter::from_fn(|| pollster::block_on(self.stream.next())).find(Result::is_err);
        must_be_forked(told.expect("the stream ends without an error"), parent);
        assert!(pollster::block_on(self.stream.next()).is_none());
        let told = iter::from_fn(|| pollster::block_on(self.follow.next())).find(Result::is_err);
        must_be_forked(told.expect("the follower ends without an error"), parent);
        assert!(pollster::block_on(self.follow.next()).is_none());
        must_be_forked(self.lines.next_record(), parent);
        assert!(matches!(self.lines.next_record(), Ok(None)));
    }

    /// In the parent: undisturbed.
    fn must_go_on(&mut self) {
        for _ in 1..READ_AHEAD {
            pollster::block_on(self.stream.next()).expect("a record").expect("it can be read");
            pollster::block_on(self.follow.next()).expect("a record").expect("it can be read");
        }
        assert!(pollster::block_on(self.stream.next()).is_none());
        assert!(!self.lines.is_ready().expect("it can be followed"));
    }
}

/// What was written to the events of this process, and not read.
fn event_counts() -> Vec<String> {
    let fds = std::fs::read_dir("/proc/self/fdinfo").expect("it can be listed");
    let infos = fds.filter_map(|fd| std::fs::read_to_string(fd.ok()?.path()).ok());
    let mut counts: Vec<_> = infos
        .filter_map(|info| Some(info.split_once("eventfd-count:")?.1.lines().next()?.to_owned()))
        .collect();
    counts.sort();
    counts
}

/// Forks, and waits to be killed. The fork stays until standard input ends.
fn outlived(options: JournalOptions, path: &Path, exec: bool) {
    let store = options.open_blocking(path).expect("it opens");
    store.blocking().append(&1).expect("it is appended");
    let fork = Forked::new(|| {
        tell("forked");
        if exec {
            panic!("{}", Command::new("cat").exec());
        }
        drop(stdin().read_to_end(&mut Vec::new()));
        WELL.to_owned()
    });
    let _ = fork.said();
}
