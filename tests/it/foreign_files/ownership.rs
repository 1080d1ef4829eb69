//! Opening files that belong to a journal, and journals whose files belong to another.

use super::*;

fn assert_not_owned<T: std::fmt::Debug>(outcome: Result<T>, file: &Path, word: &str) {
    let error = outcome.unwrap_err();
    let MiniStoreError::NotOwned { path, .. } = &error else { panic!("{error:?}") };
    assert_eq!(path, file);
    assert!(error.to_string().contains(word), "{error}");
}

#[test]
fn opening_a_rotated_segment_is_rejected() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let path = dir.join("j");
        write(&options, &path, &[&[1], &[2], &[3]]);
        let before = files(&dir, |_| true);
        for name in ["j.001", "j.002"] {
            let opened = options.clone().open_blocking(dir.join(name));
            assert_not_owned(opened, &dir.join(name), &path.display().to_string());
            let repaired = repair(dir.join(name), RepairMode::Apply);
            assert!(repaired.is_err() || repaired.is_ok_and(|repair| repair.actions.is_empty()), "{name}");
        }
        assert_eq!(files(&dir, |_| true), before, "not even a lock file is left");
        // A reader may open it.
        assert_eq!(replay::<u64>(dir.join("j.002")).unwrap(), [2]);
        // Also while the journal is open, and without an active file.
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
fn opening_a_segment_of_0_1_7_is_rejected() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        let path = dir.join("j");
        let small = ministore::MiniStoreOptions::new().max_bytes_per_segment(60);
        legacy_write(&path, small, &(0..20_u64).collect::<Vec<_>>());
        let before = files(&dir, |_| true);
        let segment = before.keys().find(|name| name.starts_with("j.0")).unwrap();
        assert_not_owned(options.open_blocking(dir.join(segment)), &dir.join(segment), "empty file");
        assert_eq!(files(&dir, |_| true), before);
    });
}

#[test]
fn lock_file_marks_a_separate_journal() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        write(&options, &dir.join("j"), &[&[1], &[2]]);
        // Another journal, whose lock file was removed: it does not continue the chain.
        write(&options, &dir.join("j.7"), &[&[70]]);
        fs::remove_file(dir.join("j.7.lock")).unwrap();
        assert!(matches!(options.clone().open_blocking(dir.join("j")), Err(MiniStoreError::NotOwned { .. })));
        let other = options.clone().open_blocking(dir.join("j.7")).unwrap();
        other.blocking().append(&71).unwrap();
        write(&options, &dir.join("j"), &[&[3], &[4]]);
        other.blocking().close().unwrap();
        assert_eq!(replay::<u64>(dir.join("j")).unwrap(), [1, 2, 3, 4]);
        assert_eq!(replay::<u64>(dir.join("j.7")).unwrap(), [70, 71]);
    });
}

#[test]
fn segment_with_a_lock_file_is_reported() {
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
fn side_files_are_not_journals() {
    for_each_backend(|options| {
        let (_keep, dir, _, store) = open_with_one_record(&options);
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
        // Without such a journal these are ordinary names.
        let names = ["k.next", "k.holds", "k.holds.next", "k.lock"];
        for name in names {
            write(&options, &dir.join(name), &[&[1], &[2]]);
        }
        let before = files(&dir, |name| name.starts_with("k."));
        let opened = options.clone().open_blocking(dir.join("k"));
        assert_not_owned(opened, &dir.join("k.next"), "k.next.lock");
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
fn taken_next_name_blocks_only_rotation() {
    for_each_backend(|options| {
        let (_keep, dir, path, store) = open_with_one_record(&options);
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
        let segment = options.clone().open_blocking(dir.join("k.004")).unwrap();
        segment.blocking().append(&1).unwrap();
        fs::remove_file(dir.join("j.next.lock")).unwrap();
        fs::remove_file(dir.join("k.004.lock")).unwrap();
        for (name, file) in [("j", "j.next"), ("k", "k.004")] {
            let opened = options.clone().open_blocking(dir.join(name));
            let Err(MiniStoreError::Locked { path, .. }) = opened else { panic!("{opened:?}") };
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
fn separate_journals_are_not_adopted_as_a_chain() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        for name in ["j.2024", "j.2025"] {
            write(&options, &dir.join(name), &[&[1, 2]]);
            fs::remove_file(dir.join(format!("{name}.lock"))).unwrap();
        }
        let before = files(&dir, |name| name.starts_with("j.20"));
        let opened = options.open_blocking(dir.join("j"));
        let Err(MiniStoreError::NotOwned { path, .. }) = opened else { panic!("{opened:?}") };
        assert_eq!(path, dir.join("j.2024"));
        assert_eq!(files(&dir, |name| name.starts_with("j.20")), before);
    });
}
