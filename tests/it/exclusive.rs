//! One writer per journal, in any process and through any path; readers take no lock.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
    process::{Child, ChildStdout, Command},
    sync::atomic::{AtomicBool, Ordering},
    thread,
};

use ministore_uring::{MiniStore, MiniStoreError, Result};

use crate::support::{
    TempJournal, block_on, child, child_args, for_each_backend, numbered, replay, report, reported,
};

fn assert_locked(opened: Result<MiniStore>, journal: &TempJournal, pid: u32) {
    let Err(MiniStoreError::Locked { path, pid: holder }) = opened else { panic!("{opened:?}") };
    assert_eq!(path, journal.path());
    assert_eq!(holder, Some(pid));
}

#[test]
fn second_writer_in_process_is_rejected() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert_locked(options.clone().open_blocking(journal.path()), &journal, std::process::id());
        store.blocking().append(&1).unwrap();
        store.blocking().close().unwrap();
        // Closed, although a handle still exists.
        let second = options.open_blocking(journal.path()).unwrap();
        second.blocking().append(&2).unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2]);
        drop(store);
    });
}

#[test]
fn failed_open_leaves_no_lock() {
    for_each_backend(|options| {
        let journal = TempJournal::of_bytes("not a journal\n");
        assert!(options.clone().open_blocking(journal.path()).is_err());
        fs::remove_file(journal.path()).unwrap();
        options.open_blocking(journal.path()).unwrap();
    });
}

#[test]
fn dropped_open_leaves_no_lock() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        for _ in 0..20 {
            let opening = options.clone().open(journal.path());
            let polled = block_on(futures_lite::future::poll_once(opening));
            drop(polled);
            // The dropped open may still be in progress: the next open waits for it or gets `Locked`.
            loop {
                match options.clone().open_blocking(journal.path()) {
                    Ok(_) => break,
                    Err(MiniStoreError::Locked { .. }) => thread::yield_now(),
                    Err(other) => panic!("{other}"),
                }
            }
        }
    });
}

#[test]
fn spawned_process_does_not_hold_the_lock() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // Until it calls exec, a new process shares the open files of this one.
            scope.spawn(|| {
                while !done.load(Ordering::Acquire) {
                    assert!(Command::new("true").status().unwrap().success());
                }
            });
            for _ in 0..50 {
                let store = options.clone().open_blocking(journal.path());
                let closed = store.and_then(|store| store.blocking().close());
                if closed.is_err() {
                    done.store(true, Ordering::Release);
                }
                closed.unwrap();
            }
            done.store(true, Ordering::Release);
        });
    });
}

/// Starts a child that has the journal open until it is killed.
fn open_in_child(path: &Path) -> (Child, BufReader<ChildStdout>) {
    let name = "exclusive::second_process_is_rejected_until_owner_exits";
    let mut holder = child(name, &[path.to_str().unwrap()]).spawn().unwrap();
    let mut output = BufReader::new(holder.stdout.take().unwrap());
    let open = output.by_ref().lines().any(|line| reported(&line.unwrap()) == Some("open"));
    assert!(open, "the child opened the journal");
    (holder, output)
}

#[test]
fn second_process_is_rejected_until_owner_exits() {
    if let Some(args) = child_args() {
        let store = MiniStore::open_blocking(&args[0]).unwrap();
        store.blocking().append(&"from the child").unwrap();
        report("open");
        // Returns when the parent exits, unless it kills this process first.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let (mut holder, _output) = open_in_child(journal.path());
        assert_locked(options.clone().open_blocking(journal.path()), &journal, holder.id());
        assert_eq!(replay::<String>(journal.path()).unwrap(), ["from the child"], "readers need no lock");
        holder.kill().unwrap();
        holder.wait().unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.blocking().submit(&"from the parent").unwrap().wait().unwrap().seq, 2);
    });
}

#[test]
fn paths_to_one_journal_share_its_lock() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        store.blocking().rotate().unwrap();
        fs::create_dir(journal.dir().join("x")).unwrap();
        let elsewhere = TempJournal::new();
        let (to_file, to_dir) = (elsewhere.dir().join("link"), elsewhere.dir().join("dir"));
        symlink(journal.path(), &to_file).unwrap();
        symlink(journal.dir(), &to_dir).unwrap();
        for path in [
            to_file.clone(),
            to_dir.join("journal.jsonl"),
            journal.dir().join("x/../journal.jsonl"),
            journal.dir().join("./journal.jsonl"),
        ] {
            assert_locked(options.clone().open_blocking(&path), &journal, std::process::id());
            assert_eq!(replay::<u32>(&path).unwrap(), [1], "{path:?}");
        }
        store.blocking().close().unwrap();
        let store = options.clone().open_blocking(&to_file).unwrap();
        assert_eq!(store.path(), journal.path());
        store.blocking().append(&2).unwrap();
        store.blocking().rotate().unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2]);
        assert!(journal.file(".002").exists());
    });
}

#[test]
fn readers_need_no_write_permission() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([1, 2]).unwrap();
        let mut files = journal.files();
        drop(store);
        // The tail is torn, which only a writer repairs.
        let bytes = files.get_mut("journal.jsonl").unwrap();
        bytes.truncate(bytes.trim_ascii_end().len() + 33);
        bytes.extend_from_slice(b"\n{\"torn");
        let copy = TempJournal::of(&files);
        let set_mode = |mode| {
            fs::set_permissions(copy.path(), fs::Permissions::from_mode(mode & 0o666)).unwrap();
            fs::set_permissions(copy.dir(), fs::Permissions::from_mode(mode)).unwrap();
        };
        set_mode(0o555);
        assert_eq!(replay::<u32>(copy.path()).unwrap(), [1, 2]);
        assert_eq!(numbered::<u32>(copy.path()).unwrap(), [(1, 1), (2, 2)]);
        let names: Vec<_> =
            fs::read_dir(copy.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        set_mode(0o755);
        assert_eq!(names, ["journal.jsonl"], "not even a lock file");
        assert_eq!(copy.files(), files);
    });
}
