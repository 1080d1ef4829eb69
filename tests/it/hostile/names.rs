//! File names that are valid but unusual.

use std::{
    ffi::{OsStr, OsString},
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use super::*;

/// Opens, rotates, closes, tears, recovers and reads a journal with this name.
fn check_name(name: &OsStr) {
    let dir = TempJournal::new();
    let path = dir.dir().join(name);
    let store = options().open_blocking(&path).unwrap();
    store.blocking().append_batch([1, 2]).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().append(&3).unwrap();
    store.blocking().close().unwrap();
    let file = fs::OpenOptions::new().write(true).open(&path).unwrap();
    file.set_len(file.metadata().unwrap().len() - 10).unwrap();
    assert_eq!(replay::<u64>(&path).unwrap(), [1, 2], "{name:?}");
    assert!(verify(&path).unwrap().torn_tail.is_some(), "{name:?}");
    let store = options().open_blocking(&path).unwrap();
    let tail = store.open_report().truncated.clone().unwrap();
    assert!(tail.saved_to.unwrap().exists(), "{name:?}");
    drop(store);
    assert_eq!(replay::<u64>(&path).unwrap(), [1, 2], "{name:?}");
}

#[test]
fn any_file_name_is_a_valid_journal_name() {
    for name in
        [&b"a\nb"[..], b"\xff\xfe", b" ", b"-rf", b".hidden", b"j.001", b"j.next", "ü\u{202e}".as_bytes()]
    {
        check_name(OsStr::from_bytes(name));
    }
    check_name(&OsString::from("n".repeat(200)));
}

#[test]
fn too_long_name_is_rejected_without_files() {
    for len in [225, 244, 251, 255, 256] {
        let dir = TempJournal::new();
        let path = dir.dir().join("n".repeat(len));
        let opened = options().open_blocking(&path);
        let is_too_long =
            matches!(opened, Err(MiniStoreError::InvalidArgument(_) | MiniStoreError::Io { .. }));
        assert!(is_too_long, "{len}: {opened:?}");
        assert!(is_empty(dir.dir()), "{len}");
    }
}

#[test]
fn longest_name_has_space_for_every_side_file() {
    check_name(&OsString::from("n".repeat(224)));
}

#[test]
fn existing_journal_with_long_name_still_opens() {
    let dir = TempJournal::new();
    let path = dir.dir().join("n".repeat(240));
    fs::write(&path, "// MINISTORE JOURNAL v0.1.4\n1\n").unwrap();
    options().open_blocking(&path).unwrap().blocking().append(&2).unwrap();
    assert_eq!(replay::<u64>(&path).unwrap(), [1, 2]);
}

#[test]
fn path_of_a_directory_is_rejected_without_files() {
    let dir = TempJournal::new();
    let is_rejected = |path: &Path| {
        let opened = options().open_blocking(path);
        assert!(matches!(opened, Err(MiniStoreError::PathIsNotFile { .. })), "{path:?}: {opened:?}");
        assert!(verify(path).is_err(), "{path:?}");
        let salvaged = salvage(sample_journal().path(), path);
        assert!(matches!(salvaged, Err(MiniStoreError::PathIsNotFile { .. })), "{path:?}: {salvaged:?}");
    };
    for name in ["new/", "new/.", "new/..", "new//", "dir/new/"] {
        is_rejected(&dir.dir().join(name));
        assert!(is_empty(dir.dir()), "{name}");
    }
    fs::write(dir.dir().join("j"), sample(1).remove(NAME).unwrap()).unwrap();
    is_rejected(&dir.dir().join("j/"));
}

fn sample_journal() -> TempJournal {
    TempJournal::of(&sample(1))
}

#[test]
fn dangling_link_is_rejected_without_files() {
    let dir = TempJournal::new();
    for (link, target) in [("j", "nowhere"), ("k", "no/where"), ("l", "l")] {
        symlink(target, dir.dir().join(link)).unwrap();
    }
    for link in ["j", "k", "l"] {
        let path = dir.dir().join(link);
        let opened = options().open_blocking(&path);
        assert!(matches!(opened, Err(MiniStoreError::Io { .. })), "{opened:?}");
        assert!(opened.unwrap_err().to_string().contains(link), "the error names it");
        assert!(verify(&path).is_err());
    }
    assert_eq!(fs::read_dir(dir.dir()).unwrap().count(), 3, "no lock file");
}

#[test]
fn segment_that_is_a_dangling_link_is_an_error() {
    let journal = sample_journal();
    let link = journal.file(".003");
    symlink("nowhere", &link).unwrap();
    for outcome in [verify(journal.path()).map(drop), options().open_blocking(journal.path()).map(drop)] {
        let error = outcome.unwrap_err();
        assert_eq!(error.path(), Some(link.as_path()), "{error}");
    }
}

#[test]
fn invalid_name_is_rejected() {
    let dir = TempJournal::new();
    for path in [dir.dir().join(".."), "/".into(), "".into(), dir.dir().join("a\0b")] {
        let opened = options().open_blocking(&path);
        assert!(opened.is_err(), "{path:?}: {opened:?}");
        assert!(verify(&path).is_err() && salvage(&path, dir.dir().join("new")).is_err(), "{path:?}");
    }
    assert!(is_empty(dir.dir()));
}

#[test]
fn linked_directory_is_the_same_journal() {
    let real = TempJournal::of(&sample(2));
    let other = TempJournal::new();
    symlink(real.dir(), other.dir().join("link")).unwrap();
    let path = other.dir().join("link").join(NAME);
    assert_eq!(replay::<u64>(&path).unwrap(), (1..=12).collect::<Vec<_>>());
    let store = options().open_blocking(&path).unwrap();
    store.blocking().append(&13).unwrap();
    let second = options().open_blocking(real.path());
    assert!(matches!(second, Err(MiniStoreError::Locked { .. })), "{second:?}");
    drop(store);
    assert_eq!(replay::<u64>(real.path()).unwrap().len(), 13);
}

#[test]
fn salvage_into_the_source_journal_is_rejected() {
    let files = sample(2);
    let journal = TempJournal::of(&files);
    for suffix in ["", ".001", ".002", ".0077", ".next", ".lock"] {
        let opened = salvage(journal.path(), journal.file(suffix));
        assert!(opened.is_err(), "{suffix}: {opened:?}");
        assert_eq!(journal.files(), files, "{suffix}");
    }
}
