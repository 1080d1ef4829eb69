//! The sync mode of commits: the configured one if the file system is known to honor it, and otherwise `fdatasync`, which every
//! file system honors.

use std::path::Path;

use ministore_uring::{Backend, JournalOptions, MiniStoreError, SyncKind, SyncMode};

use crate::support::{NAME, TempJournal, numbered, on_each_backend, print_notice, replay};

const MODES: [SyncMode; 3] = [SyncMode::Auto, SyncMode::Dsync, SyncMode::Fdatasync];

/// ext4, xfs and btrfs.
const TRUSTED: [u32; 3] = [0xEF53, 0x5846_5342, 0x9123_683E];

const TMPFS: u32 = 0x0102_1994;

/// Returns the modes that a backend accepts.
fn modes(backend: Backend) -> impl Iterator<Item = SyncMode> + Clone {
    MODES.into_iter().filter(move |&mode| backend != Backend::TokioUring || mode != SyncMode::Dsync)
}

fn file_system(dir: &Path) -> u32 {
    rustix::fs::statfs(dir).unwrap().f_type as u32
}

#[test]
fn mode_in_use_follows_option_and_file_system() {
    on_each_backend(|backend| {
        for mode in modes(backend) {
            for (direct, preallocate) in [(true, true), (false, true), (true, false)] {
                let journal = TempJournal::new();
                let trusted = TRUSTED.contains(&file_system(journal.dir()));
                let options = JournalOptions::new().backend(backend).sync_mode(mode).direct_io(direct);
                let store = options.preallocate(preallocate).open_blocking(journal.path()).unwrap();
                store.blocking().append(&1).unwrap();
                store.blocking().rotate().unwrap();
                store.blocking().append(&2).unwrap();
                let stats = store.stats();
                let expected = match mode {
                    SyncMode::Dsync if trusted => SyncKind::Dsync,
                    SyncMode::Auto if stats.direct_io && backend != Backend::TokioUring => SyncKind::Dsync,
                    _ => SyncKind::Fdatasync,
                };
                assert_eq!(stats.sync_mode, expected, "{mode}, direct: {direct}, preallocate: {preallocate}");
                assert!(!stats.direct_io || trusted && direct && preallocate, "{mode}: {stats:?}");
                store.blocking().close().unwrap();
                assert_eq!(replay::<u32>(journal.path()).unwrap(), [1, 2]);
            }
        }
    });
}

#[test]
fn dsync_on_tmpfs_becomes_fdatasync() {
    let shm = Path::new("/dev/shm");
    let Some(dir) = tempfile::tempdir_in(shm).ok().filter(|_| file_system(shm) == TMPFS) else {
        return print_notice("SKIPPED: a file system that is not trusted: /dev/shm is no tmpfs");
    };
    on_each_backend(|backend| {
        for mode in modes(backend) {
            let path = dir.path().join(format!("{NAME}-{backend}-{mode}"));
            let options = JournalOptions::new().backend(backend).sync_mode(mode).max_segment_bytes(1000);
            let store = options.open_blocking(&path).unwrap();
            for number in 0..100u64 {
                store.blocking().append(&number).unwrap();
                let stats = store.stats();
                assert_eq!((stats.sync_mode, stats.direct_io), (SyncKind::Fdatasync, false), "{mode}");
            }
            store.blocking().close().unwrap();
            assert_eq!(numbered::<u64>(&path).unwrap().len(), 100, "{mode}");
        }
    });
}

#[test]
fn journal_moves_between_sync_modes() {
    on_each_backend(|backend| {
        let journal = TempJournal::new();
        let rounds = modes(backend).chain(modes(backend)).zip(0u64..);
        for (mode, round) in rounds.clone() {
            let options = JournalOptions::new().backend(backend).sync_mode(mode);
            let store = options.open_blocking(journal.path()).unwrap();
            store.blocking().append(&round).unwrap();
        }
        let expected: Vec<_> = rounds.map(|(_, round)| round).collect();
        assert_eq!(replay::<u64>(journal.path()).unwrap(), expected);
    });
}

#[test]
fn sync_mode_is_parsed_from_its_name() {
    for mode in MODES {
        assert_eq!(mode.to_string().parse::<SyncMode>().unwrap(), mode);
    }
    let parsed = "fsync".parse::<SyncMode>();
    assert!(matches!(parsed, Err(MiniStoreError::InvalidArgument(_))), "{parsed:?}");
    assert_eq!(SyncKind::Dsync.to_string(), "dsync");
    assert_eq!(SyncMode::default(), SyncMode::Auto);
}
