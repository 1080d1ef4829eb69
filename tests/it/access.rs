//! Who may touch a journal's files: their mode, symbolic links in their place, locks that cannot be stolen.

use std::{
    fs,
    os::unix::fs::{PermissionsExt, symlink},
    path::Path,
};

use ministore_uring::{JournalOptions, MiniStoreError};

use crate::support::{Journal, for_each_backend, numbered, replay};

fn mode_of(path: &Path) -> u32 {
    fs::metadata(path).unwrap().permissions().mode() & 0o7777
}

/// Every file of a journal that was rotated, torn, recovered, and is open.
fn modes(options: &JournalOptions) -> Vec<(String, u32)> {
    let journal = Journal::new();
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
fn new_files_are_their_owners_alone() {
    for_each_backend(|options| {
        let modes = modes(&options);
        let names: Vec<_> = modes.iter().map(|(name, _)| name.as_str()).collect();
        let [active, archived, lock, cut] = names[..] else { panic!("{names:?}") };
        assert!(
            archived.ends_with(".001") && cut.contains(".truncated-") && lock.ends_with(".lock"),
            "{active}"
        );
        assert!(modes.iter().all(|&(_, mode)| mode == 0o600), "{modes:?}");
    });
}

#[test]
fn new_files_have_the_mode_asked_for_less_the_umask() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let allowed = journal.file(".probe");
        fs::write(&allowed, "").unwrap();
        let umask_allows = mode_of(&allowed);
        let modes = modes(&options.mode(0o644));
        assert!(modes.iter().all(|&(_, mode)| mode == 0o644 & umask_allows), "{modes:?}");
    });
}

#[test]
fn files_that_exist_keep_their_mode() {
    for_each_backend(|options| {
        let journal = Journal::of_bytes("// MINISTORE JOURNAL v0.1.4\n1\n2\n");
        fs::set_permissions(journal.path(), fs::Permissions::from_mode(0o640)).unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append(&3).unwrap();
        assert_eq!(mode_of(journal.path()), 0o640);
    });
}

#[test]
fn a_mode_that_locks_the_owner_out_is_refused() {
    for mode in [0o400, 0o200, 0o060, 0o1600, 0o4755] {
        let journal = Journal::new();
        let refused = JournalOptions::new().mode(mode).open_blocking(journal.path());
        assert!(matches!(refused, Err(MiniStoreError::InvalidArgument(_))), "0o{mode:o}: {refused:?}");
    }
}

#[test]
fn a_symbolic_link_is_never_written_through() {
    for_each_backend(|options| {
        for suffix in [".lock", ".next", ".001"] {
            let journal = Journal::new();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&1).unwrap();
            store.blocking().close().unwrap();
            let victim = journal.file(".victim");
            fs::write(&victim, "somebody's").unwrap();
            let _ = fs::remove_file(journal.file(suffix));
            symlink(&victim, journal.file(suffix)).unwrap();
            let refused = options.clone().open_blocking(journal.path()).unwrap_err().to_string();
            assert!(refused.contains(suffix), "{refused}");
            assert_eq!(fs::read(&victim).unwrap(), b"somebody's", "{suffix}");
        }
    });
}

#[test]
fn a_dangling_link_creates_nothing_where_it_points() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let target = journal.file(".elsewhere");
        symlink(&target, journal.path()).unwrap();
        let refused = options.open_blocking(journal.path()).unwrap_err();
        assert!(refused.to_string().contains("journal.jsonl: cannot"), "{refused}");
        assert!(!target.exists());
    });
}

#[test]
fn stale_lock_file_content_does_not_block_open() {
    for_each_backend(|options| {
        let journal = Journal::new();
        // A pid that runs (init), one that cannot, and no pid at all.
        for left in ["1\n", "4194305\n", "not a pid"] {
            fs::write(journal.file(".lock"), left).unwrap();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&left).unwrap();
            store.blocking().close().unwrap();
            assert_eq!(fs::read_to_string(journal.file(".lock")).unwrap(), left, "not even read");
        }
    });
}

#[test]
fn writing_a_pid_into_the_lock_file_steals_nothing() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        fs::write(journal.file(".lock"), "4194305\n").unwrap();
        assert!(matches!(options.clone().open_blocking(journal.path()), Err(MiniStoreError::Locked { .. })));
        store.blocking().append(&1).unwrap();
    });
}

#[test]
fn removing_the_lock_file_lets_no_second_writer_in() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        for record in 0..3u32 {
            fs::remove_file(journal.file(".lock")).unwrap();
            let second = options.clone().open_blocking(journal.path());
            assert!(matches!(second, Err(MiniStoreError::Locked { .. })), "{second:?}");
            // The new segment is as locked as the old one was.
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
fn a_hard_link_to_the_active_segment_lets_no_second_writer_in() {
    for_each_backend(|options| {
        let journal = Journal::new();
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
        let journal = Journal::new();
        let archive = |from: &str, to: &str| {
            fs::rename(journal.file(from), journal.dir().join(to)).unwrap();
            symlink(journal.dir().join(to), journal.file(from)).unwrap();
            fs::set_permissions(journal.dir().join(to), fs::Permissions::from_mode(0o400)).unwrap();
        };
        for record in 1..=2u32 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
            store.blocking().close().unwrap();
            archive(&format!(".00{record}"), &format!("elsewhere-{record}"));
        }
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&3).unwrap();
        assert_eq!(numbered::<u32>(journal.path()).unwrap(), [(1, 1), (2, 2), (3, 3)]);
    });
}
