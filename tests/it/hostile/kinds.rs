//! Things that are no regular files, and files that may not be touched, where the files of a journal should stand.

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
use crate::support::shout;

/// What waits so long waits for somebody at the other end of a FIFO.
const PATIENCE: Duration = Duration::from_secs(120);

fn in_time<T: Send + 'static>(what: &str, call: impl FnOnce() -> T + Send + 'static) -> T {
    let (sender, receiver) = mpsc::channel();
    thread::spawn(move || sender.send(call()));
    receiver.recv_timeout(PATIENCE).unwrap_or_else(|_| panic!("{what}: it does not come back"))
}

const KINDS: [&str; 9] =
    ["fifo", "socket", "directory", "zero", "full", "null", "dangling", "loop", "link to a directory"];

fn put(kind: &str, path: &Path) {
    let _ = fs::remove_file(path);
    match kind {
        "fifo" => assert!(Command::new("mkfifo").arg(path).status().unwrap().success()),
        // The address of a socket is short: through the directory's descriptor it is.
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

/// Names in the directory and what stands there, links not followed.
fn listing(journal: &Journal) -> Vec<(PathBuf, u64, fs::FileType)> {
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

/// Whether every way to read, to look and to open came back, each with an error or without.
fn all_come_back(what: &str, path: &Path) -> [bool; 6] {
    let path = path.to_path_buf();
    in_time(what, move || {
        let new = Journal::new();
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
fn nothing_but_a_file_is_an_active_segment() {
    for kind in KINDS {
        let journal = Journal::of(&sample(2));
        put(kind, journal.path());
        let before = listing(&journal);
        let came = all_come_back(kind, journal.path());
        if kind == "dangling" {
            // To readers there is no active segment; a writer does not follow the link either.
            assert!(!came[5], "{came:?}");
        } else {
            assert_eq!(came, [false; 6], "{kind}");
        }
        let open = options().open_blocking(journal.path());
        let refused = matches!(open, Err(MiniStoreError::PathIsNotFile { .. } | MiniStoreError::Io { .. }));
        assert!(refused, "{kind}: {open:?}");
        assert_eq!(listing(&journal), before, "{kind}");
    }
    for device in ["/dev/zero.lock", "/dev/null.lock", "/dev/full.lock", "/dev/zero.next"] {
        assert!(!Path::new(device).exists(), "{device} was made");
    }
}

#[test]
fn only_a_file_is_a_rotated_segment() {
    for kind in KINDS {
        let journal = Journal::of(&sample(2));
        put(kind, &journal.file(".001"));
        let before = listing(&journal);
        let came = all_come_back(kind, journal.path());
        // As if retention had just deleted the oldest one.
        let readers = kind == "dangling";
        assert_eq!((came[0], came[1], came[5]), (readers, readers, false), "{kind}: {came:?}");
        assert_eq!(listing(&journal), before, "{kind}");
    }
}

#[test]
fn nothing_but_a_file_is_a_prepared_segment_or_a_lock() {
    for kind in KINDS {
        for suffix in [".next", ".lock"] {
            let journal = Journal::of(&sample(2));
            put(kind, &journal.file(suffix));
            let before = listing(&journal);
            let came = all_come_back(kind, journal.path());
            assert_eq!((came[0], came[1], came[5]), (true, true, false), "{kind} as {suffix}: {came:?}");
            assert_eq!(listing(&journal), before, "{kind} as {suffix}");
        }
    }
}

#[test]
fn one_file_of_another_kind_is_not_streamed() {
    for kind in KINDS {
        let journal = Journal::new();
        put(kind, journal.path());
        let path = journal.path().to_path_buf();
        let streamed = in_time(kind, move || block_on(MiniStore::stream::<u64>(path)).is_ok());
        assert!(!streamed, "{kind}");
    }
}

/// Takes the mark off again, whatever happens.
struct Immutable(PathBuf);

impl Immutable {
    /// `None` where the file system has no such mark, or the process may not set it.
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
fn an_immutable_file_is_read_and_refused_to_a_writer() {
    for suffix in ["", ".lock"] {
        let files = sample(2);
        let journal = Journal::of(&files);
        drop(options().open_blocking(journal.path()).unwrap());
        let files = {
            options().open_blocking(journal.path()).unwrap().blocking().close().unwrap();
            journal.files()
        };
        let Some(_immutable) = Immutable::set(&journal.file(suffix)) else {
            shout("SKIPPED: immutable files: chattr +i does not work");
            return;
        };
        assert_eq!(replay::<u64>(journal.path()).unwrap().len(), 12);
        let refused = options().open_blocking(journal.path()).map(drop).unwrap_err();
        let MiniStoreError::Io { source } = &refused else { panic!("{refused:?}") };
        assert_eq!(source.kind(), std::io::ErrorKind::PermissionDenied, "{suffix}: {refused}");
        assert!(refused.to_string().contains(&suffixed(suffix)), "{refused}");
        assert_eq!(journal.files(), files);
    }
}

#[test]
fn a_file_without_permission_is_named() {
    let journal = Journal::of(&sample(2));
    fs::set_permissions(journal.path(), fs::Permissions::from_mode(0o000)).unwrap();
    if fs::File::open(journal.path()).is_ok() {
        shout("SKIPPED: files without permission: this process may read every file");
        return;
    }
    for refused in [
        replay::<u64>(journal.path()).map(drop),
        verify(journal.path()).map(drop),
        options().open_blocking(journal.path()).map(drop),
    ] {
        let refused = refused.unwrap_err().to_string();
        assert!(refused.contains(NAME), "{refused}");
    }
}
