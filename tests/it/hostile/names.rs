//! Names that are legal and that nobody expects.

use std::{
    ffi::{OsStr, OsString},
    os::unix::{ffi::OsStrExt, fs::symlink},
};

use super::*;

/// Opens, rotates, closes, tears, recovers and reads a journal of this name.
fn lives(name: &OsStr) {
    let dir = Journal::new();
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
    let cut = store.open_report().truncated.clone().unwrap();
    assert!(cut.saved_to.unwrap().exists(), "{name:?}");
    drop(store);
    assert_eq!(replay::<u64>(&path).unwrap(), [1, 2], "{name:?}");
}

#[test]
fn any_name_names_a_journal() {
    for name in
        [&b"a\nb"[..], b"\xff\xfe", b" ", b"-rf", b".hidden", b"j.001", b"j.next", "ü\u{202e}".as_bytes()]
    {
        lives(OsStr::from_bytes(name));
    }
    lives(&OsString::from("n".repeat(200)));
}

#[test]
fn a_name_too_long_for_its_companions_is_refused_and_leaves_nothing() {
    for len in [251, 255, 256] {
        let dir = Journal::new();
        let path = dir.dir().join("n".repeat(len));
        let refused = options().open_blocking(&path);
        assert!(matches!(refused, Err(MiniStoreError::Io { .. })), "{len}: {refused:?}");
        assert!(is_empty(dir.dir()), "{len}");
    }
}

#[test]
fn what_is_no_name_is_refused() {
    let dir = Journal::new();
    for path in [dir.dir().join(".."), "/".into(), "".into(), dir.dir().join("a\0b")] {
        let refused = options().open_blocking(&path);
        assert!(refused.is_err(), "{path:?}: {refused:?}");
        assert!(verify(&path).is_err() && salvage(&path, dir.dir().join("new")).is_err(), "{path:?}");
    }
    assert!(is_empty(dir.dir()));
}

#[test]
fn a_directory_by_another_name_is_the_same_directory() {
    let real = Journal::of(&sample(2));
    let other = Journal::new();
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
fn a_salvage_into_a_file_of_the_old_journal_is_refused() {
    let files = sample(2);
    let journal = Journal::of(&files);
    for suffix in ["", ".001", ".002", ".0077", ".next", ".lock"] {
        let refused = salvage(journal.path(), journal.file(suffix));
        assert!(refused.is_err(), "{suffix}: {refused:?}");
        assert_eq!(journal.files(), files, "{suffix}");
    }
}
