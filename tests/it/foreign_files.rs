//! Files that are not the journal's own: never deleted, replaced, renamed or adopted, and named where they are in the way.

use std::{
    collections::BTreeMap,
    fs,
    os::unix::fs::{MetadataExt, symlink},
    path::{Path, PathBuf},
    time::{Duration, Instant},
};

use ministore_uring::{
    JournalOptions, MiniStore, MiniStoreError, Reader, Result,
    maintenance::{RepairMode, repair, salvage, verify},
};

use crate::support::{Journal, block_on, for_each_backend, numbered, original_write, replay};

/// A store that does not stop for longer hangs.
const HANG: Duration = Duration::from_secs(60);

/// A directory of its own; `journal.jsonl` is not used.
fn directory() -> (Journal, PathBuf) {
    let journal = Journal::new();
    let dir = journal.dir().canonicalize().unwrap();
    (journal, dir)
}

/// Opens the journal `j` in a directory of its own and appends 1.
fn one_record(options: &JournalOptions) -> (Journal, PathBuf, PathBuf, MiniStore) {
    let (keep, dir) = directory();
    let path = dir.join("j");
    let store = options.clone().open_blocking(&path).unwrap();
    store.blocking().append(&1).unwrap();
    (keep, dir, path, store)
}

fn write(options: &JournalOptions, path: &Path, segments: &[&[u64]]) {
    let store = options.clone().open_blocking(path).unwrap();
    for (index, records) in segments.iter().enumerate() {
        if index > 0 {
            store.blocking().rotate().unwrap();
        }
        store.blocking().append_batch(records.iter()).unwrap();
    }
    store.blocking().close().unwrap();
}

/// Every file in the directory whose name passes, with inode and content. What a store writes after its last record in the
/// background (padding, a closed mark) does not count.
fn files(dir: &Path, is_wanted: impl Fn(&str) -> bool) -> BTreeMap<String, (u64, String)> {
    let content = |path: &Path| String::from_utf8(fs::read(path).unwrap()).unwrap().trim_end().to_owned();
    let entries = fs::read_dir(dir).unwrap().map(|entry| entry.unwrap());
    entries
        .filter(|entry| entry.metadata().unwrap().is_file())
        .map(|entry| (entry.file_name().into_string().unwrap(), entry.path()))
        .filter(|(name, _)| is_wanted(name))
        .map(|(name, path)| (name, (fs::metadata(&path).unwrap().ino(), content(&path))))
        .collect()
}

fn assert_not_owned<T: std::fmt::Debug>(outcome: Result<T>, file: &Path, word: &str) {
    let error = outcome.unwrap_err();
    let MiniStoreError::NotOwned { path, .. } = &error else { panic!("{error:?}") };
    assert_eq!(path, file);
    assert!(error.to_string().contains(word), "{error}");
}

/// Says why the store stopped.
fn poison(outcome: Result<()>) -> String {
    match outcome {
        Err(MiniStoreError::Poisoned { source, .. }) => source.to_string(),
        other => panic!("not poisoned: {other:?}"),
    }
}

/// Appends 2, 3, ... until the store stops, which takes at most a second: commits check the name once a second.
fn append_until_stopped(store: &MiniStore) -> Result<()> {
    let began = Instant::now();
    for n in 2_u64.. {
        store.blocking().append(&n)?;
        assert!(began.elapsed() < HANG, "the store never stops");
    }
    Ok(())
}

#[test]
fn journals_named_by_year_survive_rotation() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        for year in [2022, 2023, 2024, 2025] {
            write(&options, &dir.join(format!("orders.{year}")), &[&[year]]);
        }
        let is_other = |name: &str| name.starts_with("orders.20");
        let before = files(&dir, is_other);
        let path = dir.join("orders");
        assert_eq!(replay::<u64>(&path).unwrap(), [0; 0], "no such journal");
        let store = options.clone().max_segments(1).open_blocking(&path).unwrap();
        assert!(store.open_report().created);
        for record in 0..4 {
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
        }
        store.blocking().close().unwrap();
        assert_eq!(files(&dir, is_other), before);
        assert!(verify(&path).unwrap().faults.is_empty());
        for year in [2022, 2023, 2024, 2025] {
            assert_eq!(replay::<u64>(dir.join(format!("orders.{year}"))).unwrap(), [year]);
        }
    });
}

#[test]
fn rotation_skips_the_names_of_open_journals() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let others: Vec<_> = ["t.002", "t.3", "t.004"]
            .map(|name| options.clone().open_blocking(dir.join(name)).unwrap())
            .into_iter()
            .collect();
        let path = dir.join("t");
        let store = options.clone().open_blocking(&path).unwrap();
        for record in 0..5_u64 {
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
            others.iter().for_each(|other| other.blocking().append(&(100 + record)).unwrap());
            others.iter().for_each(|other| other.blocking().rotate().unwrap());
        }
        store.blocking().append(&5).unwrap();
        assert_eq!(numbered::<u64>(&path).unwrap(), (0..6).map(|n| (n + 1, n)).collect::<Vec<_>>());
        store.blocking().close().unwrap();
        assert!(verify(&path).unwrap().faults.is_empty());
        for (name, other) in ["t.002", "t.3", "t.004"].iter().zip(&others) {
            assert_eq!(replay::<u64>(dir.join(name)).unwrap(), (100..105).collect::<Vec<_>>());
            other.blocking().close().unwrap();
        }
        let names: Vec<_> = verify(&path).unwrap().segments.into_iter().map(|segment| segment.path).collect();
        assert_eq!(names, ["t.001", "t.003", "t.005", "t.006", "t.007", "t"].map(|name| dir.join(name)));
        // And once more, from what is on the disk.
        write(&options, &path, &[&[6], &[7]]);
        assert_eq!(replay::<u64>(&path).unwrap(), (0..8).collect::<Vec<_>>());
    });
}

#[test]
fn file_that_appears_at_the_next_name_is_kept() {
    for_each_backend(|options| {
        let (_keep, dir, path, store) = one_record(&options);
        fs::write(dir.join("j.001"), "notes\n").unwrap();
        symlink("nowhere", dir.join("j.002")).unwrap();
        fs::create_dir(dir.join("j.003")).unwrap();
        fs::write(dir.join("j.004.lock"), "").unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&2).unwrap();
        assert!(dir.join("j.005").exists() && !dir.join("j.004").exists());
        assert_eq!(fs::read_to_string(dir.join("j.001")).unwrap(), "notes\n");
        assert_eq!(fs::read_link(dir.join("j.002")).unwrap(), Path::new("nowhere"));
        store.blocking().close().unwrap();
        // What could be a damaged segment is never left out silently; the error names it.
        let told = replay::<u64>(&path).unwrap_err().to_string();
        assert!(told.contains("j.001"), "{told}");
        fs::remove_file(dir.join("j.001")).unwrap();
        fs::remove_file(dir.join("j.002")).unwrap();
        fs::remove_dir(dir.join("j.003")).unwrap();
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2]);
    });
}

#[test]
fn trim_keeps_files_that_are_no_segments() {
    for_each_backend(|options| {
        let (_keep, other) = directory();
        write(&options, &other.join("other"), &[&[70]]);
        let journal = fs::read(other.join("other")).unwrap();
        for (name, bytes) in [("j.000", b"notes\n".to_vec()), ("j.0", journal)] {
            let (_keep, dir) = directory();
            let path = dir.join("j");
            write(&options, &path, &[&[1], &[2], &[3]]);
            let store = options.clone().open_blocking(&path).unwrap();
            fs::write(dir.join(name), &bytes).unwrap();
            let told = block_on(store.trim_before(3)).unwrap_err().to_string();
            assert!(told.contains(name), "{told}");
            assert_eq!(fs::read(dir.join(name)).unwrap(), bytes);
            assert!(dir.join("j.001").exists() && dir.join("j.002").exists());
            fs::remove_file(dir.join(name)).unwrap();
            assert_eq!(block_on(store.trim_before(3)).unwrap(), 3);
            store.blocking().close().unwrap();
            assert_eq!(replay::<u64>(&path).unwrap(), [3]);
        }
    });
}

#[test]
fn opening_a_rotated_segment_is_refused() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let path = dir.join("j");
        write(&options, &path, &[&[1], &[2], &[3]]);
        let before = files(&dir, |_| true);
        for name in ["j.001", "j.002"] {
            let refused = options.clone().open_blocking(dir.join(name));
            assert_not_owned(refused, &dir.join(name), &path.display().to_string());
            let refused = repair(dir.join(name), RepairMode::Apply);
            assert!(refused.is_err() || refused.is_ok_and(|repair| repair.actions.is_empty()), "{name}");
        }
        assert_eq!(files(&dir, |_| true), before, "not even a lock file is left");
        // Readers still may.
        assert_eq!(replay::<u64>(dir.join("j.002")).unwrap(), [2]);
        // While it is open, and after its active file is gone.
        let store = options.clone().open_blocking(&path).unwrap();
        assert_not_owned(
            options.clone().open_blocking(dir.join("j.002")),
            &dir.join("j.002"),
            "rotated segment",
        );
        store.blocking().close().unwrap();
        fs::remove_file(&path).unwrap();
        fs::remove_file(dir.join("j.lock")).unwrap();
        assert_not_owned(
            options.clone().open_blocking(dir.join("j.001")),
            &dir.join("j.001"),
            "rotated segment",
        );
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2]);
    });
}

#[test]
fn opening_a_segment_of_the_original_is_refused() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let path = dir.join("j");
        let few = ministore::MiniStoreOptions::new().max_bytes_per_segment(60);
        original_write(&path, few, &(0..20_u64).collect::<Vec<_>>());
        let before = files(&dir, |_| true);
        let segment = before.keys().find(|name| name.starts_with("j.0")).unwrap();
        assert_not_owned(options.open_blocking(dir.join(segment)), &dir.join(segment), "empty file");
        assert_eq!(files(&dir, |_| true), before);
    });
}

#[test]
fn lock_file_makes_a_journal_of_its_own() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        write(&options, &dir.join("j"), &[&[1], &[2]]);
        // Another journal, whose lock file was removed: it does not continue the chain.
        write(&options, &dir.join("j.7"), &[&[70]]);
        fs::remove_file(dir.join("j.7.lock")).unwrap();
        assert!(matches!(options.clone().open_blocking(dir.join("j")), Err(MiniStoreError::Corrupt { .. })));
        let other = options.clone().open_blocking(dir.join("j.7")).unwrap();
        other.blocking().append(&71).unwrap();
        write(&options, &dir.join("j"), &[&[3], &[4]]);
        other.blocking().close().unwrap();
        assert_eq!(replay::<u64>(dir.join("j")).unwrap(), [1, 2, 3, 4]);
        assert_eq!(replay::<u64>(dir.join("j.7")).unwrap(), [70, 71]);
    });
}

#[test]
fn segment_with_a_lock_file_is_not_left_out_silently() {
    for_each_backend(|options| {
        for name in ["j.001", "j.002"] {
            let (_keep, dir) = directory();
            let path = dir.join("j");
            write(&options, &path, &[&[1], &[2], &[3]]);
            let lock = dir.join(format!("{name}.lock"));
            fs::write(&lock, "").unwrap();
            assert!(replay::<u64>(&path).is_err(), "{name}");
            if name == "j.001" {
                assert_not_owned(replay::<u64>(&path), &dir.join(name), "remove that lock file");
                assert_not_owned(
                    options.clone().open_blocking(&path),
                    &dir.join(name),
                    "remove that lock file",
                );
                assert_not_owned(verify(&path), &dir.join(name), "j.001.lock");
            } else {
                assert!(!verify(&path).unwrap().faults.is_empty());
            }
            fs::remove_file(&lock).unwrap();
            assert_eq!(replay::<u64>(&path).unwrap(), [1, 2, 3]);
        }
    });
}

#[test]
fn companions_of_a_journal_are_no_journals() {
    for_each_backend(|options| {
        let (_keep, dir, _, store) = one_record(&options);
        for name in ["j.lock", "j.next", "j.holds", "j.holds.next", "j.truncated-12", "j.truncated-12-1"] {
            assert_not_owned(
                options.clone().open_blocking(dir.join(name)),
                &dir.join(name),
                "j: open that one",
            );
            assert!(!dir.join(format!("{name}.lock")).exists());
        }
        store.blocking().rotate().unwrap();
        store.blocking().close().unwrap();
        // The same names without such a journal are names like any other, and stay so.
        let names = ["k.next", "k.holds", "k.holds.next", "k.lock"];
        for name in names {
            write(&options, &dir.join(name), &[&[1], &[2]]);
        }
        let before = files(&dir, |name| name.starts_with("k."));
        let refused = options.clone().open_blocking(dir.join("k"));
        assert_not_owned(refused, &dir.join("k.next"), "k.next.lock");
        assert_eq!(files(&dir, |name| names.contains(&name)), {
            let mut before = before;
            before.retain(|name, _| names.contains(&name.as_str()));
            before
        });
        for name in names {
            assert_eq!(replay::<u64>(dir.join(name)).unwrap(), [1, 2], "{name}");
        }
    });
}

#[test]
fn prepared_name_that_is_taken_stops_rotation_only() {
    for_each_backend(|options| {
        let (_keep, dir, path, store) = one_record(&options);
        fs::write(dir.join("j.next"), "notes\n").unwrap();
        assert_not_owned(store.blocking().rotate(), &dir.join("j.next"), "move it away");
        store.blocking().append(&2).unwrap();
        assert_eq!(fs::read_to_string(dir.join("j.next")).unwrap(), "notes\n");
        fs::remove_file(dir.join("j.next")).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&3).unwrap();
        fs::write(dir.join("j.next"), "more notes\n").unwrap();
        store.blocking().close().unwrap();
        assert_eq!(fs::read_to_string(dir.join("j.next")).unwrap(), "more notes\n");
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2, 3]);
    });
}

#[test]
fn recovery_leaves_a_locked_file_alone() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        // Open journals whose lock files were removed.
        let next = options.clone().open_blocking(dir.join("j.next")).unwrap();
        next.blocking().append(&1).unwrap();
        let segment = options.clone().open_blocking(dir.join("k.4")).unwrap();
        segment.blocking().append(&1).unwrap();
        fs::remove_file(dir.join("j.next.lock")).unwrap();
        fs::remove_file(dir.join("k.4.lock")).unwrap();
        for (name, file) in [("j", "j.next"), ("k", "k.4")] {
            let refused = options.clone().open_blocking(dir.join(name));
            let Err(MiniStoreError::Locked { path, .. }) = refused else { panic!("{refused:?}") };
            assert_eq!(path, dir.join(file));
            assert!(!dir.join(name).exists());
        }
        for store in [next, segment] {
            store.blocking().append(&2).unwrap();
            store.blocking().close().unwrap();
            assert_eq!(replay::<u64>(store.path()).unwrap(), [1, 2]);
        }
    });
}

#[test]
fn journals_without_an_active_file_are_not_adopted_as_a_chain() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        for name in ["j.2024", "j.2025"] {
            write(&options, &dir.join(name), &[&[1, 2]]);
            fs::remove_file(dir.join(format!("{name}.lock"))).unwrap();
        }
        let before = files(&dir, |name| name.starts_with("j.20"));
        let refused = options.open_blocking(dir.join("j"));
        let Err(MiniStoreError::Corrupt { segment, .. }) = refused else { panic!("{refused:?}") };
        assert_eq!(segment, dir.join("j.2025"));
        assert_eq!(files(&dir, |name| name.starts_with("j.20")), before);
    });
}

#[test]
fn moved_directory_keeps_its_own_files() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let (old, new) = (dir.join("old"), dir.join("new"));
        let path = old.join("j");
        let store = options.clone().open_blocking(&path).unwrap();
        store.blocking().append(&1).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&2).unwrap();
        fs::rename(&old, &new).unwrap();
        fs::create_dir(&old).unwrap();
        let other = options.clone().open_blocking(&path).unwrap();
        other.blocking().append_batch([100, 101]).unwrap();
        other.blocking().rotate().unwrap();
        other.blocking().append(&102).unwrap();
        let before = files(&old, |_| true);
        for record in 3..6 {
            store.blocking().append(&record).unwrap();
            store.blocking().rotate().unwrap();
        }
        store.blocking().hold("consumer", 2).unwrap();
        assert_eq!(block_on(store.trim_before(4)).unwrap(), 2);
        assert_eq!(block_on(store.get::<u64>(4)).unwrap().unwrap().value, 4, "the store reads its own files");
        store.blocking().append(&6).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(files(&old, |_| true), before);
        assert_eq!(numbered::<u64>(new.join("j")).unwrap(), (2..=6).map(|n| (n, n)).collect::<Vec<_>>());
        other.blocking().append(&103).unwrap();
        other.blocking().close().unwrap();
        assert_eq!(replay::<u64>(&path).unwrap(), [100, 101, 102, 103]);
    });
}

#[test]
fn moved_active_file_poisons() {
    for_each_backend(|options| {
        for rotates in [false, true] {
            let (_keep, dir, path, store) = one_record(&options);
            fs::rename(&path, dir.join("elsewhere")).unwrap();
            let outcome = if rotates { store.blocking().rotate() } else { append_until_stopped(&store) };
            let told = poison(outcome);
            assert!(told.contains("no longer at") && told.contains("/j:"), "{told}");
            let acknowledged = store.durable_seq();
            assert!(acknowledged == 1 || !rotates);
            assert!(!dir.join("j.001").exists());
            assert!(store.blocking().close().is_err());
            let expected: Vec<u64> = (1..=acknowledged).collect();
            assert_eq!(
                replay::<u64>(dir.join("elsewhere")).unwrap(),
                expected,
                "nothing acknowledged is lost"
            );
        }
    });
}

#[test]
fn replaced_active_file_poisons_and_is_kept() {
    for_each_backend(|options| {
        for rotates in [false, true] {
            let (_keep, dir, path, store) = one_record(&options);
            // It keeps a name, so that only the name shows it.
            fs::rename(&path, dir.join("elsewhere")).unwrap();
            fs::write(&path, "notes\n").unwrap();
            let outcome = if rotates { store.blocking().rotate() } else { append_until_stopped(&store) };
            assert!(poison(outcome).contains("no longer at"));
            drop(store);
            assert_eq!(fs::read_to_string(&path).unwrap(), "notes\n");
            assert!(!dir.join("j.001").exists());
        }
    });
}

#[test]
fn symbolic_link_in_place_of_the_active_file_poisons() {
    for_each_backend(|options| {
        let (_keep, dir, path, store) = one_record(&options);
        fs::rename(&path, dir.join("elsewhere")).unwrap();
        symlink("elsewhere", &path).unwrap();
        assert!(poison(store.blocking().rotate()).contains("no longer at"));
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("elsewhere"));
    });
}

#[test]
fn hard_linked_backup_does_not_disturb() {
    for_each_backend(|options| {
        let (_keep, dir, path, store) = one_record(&options);
        fs::hard_link(&path, dir.join("backup")).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&2).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2]);
        assert_eq!(replay::<u64>(dir.join("backup")).unwrap(), [1]);
    });
}

#[test]
fn interrupted_rename_by_links_is_completed() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let path = dir.join("j");
        write(&options, &path, &[&[1], &[2]]);
        // The active file has its next archived name already.
        fs::hard_link(&path, dir.join("j.002")).unwrap();
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2]);
        assert!(verify(&path).unwrap().faults.is_empty());
        let plan = repair(&path, RepairMode::DryRun).unwrap();
        assert!(plan.unrepairable.is_empty(), "{plan:?}");
        assert!(dir.join("j.002").exists() && path.exists());
        write(&options, &path, &[&[3]]);
        assert_eq!(numbered::<u64>(&path).unwrap(), [(1, 1), (2, 2), (3, 3)]);
        assert_ne!(fs::metadata(&path).unwrap().ino(), fs::metadata(dir.join("j.002")).unwrap().ino());
        // The new segment has the active name, and still its old one.
        fs::hard_link(&path, dir.join("j.next")).unwrap();
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2, 3]);
        write(&options, &path, &[&[4]]);
        assert!(!dir.join("j.next").exists());
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2, 3, 4]);
    });
}

#[test]
fn nested_journals_rotate_side_by_side() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let paths = ["a", "a.1", "a.1.1"].map(|name| dir.join(name));
        let stores =
            paths.each_ref().map(|path| options.clone().max_segments(2).open_blocking(path).unwrap());
        for record in 0..6_u64 {
            for (index, store) in stores.iter().enumerate() {
                store.blocking().append(&(record * 10 + index as u64)).unwrap();
                store.blocking().rotate().unwrap();
            }
        }
        for (index, (path, store)) in paths.iter().zip(&stores).enumerate() {
            store.blocking().close().unwrap();
            let kept: Vec<u64> =
                Reader::open(path).unwrap().records().map(|record| record.unwrap().value).collect();
            assert!(kept.iter().all(|value| value % 10 == index as u64) && !kept.is_empty(), "{kept:?}");
            assert!(verify(path).unwrap().faults.is_empty());
        }
    });
}

#[test]
fn number_beyond_what_can_be_counted_is_no_segment() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let (path, other) = (dir.join("orders"), dir.join("orders.99999999999999999999"));
        write(&options, &other, &[&[1], &[2]]);
        fs::remove_file(dir.join("orders.99999999999999999999.lock")).unwrap();
        let before = files(&dir, |name| name.contains("999"));
        write(&options, &path, &[&[1], &[2], &[3]]);
        assert_eq!(files(&dir, |name| name.contains("999")), before);
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2, 3]);
    });
}

#[test]
fn salvage_leaves_other_journals_out() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        write(&options, &dir.join("j"), &[&[1], &[2]]);
        write(&options, &dir.join("j.7"), &[&[70]]);
        write(&options, &dir.join("new.3"), &[&[30]]);
        let before = files(&dir, |name| name.starts_with("j.7") || name.starts_with("new.3"));
        assert_eq!(salvage(dir.join("j"), dir.join("new")).unwrap().records, 2);
        assert_eq!(replay::<u64>(dir.join("new")).unwrap(), [1, 2]);
        assert_eq!(files(&dir, |name| name.starts_with("j.7") || name.starts_with("new.3")), before);
    });
}
