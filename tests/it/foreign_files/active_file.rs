//! The active file is moved, replaced or linked while a store has it open.

use super::*;

/// A test that waits longer than this hangs.
const HANG_TIMEOUT: Duration = Duration::from_secs(60);

/// Returns the cause in the error of a poisoned store.
fn poison_cause(outcome: Result<()>) -> String {
    match outcome {
        Err(MiniStoreError::Poisoned { source, .. }) => source.to_string(),
        other => panic!("not poisoned: {other:?}"),
    }
}

/// Appends 2, 3, ... until the store is poisoned, which takes about a second: commits check the name once a second.
fn append_until_poisoned(store: &MiniStore) -> Result<()> {
    let start = Instant::now();
    for n in 2_u64.. {
        store.blocking().append(&n)?;
        assert!(start.elapsed() < HANG_TIMEOUT, "the store is not poisoned");
    }
    Ok(())
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
            let (_keep, dir, path, store) = open_with_one_record(&options);
            fs::rename(&path, dir.join("elsewhere")).unwrap();
            let outcome = if rotates { store.blocking().rotate() } else { append_until_poisoned(&store) };
            let cause = poison_cause(outcome);
            assert!(cause.contains("no longer at") && cause.contains("/j:"), "{cause}");
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
            let (_keep, dir, path, store) = open_with_one_record(&options);
            // It is still linked, so only a check of the name detects it.
            fs::rename(&path, dir.join("elsewhere")).unwrap();
            fs::write(&path, "notes\n").unwrap();
            let outcome = if rotates { store.blocking().rotate() } else { append_until_poisoned(&store) };
            assert!(poison_cause(outcome).contains("no longer at"));
            drop(store);
            assert_eq!(fs::read_to_string(&path).unwrap(), "notes\n");
            assert!(!dir.join("j.001").exists());
        }
    });
}

#[test]
fn symbolic_link_in_place_of_the_active_file_poisons() {
    for_each_backend(|options| {
        let (_keep, dir, path, store) = open_with_one_record(&options);
        fs::rename(&path, dir.join("elsewhere")).unwrap();
        symlink("elsewhere", &path).unwrap();
        assert!(poison_cause(store.blocking().rotate()).contains("no longer at"));
        assert_eq!(fs::read_link(&path).unwrap(), Path::new("elsewhere"));
    });
}

#[test]
fn hard_linked_backup_does_not_disturb() {
    for_each_backend(|options| {
        let (_keep, dir, path, store) = open_with_one_record(&options);
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
        // The active file already has its rotated name.
        fs::hard_link(&path, dir.join("j.002")).unwrap();
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2]);
        assert!(verify(&path).unwrap().faults.is_empty());
        let plan = repair(&path, RepairMode::DryRun).unwrap();
        assert!(plan.unrepairable.is_empty(), "{plan:?}");
        assert!(dir.join("j.002").exists() && path.exists());
        write(&options, &path, &[&[3]]);
        assert_eq!(numbered::<u64>(&path).unwrap(), [(1, 1), (2, 2), (3, 3)]);
        assert_ne!(fs::metadata(&path).unwrap().ino(), fs::metadata(dir.join("j.002")).unwrap().ino());
        // The new segment has the active name and still its old one.
        fs::hard_link(&path, dir.join("j.next")).unwrap();
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2, 3]);
        write(&options, &path, &[&[4]]);
        assert!(!dir.join("j.next").exists());
        assert_eq!(replay::<u64>(&path).unwrap(), [1, 2, 3, 4]);
    });
}
