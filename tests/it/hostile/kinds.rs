//! Things that are not regular files, and files without permission, in place of the files of a journal.

use std::{
    os::fd::AsRawFd,
    os::unix::{
        fs::{PermissionsExt, symlink},
        net::UnixListener,
    },
    path::PathBuf,
    process::Command,
    sync::mpsc,
    thread,
    time::Duration,
};

use super::*;
use crate::support::print_notice;

/// A call that takes longer hangs, for example because it waits for the other end of a FIFO.
const HANG_TIMEOUT: Duration = Duration::from_secs(120);

fn with_timeout<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(HANG_TIMEOUT).unwrap_or_else(|_| panic!("{what}: it hangs"))
}

const KINDS: [&str; 9] =
    ["fifo", "socket", "directory", "zero", "full", "null", "dangling", "loop", "link to a directory"];

fn create(kind: &str, path: &Path) {
    let _ = fs::remove_file(path);
    match kind {
        "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        // The path of a socket must be short: use the directory's descriptor.
        "socket" => {
            let dir = fs::File::open(path.parent().unwrap()).unwrap();
            let name = path.file_name().unwrap().to_str().unwrap();
            UnixListener::bind(format!("/proc/self/fd/{}/{name}", dir.as_raw_fd())).map(drop).unwrap();
        }
        "directory" => fs::create_dir(path).unwrap(),
        "zero" | "full" | "null" => symlink(Path::new("/dev").join(kind), path).unwrap(),
        "dangling" => symlink("nowhere", path).unwrap(),
        "loop" => symlink(path.file_name().unwrap(), path).unwrap(),
        "link to a directory" => symlink("/", path).unwrap(),
        _ => panic!("{kind}"),
    }
}

/// Returns the files in the directory with length and type, without following links.
fn listing(journal: &TempJournal) -> Vec<(PathBuf, u64, fs::FileType)> {
    let mut found: Vec<_> = fs::read_dir(journal.dir())
        .unwrap()
        .map(|entry| entry.unwrap().path())
        .filter(|path| !path.to_string_lossy().ends_with(".lock"))
        .map(|path| (path.clone(), path.symlink_metadata().unwrap()))
        .map(|(path, meta)| (path, meta.len(), meta.file_type()))
        .collect();
    found.sort_by(|(one, ..), (two, ..)| one.cmp(two));
    found
}

/// Runs every way to read, check and open a journal, each of which must return. Returns which of them succeeded.
fn try_all(what: &str, path: &Path) -> [bool; 6] {
    let path = path.to_path_buf();
    with_timeout(what, move || {
        let new = TempJournal::new();
        [
            numbered::<u64>(&path).is_ok(),
            replay::<u64>(&path).is_ok(),
            verify(&path).is_ok(),
            repair(&path, RepairMode::DryRun).is_ok(),
            salvage(&path, new.path()).is_ok(),
            options().open_blocking(&path).is_ok(),
        ]
    })
}

#[test]
fn only_a_file_is_an_active_segment() {
    for kind in KINDS {
        let journal = TempJournal::of(&sample(2));
        create(kind, journal.path());
        let before = listing(&journal);
        let succeeded = try_all(kind, journal.path());
        if kind == "dangling" {
            // For readers there is no active segment; a writer does not follow the link either.
            assert!(!succeeded[5], "{succeeded:?}");
        } else {
            assert_eq!(succeeded, [false; 6], "{kind}");
        }
        let open = options().open_blocking(journal.path());
        let is_rejected =
            matches!(open, Err(MiniStoreError::PathIsNotFile { .. } | MiniStoreError::Io { .. }));
        assert!(is_rejected, "{kind}: {open:?}");
        assert_eq!(listing(&journal), before, "{kind}");
    }
    for device in ["/dev/zero.lock", "/dev/null.lock", "/dev/full.lock", "/dev/zero.next"] {
        assert!(!Path::new(device).exists(), "{device} was created");
    }
}

#[test]
fn only_a_file_is_a_rotated_segment() {
    for kind in KINDS {
        let journal = TempJournal::of(&sample(2));
        create(kind, &journal.file(".001"));
        let before = listing(&journal);
        let succeeded = try_all(kind, journal.path());
        // A dangling link looks as if retention had just deleted the oldest segment.
        let readers = kind == "dangling";
        assert_eq!(
            (succeeded[0], succeeded[1], succeeded[5]),
            (readers, readers, false),
            "{kind}: {succeeded:?}"
        );
        assert_eq!(listing(&journal), before, "{kind}");
    }
}

#[test]
fn only_a_file_is_a_next_segment_or_lock() {
    for kind in KINDS {
        for suffix in [".next", ".lock"] {
            let journal = TempJournal::of(&sample(2));
            create(kind, &journal.file(suffix));
            let before = listing(&journal);
            let succeeded = try_all(kind, journal.path());
            assert_eq!(
                (succeeded[0], succeeded[1], succeeded[5]),
                (true, true, false),
                "{kind} as {suffix}: {succeeded:?}"
            );
            assert_eq!(listing(&journal), before, "{kind} as {suffix}");
        }
    }
}

#[test]
fn other_file_types_are_not_streamed() {
    for kind in KINDS {
        let journal = TempJournal::new();
        create(kind, journal.path());
        let path = journal.path().to_path_buf();
        let streamed = with_timeout(kind, move || block_on(MiniStore::stream::<u64>(path)).is_ok());
        assert!(!streamed, "{kind}");
    }
}

/// Clears the immutable flag on drop.
struct Immutable(PathBuf);

impl Immutable {
    /// Sets the flag; `None` if the file system has no such flag or the process may not set it.
    fn set(path: &Path) -> Option<Self> {
        let set = Command::new("chattr").arg("+i").arg(path).output();
        set.is_ok_and(|output| output.status.success()).then(|| Self(path.to_path_buf()))
    }
}

impl Drop for Immutable {
    fn drop(&mut self) {
        let _ = Command::new("chattr").arg("-i").arg(&self.0).status();
    }
}

#[test]
fn immutable_file_is_read_only() {
    for suffix in ["", ".lock"] {
        let files = sample(2);
        let journal = TempJournal::of(&files);
        drop(options().open_blocking(journal.path()).unwrap());
        let files = {
            options().open_blocking(journal.path()).unwrap().blocking().close().unwrap();
            journal.files()
        };
        let Some(_immutable) = Immutable::set(&journal.file(suffix)) else {
            print_notice("SKIPPED: immutable files: chattr +i does not work");
            return;
        };
        assert_eq!(replay::<u64>(journal.path()).unwrap().len(), 12);
        let error = options().open_blocking(journal.path()).map(drop).unwrap_err();
        let MiniStoreError::Io { source } = &error else { panic!("{error:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied, "{suffix}: {error}");
        assert!(error.to_string().contains(&suffixed(suffix)), "{error}");
        assert_eq!(journal.files(), files);
    }
}

#[test]
fn error_names_a_file_without_permission() {
    let journal = TempJournal::of(&sample(2));
    fs::set_permissions(journal.path(), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(journal.path()).is_ok() {
        print_notice("SKIPPED: files without permission: this process may read every file");
        return;
    }
    for outcome in [
        replay::<u64>(journal.path()).map(drop),
        verify(journal.path()).map(drop),
        options().open_blocking(journal.path()).map(drop),
    ] {
        let error = outcome.unwrap_err().to_string();
        assert!(error.contains(NAME), "{error}");
    }
}
