//! One writer per journal, whoever and wherever it is; readers are free.

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

use crate::support::{Journal, block_on, child, child_args, for_each_backend, numbered, replay, tell, told};

fn assert_locked(opened: Result<MiniStore>, journal: &Journal, pid: u32) {
    let Err(MiniStoreError::Locked { path, pid: holder }) = opened else { panic!("{opened:?}") };
    assert_eq!(path, journal.path());
    assert_eq!(holder, Some(pid));
}

#[test]
fn a_second_writer_in_the_same_process_is_refused() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert_locked(options.clone().open_blocking(journal.path()), &journal, std::process::id());
        store.blocking().append(&1).unwrap();
        store.blocking().close().unwrap();
        // Closed, though the handle is still there.
        let second = options.open_blocking(journal.path()).unwrap();
        second.blocking().append(&2).unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2]);
        drop(store);
    });
}

#[test]
fn failed_open_leaves_no_lock() {
    for_each_backend(|options| {
        let journal = Journal::of_bytes("not a journal\n");
        assert!(options.clone().open_blocking(journal.path()).is_err());
        fs::remove_file(journal.path()).unwrap();
        options.open_blocking(journal.path()).unwrap();
    });
}

#[test]
fn dropped_open_leaves_no_lock() {
    for_each_backend(|options| {
        let journal = Journal::new();
        for _ in 0..20 {
            let opening = options.clone().open(journal.path());
            let polled = block_on(futures_lite::future::poll_once(opening));
            drop(polled);
            // The abandoned opening may still be under way: whoever comes next waits or is told that it is locked.
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
fn processes_that_are_being_started_do_not_hold_the_lock() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let done = AtomicBool::new(false);
        thread::scope(|scope| {
            // Until its program is loaded, a new process has every file open that this one has.
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

/// A child that has the journal open until it is killed.
fn hold(path: &Path) -> (Child, BufReader<ChildStdout>) {
    let name = "exclusive::another_process_is_refused_until_the_holder_is_gone";
    let mut holder = child(name, &[path.to_str().unwrap()]).spawn().unwrap();
    let mut output = BufReader::new(holder.stdout.take().unwrap());
    let open = output.by_ref().lines().any(|line| told(&line.unwrap()) == Some("open"));
    assert!(open, "the child opened the journal");
    (holder, output)
}

#[test]
fn another_process_is_refused_until_the_holder_is_gone() {
    if let Some(args) = child_args() {
        let store = MiniStore::open_blocking(&args[0]).unwrap();
        store.blocking().append(&"from the child").unwrap();
        tell("open");
        // Until the parent kills this process, or is gone itself.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    for_each_backend(|options| {
        let journal = Journal::new();
        let (mut holder, _output) = hold(journal.path());
        assert_locked(options.clone().open_blocking(journal.path()), &journal, holder.id());
        assert_eq!(replay::<String>(journal.path()).unwrap(), ["from the child"], "readers need no lock");
        holder.kill().unwrap();
        holder.wait().unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.blocking().submit(&"from the parent").unwrap().wait().unwrap().seq, 2);
    });
}

#[test]
fn two_paths_to_one_journal_are_one_journal() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        store.blocking().rotate().unwrap();
        fs::create_dir(journal.dir().join("x")).unwrap();
        let elsewhere = Journal::new();
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
fn readers_write_nothing_and_need_no_leave_to() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([1, 2]).unwrap();
        let mut files = journal.files();
        drop(store);
        // Torn, too: that is for the writer to mend.
        let bytes = files.get_mut("journal.jsonl").unwrap();
        bytes.truncate(bytes.trim_ascii_end().len() + 33);
        bytes.extend_from_slice(b"\n{\"torn");
        let copy = Journal::of(&files);
        let permit = |mode| {
            fs::set_permissions(copy.path(), fs::Permissions::from_mode(mode & 0o666)).unwrap();
            fs::set_permissions(copy.dir(), fs::Permissions::from_mode(mode)).unwrap();
        };
        permit(0o555);
        assert_eq!(replay::<u32>(copy.path()).unwrap(), [1, 2]);
        assert_eq!(numbered::<u32>(copy.path()).unwrap(), [(1, 1), (2, 2)]);
        let names: Vec<_> =
            fs::read_dir(copy.dir()).unwrap().map(|entry| entry.unwrap().file_name()).collect();
        permit(0o755);
        assert_eq!(names, ["journal.jsonl"], "not even a lock file");
        assert_eq!(copy.files(), files);
    });
}
