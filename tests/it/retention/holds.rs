//! Held records are kept, and holds survive reopening, crashes and kills.

use super::*;

fn holds(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(name, seq)| ((*name).to_owned(), *seq)).collect()
}

#[test]
fn no_limit_deletes_held_records() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let options = options.max_segments(1).max_total_bytes(1).max_age(Duration::from_nanos(1));
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().hold("slow", 5).unwrap();
        store.blocking().hold("quick", 1000).unwrap();
        write_segments(&store, 4);
        assert_eq!(store.blocking().trim_before(1000).unwrap(), 1);
        assert_eq!(found_seqs(&journal), (1..=40).collect::<Vec<_>>());
        store.blocking().hold("slow", 11).unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 11);
        // A hold may move back as far as the first record that still exists.
        store.blocking().hold("slow", 25).unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 21);
        store.blocking().hold("slow", 21).unwrap();
        let outcome = store.blocking().hold("slow", 20);
        let Err(MiniStoreError::Trimmed { path, first_seq: 21 }) = outcome else { panic!("{outcome:?}") };
        assert_eq!(path, journal.path());
        assert_eq!(store.holds(), holds(&[("quick", 1000), ("slow", 21)]));
        assert!(store.blocking().release_hold("slow").unwrap());
        assert!(!store.blocking().release_hold("slow").unwrap());
        store.blocking().trim_before(0).unwrap();
        assert_eq!((store.first_seq(), found_seqs(&journal)), (41, vec![]));
        store.blocking().close().unwrap();
    });
}

#[test]
fn hold_survives_reopen_with_other_options() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert_eq!(store.holds(), holds(&[]));
        write_segments(&store, 3);
        store.blocking().hold("a \"name\" ü", 12).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(journal.names().len(), 5, "{:?}", journal.names());

        let store = options.clone().max_segments(1).open_blocking(journal.path()).unwrap();
        assert_eq!(store.holds(), holds(&[("a \"name\" ü", 12)]));
        write_segments(&store, 1);
        assert_eq!(store.blocking().trim_before(1000).unwrap(), 11);
        store.blocking().close().unwrap();

        let store = options.clone().checksums(false).open_blocking(journal.path()).unwrap();
        assert_eq!((store.first_seq(), store.holds().len()), (11, 1));
        assert!(store.blocking().release_hold("a \"name\" ü").unwrap(), "although no hold can be set");
        store.blocking().close().unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.holds(), holds(&[]));
    });
}

#[test]
fn hold_names_are_validated() {
    let journal = TempJournal::new();
    let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
    for (name, part) in
        [("", "empty"), (&*"x".repeat(256), "255 bytes"), ("a\nb", "control"), ("\u{85}", "control")]
    {
        assert!(is_invalid(store.blocking().hold(name, 1), part), "{name:?}");
        assert!(!store.blocking().release_hold(name).unwrap());
    }
    store.blocking().hold(&"ü".repeat(127), 1).unwrap();
    assert_eq!(store.holds().len(), 1);
}

#[test]
fn holds_move_during_appends_and_trims() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = &options.max_segment_bytes(400).open_blocking(journal.path()).unwrap();
        (0..4).for_each(|consumer| store.blocking().hold(&consumer.to_string(), 1).unwrap());
        std::thread::scope(|scope| {
            for consumer in 0..4_u64 {
                scope.spawn(move || {
                    for round in 1..=30 {
                        store.blocking().hold(&consumer.to_string(), round * 10 + consumer).unwrap();
                        assert!(store.first_seq() <= round * 10 + consumer);
                    }
                });
            }
            scope.spawn(move || (0..30).for_each(|_| append(store, 20)));
            scope.spawn(move || {
                for _ in 0..30 {
                    assert!(store.blocking().trim_before(1000).unwrap() <= store.durable_seq() + 1);
                }
            });
        });
        assert_eq!(store.holds(), holds(&[("0", 300), ("1", 301), ("2", 302), ("3", 303)]));
        let first = store.blocking().trim_before(1000).unwrap();
        assert!((200..=300).contains(&first), "{first}");
        assert_eq!(found_seqs(&journal), (first..=600).collect::<Vec<_>>());
        store.blocking().close().unwrap();
    });
}

#[test]
fn damaged_holds_file_is_rejected() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        append(&store, 1);
        store.blocking().hold("x", 17).unwrap();
        let crashed = journal.files();
        store.blocking().close().unwrap();
        drop(store);
        let path = journal.file(".holds");
        let intact = fs::read(&path).unwrap();
        let text = String::from_utf8(intact.clone()).unwrap();
        assert_eq!(text.lines().nth(1), Some(r#"{"name":"x","seq":17}"#));
        for damaged in [text.replace("17", "18"), String::new(), text[..text.len() - 1].to_owned()] {
            journal.restore(&crashed);
            fs::write(&path, damaged).unwrap();
            let before = journal.files();
            match options.clone().max_segments(1).open_blocking(journal.path()) {
                Err(MiniStoreError::Corrupt { segment, reason, .. }) => {
                    assert_eq!(segment, path);
                    assert!(reason.contains("give up the holds"), "{reason}");
                }
                other => panic!("{other:?}"),
            }
            assert_eq!(journal.files(), before);
            let faults = verify(journal.path()).unwrap().faults;
            assert!(faults.iter().any(|fault| fault.segment == path), "{faults:?}");
        }
        fs::write(&path, intact).unwrap();
        assert_eq!(options.open_blocking(journal.path()).unwrap().holds(), holds(&[("x", 17)]));
        assert_eq!(verify(journal.path()).unwrap().holds, holds(&[("x", 17)]));
    });
}

#[test]
fn interrupted_holds_write_is_removed() {
    for_each_commit_path(|options| {
        let journal = TempJournal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().hold("x", 1).unwrap();
        store.blocking().close().unwrap();
        fs::write(journal.file(".holds.next"), "{\"minis").unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        assert!(!journal.file(".holds.next").exists());
        // A later hold replaces it too.
        fs::write(journal.file(".holds.next"), "{\"minis").unwrap();
        store.blocking().hold("x", 2).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(journal.names(), [NAME.to_owned(), format!("{NAME}.holds")]);
    });
}

/// Moves two holds forward, trims as far as they allow, and reports what was acknowledged, until killed.
fn hold_until_killed(backend: &str, path: &str) {
    let backend: Backend = backend.parse().unwrap();
    let options = JournalOptions::new().backend(backend).max_segment_bytes(300);
    let store = &options.open_blocking(path).unwrap();
    for consumer in ["a", "b"] {
        let seq = store.first_seq();
        store.blocking().hold(consumer, store.holds().get(consumer).copied().unwrap_or(seq)).unwrap();
    }
    std::thread::scope(|scope| {
        scope.spawn(move || {
            loop {
                append(store, 3);
            }
        });
        for (consumer, step) in [("a", 1), ("b", 4)] {
            scope.spawn(move || {
                for seq in (store.holds()[consumer]..).step_by(step) {
                    let seq = seq.min(store.durable_seq() + 1);
                    store.blocking().hold(consumer, seq).unwrap();
                    report(&format!("{consumer} {seq}"));
                }
            });
        }
        scope.spawn(move || {
            loop {
                let first = store.blocking().trim_before(u64::MAX).unwrap();
                report(&format!("first {first}"));
            }
        });
    });
}

#[test]
fn kill_loses_no_held_record() {
    if let Some(args) = child_args() {
        return hold_until_killed(&args[0], &args[1]);
    }
    on_each_backend(|backend| {
        let journal = TempJournal::new();
        let mut first_seq = 0;
        for round in 0..12_usize {
            let args = [&backend.to_string(), journal.path().to_str().unwrap()];
            let name = "retention::holds::kill_loses_no_held_record";
            let mut writer = child(name, &args).spawn().unwrap();
            let mut reported_seqs: BTreeMap<String, u64> = BTreeMap::new();
            let mut lines = 0;
            for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
                let line = line.unwrap();
                // The last line may be incomplete.
                let Some((what, number)) = reported(&line).and_then(|text| text.split_once(' ')) else {
                    continue;
                };
                let Ok(number) = number.parse::<u64>() else { continue };
                let before = reported_seqs.entry(what.to_owned()).or_default();
                *before = number.max(*before);
                lines += 1;
                if lines == 20 + round * 17 {
                    writer.kill().unwrap();
                }
            }
            writer.wait().unwrap();
            assert!(lines >= 20 + round * 17, "round {round}: the child ended by itself");
            let seqs = found_seqs(&journal);
            let options = JournalOptions::new().backend(backend);
            let store = options.open_blocking(journal.path()).unwrap();
            let holds = store.holds();
            assert_eq!(holds.len(), 2, "{holds:?}");
            for (name, seq) in &holds {
                let first = seqs.first().copied().unwrap_or(store.open_report().next_seq);
                assert!(
                    first <= *seq,
                    "round {round}: {name} holds {seq}, and {first} is the first: {reported_seqs:?}"
                );
                let acknowledged = reported_seqs.get(name).copied().unwrap_or(0);
                assert!(
                    *seq >= acknowledged,
                    "round {round}: {name} is {seq}, {acknowledged} was acknowledged"
                );
            }
            assert!(store.first_seq() >= reported_seqs.get("first").copied().unwrap_or(1));
            assert_eq!(seqs.first().copied().unwrap_or(store.open_report().next_seq), store.first_seq());
            first_seq = store.first_seq();
            store.blocking().close().unwrap();
        }
        assert!(first_seq > 10, "{first_seq}");
    });
}

#[test]
fn closed_store_rejects_retention_requests() {
    let journal = TempJournal::new();
    let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
    store.blocking().hold("x", 1).unwrap();
    // Both get an outcome, in either order.
    let (closed, moved) = block_on(zip(store.close(), store.hold("x", 5)));
    closed.unwrap();
    let expected = if moved.is_ok() { 5 } else { 1 };
    assert!(moved.is_ok() || matches!(moved, Err(MiniStoreError::Closed)), "{moved:?}");
    assert!(matches!(store.blocking().trim_before(1), Err(MiniStoreError::Closed)));
    assert!(matches!(store.blocking().hold("x", 7), Err(MiniStoreError::Closed)));
    assert!(matches!(store.blocking().release_hold("x"), Err(MiniStoreError::Closed)));
    let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
    assert_eq!(store.holds(), holds(&[("x", expected)]));
}
