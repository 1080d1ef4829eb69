//! Access to the files of a journal: modes, symbolic links in their place, and locks that cannot be stolen.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use ministore_uring::{JournalOptions, MiniStoreError};

use crate::support::{TempJournal, for_each_backend, numbered, replay};

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Returns the names and modes of all files of an open journal that was rotated, torn and recovered.
fn modes(options: &JournalOptions) -> Vec<(String, u32)> {
    let journal = TempJournal::new();
    let open = || options.clone().open_blocking(journal.path()).unwrap();
    let store = open();
    store.blocking().append(&1).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().append(&2).unwrap();
    store.blocking().close().unwrap();
    let torn = journal
        .bytes()
        .strip_suffix(b"\t\n")
        .unwrap()
        .iter()
        .chain(b"\n{\"torn")
        .copied()
        .collect::<Vec<_>>();
    fs::write(journal.path(), torn).unwrap();
    let store = open();
    assert!(store.open_report().truncated.is_some());
    store.blocking().append(&3).unwrap();
    let entries = fs::read_dir(journal.dir()).unwrap().map(|entry| entry.unwrap());
    let mut modes: Vec<_> =
        entries.map(|entry| (entry.file_name().into_string().unwrap(), mode_of(&entry.path()))).collect();
    modes.sort();
    modes
}

#[test]
fn new_files_are_private_to_the_owner() {
    for_each_backend(|options| {
        let modes = modes(&options);
        let names: Vec<_> = modes.iter().map(|(name, _)| name.as_str()).collect();
        let [active, rotated, lock, truncated] = names[..] else { panic!("{names:?}") };
        assert!(
            rotated.ends_with(".001") && truncated.contains(".truncated-") && lock.ends_with(".lock"),
            "{active}"
        );
        assert!(modes.iter().all(|&(_, mode)| mode == 0o600), "{modes:?}");
    });
}

#[test]
fn new_files_have_the_mode_option_minus_umask() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let allowed = journal.file(".probe");
        fs::write(&allowed, "").unwrap();
        let umask_allows = mode_of(&allowed);
        let modes = modes(&options.mode(0o644));
        assert!(modes.iter().all(|&(_, mode)| mode == 0o644 & umask_allows), "{modes:?}");
    });
}

#[test]
fn existing_files_keep_their_mode() {
    for_each_backend(|options| {
        let journal = TempJournal::of_bytes("// MINISTORE JOURNAL v0.1.4\n1\n2\n");
        fs::set_permissions(journal.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append(&3).unwrap();
        assert_eq!(mode_of(journal.path()), 0o640);
    });
}

#[test]
fn mode_without_owner_access_is_rejected() {
    for mode in [0o400, 0o200, 0o060, 0o1600, 0o4755] {
        let journal = TempJournal::new();
        let opened = JournalOptions::new().mode(mode).open_blocking(journal.path());
        assert!(matches!(opened, Err(MiniStoreError::InvalidArgument(_))), "0o{mode:o}: {opened:?}");
    }
}

#[test]
fn symbolic_link_is_never_written_through() {
    for_each_backend(|options| {
        for suffix in [".lock", ".next", ".001"] {
            let journal = TempJournal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&1).unwrap();
            store.blocking().close().unwrap();
            let victim = journal.file(".victim");
            fs::write(&victim, "other data").unwrap();
            let _ = fs::remove_file(journal.file(suffix));
            symlink(&victim, journal.file(suffix)).unwrap();
            let error = options.clone().open_blocking(journal.path()).unwrap_err().to_string();
            assert!(error.contains(suffix), "{error}");
            assert_eq!(fs::read(&victim).unwrap(), b"other data", "{suffix}");
        }
    });
}

#[test]
fn dangling_link_creates_no_file() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let target = journal.file(".elsewhere");
        symlink(&target, journal.path()).unwrap();
        let error = options.open_blocking(journal.path()).unwrap_err();
        assert!(error.to_string().contains("journal.jsonl: cannot"), "{error}");
        assert!(!target.exists());
    });
}

#[test]
fn stale_lock_file_content_does_not_block_open() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        // The pid of a running process (init), a pid that no process can have, and no pid.
        for content in ["1\n", "4194305\n", "not a pid"] {
            fs::write(journal.file(".lock"), content).unwrap();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&content).unwrap();
            store.blocking().close().unwrap();
            assert_eq!(fs::read_to_string(journal.file(".lock")).unwrap(), content, "unchanged");
        }
    });
}

#[test]
fn pid_in_lock_file_does_not_steal_the_lock() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        fs::write(journal.file(".lock"), "4194305\n").unwrap();
        assert!(matches!(options.clone().open_blocking(journal.path()), Err(MiniStoreError::Locked { .. })));
        store.blocking().append(&1).unwrap();
    });
}

#[test]
fn removed_lock_file_admits_no_second_writer() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        for record in 0..3u32 {
            fs::remove_file(journal.file(".lock")).unwrap();
            let second = options.clone().open_blocking(journal.path());
            assert!(matches!(second, Err(MiniStoreError::Locked { .. })), "{second:?}");
            // The new segment is locked too.
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
        }
        store.blocking().close().unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append(&3).unwrap();
        assert_eq!(replay::<u32>(journal.path()).unwrap(), [0, 1, 2, 3]);
    });
}

#[test]
fn hard_link_admits_no_second_writer() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&1).unwrap();
        let other = journal.dir().join("other.jsonl");
        fs::hard_link(journal.path(), &other).unwrap();
        let second = options.clone().open_blocking(&other);
        assert!(matches!(second, Err(MiniStoreError::Locked { .. })), "{second:?}");
        store.blocking().append(&2).unwrap();
        assert_eq!(numbered::<u32>(journal.path()).unwrap(), [(1, 1), (2, 2)]);
    });
}

#[test]
fn rotated_segments_may_be_links_and_read_only() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let replace_with_link = |from: &str, to: &str| {
            fs::rename(journal.file(from), journal.dir().join(to)).unwrap();
            symlink(journal.dir().join(to), journal.file(from)).unwrap();
            fs::set_permissions(journal.dir().join(to), fs::Permissions::from_mode(0o400)).unwrap();
        };
        for record in 1..=2u32 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
            store.blocking().close().unwrap();
            replace_with_link(&format!(".00{record}"), &format!("elsewhere-{record}"));
        }
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&3).unwrap();
        assert_eq!(numbered::<u32>(journal.path()).unwrap(), [(1, 1), (2, 2), (3, 3)]);
    });
}
