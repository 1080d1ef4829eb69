//! Retention: what the program released goes, what somebody holds stays, whatever the limits; holds outlast crashes.

use std::{
    collections::BTreeMap,
    fs,
    io::{BufRead, BufReader},
    time::{Duration, SystemTime},
};

use futures_lite::future::zip;
use ministore_uring::{
    Backend, JournalOptions, MiniStore, MiniStoreError, MiniStoreOptions, maintenance::verify,
};

use crate::support::{
    Journal, NAME, block_on, child, child_args, for_each_commit_path, numbered, on_each_backend,
    original_replay, original_write, tell, told,
};

/// Segments of ten records each, the last one active and empty.
fn segments(store: &MiniStore, count: u64) {
    for _ in 0..count {
        append(store, 10);
        store.blocking().rotate().unwrap();
    }
}

/// Appends the numbers that the records get.
fn append(store: &MiniStore, count: u64) {
    let next = store.durable_seq() + 1;
    assert_eq!(store.blocking().append_batch(next..next + count).unwrap(), next..next + count);
}

/// The numbers of the records that a reader finds, each of which it finds under its own.
fn found(journal: &Journal) -> Vec<u64> {
    let found = numbered::<u64>(journal.path()).unwrap();
    assert!(found.iter().all(|(seq, value)| seq == value), "{found:?}");
    found.into_iter().map(|(seq, _)| seq).collect()
}

fn holds(of: &[(&str, u64)]) -> BTreeMap<String, u64> {
    of.iter().map(|(name, seq)| ((*name).to_owned(), *seq)).collect()
}

fn is_invalid<T: std::fmt::Debug>(outcome: Result<T, MiniStoreError>, part: &str) -> bool {
    matches!(outcome, Err(MiniStoreError::InvalidArgument(text)) if text.contains(part))
}

#[test]
fn segments_with_only_older_records_are_trimmed() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.first_seq(), 1);
        segments(&store, 3);
        append(&store, 5);
        for (before, first) in [(0, 1), (1, 1), (10, 1), (11, 11), (12, 11), (5, 11), (31, 31), (1000, 31)] {
            assert_eq!(store.blocking().trim_before(before).unwrap(), first, "before {before}");
            assert_eq!((store.first_seq(), found(&journal)[0]), (first, first));
            let stats = store.stats();
            assert_eq!((stats.trimmed_records, stats.trimmed_segments), (first - 1, (first - 1) / 10));
        }
        assert_eq!(found(&journal), [31, 32, 33, 34, 35]);
        // What was released in the active segment goes once it is archived.
        store.blocking().rotate().unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 36);
        assert!(found(&journal).is_empty());
        append(&store, 1);
        assert_eq!((store.first_seq(), found(&journal)), (36, vec![36]));
        store.blocking().close().unwrap();
        assert_eq!(journal.names(), [NAME]);
    });
}

#[test]
fn the_first_record_is_known_right_after_opening() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        for (count, release, first) in [(0, 0, 1), (2, 11, 11), (2, 0, 11), (1, 1000, 51), (0, 0, 51)] {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            segments(&store, count);
            assert_eq!(store.blocking().trim_before(release).unwrap(), first);
            store.blocking().close().unwrap();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            assert_eq!(store.first_seq(), first);
            assert_eq!(store.stats().trimmed_records, 0);
            store.blocking().close().unwrap();
        }
        fs::remove_file(journal.file(".005")).unwrap_err();
        assert_eq!(options.open_blocking(journal.path()).unwrap().open_report().next_seq, 51);
    });
}

#[test]
fn no_rule_deletes_what_is_held() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let options = options.max_segments(1).max_total_bytes(1).max_age(Duration::from_nanos(1));
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().hold("slow", 5).unwrap();
        store.blocking().hold("quick", 1000).unwrap();
        segments(&store, 4);
        assert_eq!(store.blocking().trim_before(1000).unwrap(), 1);
        assert_eq!(found(&journal), (1..=40).collect::<Vec<_>>());
        store.blocking().hold("slow", 11).unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 11);
        // Back to what is still there, and no further.
        store.blocking().hold("slow", 25).unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 21);
        store.blocking().hold("slow", 21).unwrap();
        let refused = store.blocking().hold("slow", 20);
        let Err(MiniStoreError::Trimmed { path, first_seq: 21 }) = refused else { panic!("{refused:?}") };
        assert_eq!(path, journal.path());
        assert_eq!(store.holds(), holds(&[("quick", 1000), ("slow", 21)]));
        assert!(store.blocking().release_hold("slow").unwrap());
        assert!(!store.blocking().release_hold("slow").unwrap());
        store.blocking().trim_before(0).unwrap();
        assert_eq!((store.first_seq(), found(&journal)), (41, vec![]));
        store.blocking().close().unwrap();
    });
}

#[test]
fn a_hold_outlasts_closing_and_other_options() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert_eq!(store.holds(), holds(&[]));
        segments(&store, 3);
        store.blocking().hold("a \"name\" ü", 12).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(journal.names().len(), 5, "{:?}", journal.names());

        let store = options.clone().max_segments(1).open_blocking(journal.path()).unwrap();
        assert_eq!(store.holds(), holds(&[("a \"name\" ü", 12)]));
        segments(&store, 1);
        assert_eq!(store.blocking().trim_before(1000).unwrap(), 11);
        store.blocking().close().unwrap();

        let store = options.clone().checksums(false).open_blocking(journal.path()).unwrap();
        assert_eq!((store.first_seq(), store.holds().len()), (11, 1));
        assert!(store.blocking().release_hold("a \"name\" ü").unwrap(), "also where none can be set");
        store.blocking().close().unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.holds(), holds(&[]));
    });
}

#[test]
fn names_of_holds_are_checked() {
    let journal = Journal::new();
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
fn trim_without_checksums_deletes_nothing() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let options = options.checksums(false).max_segments(3);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert!(is_invalid(store.blocking().trim_before(5), "need checksums"));
        assert!(is_invalid(store.blocking().hold("x", 5), "need checksums"));
        // By count it is, and counted.
        segments(&store, 4);
        append(&store, 1);
        store.blocking().close().unwrap();
        assert_eq!((store.first_seq(), store.stats().trimmed_records), (21, 20));
        assert_eq!(journal.names().len(), 3);
        // Numbers count from the oldest that is there.
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!((store.first_seq(), store.open_report().next_seq), (1, 22));
    });
}

#[test]
fn old_segments_of_the_original_are_counted_from_the_first_number_stated() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let original = ministore::MiniStoreOptions::new().max_bytes_per_segment(120).max_segments(4);
        original_write(journal.path(), original, &(1..=200_u64).collect::<Vec<_>>());
        let there = original_replay::<u64>(journal.path()).unwrap().len() as u64;
        assert!(there < 200, "the original deleted some: {there} are left");
        let store = options.clone().open_blocking(journal.path()).unwrap();
        assert_eq!((store.first_seq(), store.open_report().next_seq), (1, there + 1));
        store.blocking().append(&0_u64).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().append(&0_u64).unwrap();
        // Of these segments but the newest none says where it ends.
        assert_eq!(store.blocking().trim_before(there).unwrap(), 1);
        store.blocking().close().unwrap();
        // The oldest goes by hand, or by count: the others keep their numbers.
        let oldest = journal.names().into_iter().nth(1).unwrap();
        fs::remove_file(journal.dir().join(oldest)).unwrap();
        let first = numbered::<u64>(journal.path()).unwrap()[0].0;
        assert!(first > 1);
        let store = options.open_blocking(journal.path()).unwrap();
        assert_eq!(store.first_seq(), first);
    });
}

#[test]
fn max_total_bytes_deletes_oldest_segments() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        segments(&store, 4);
        store.blocking().close().unwrap();
        let sizes: Vec<u64> = journal
            .names()
            .iter()
            .map(|name| fs::metadata(journal.dir().join(name)).unwrap().len())
            .collect();
        // At open: all but the two oldest fit.
        let fits = sizes.iter().sum::<u64>() - sizes[1] - sizes[2];
        for (bytes, first) in [(fits + sizes[1] + sizes[2], 1), (fits, 21), (1, 41)] {
            // Without padding, and before anything is appended, the active file is as large as it was.
            let options = options.clone().preallocate(false).max_total_bytes(bytes);
            let store = options.open_blocking(journal.path()).unwrap();
            store.blocking().close().unwrap();
            assert_eq!(store.first_seq(), first, "{bytes}");
        }
        // At a rotation.
        let store = options.max_total_bytes(1).open_blocking(journal.path()).unwrap();
        append(&store, 10);
        store.blocking().rotate().unwrap();
        store.blocking().close().unwrap();
        assert_eq!((store.first_seq(), store.stats().trimmed_segments), (51, 1));
    });
}

#[test]
fn old_segments_go_when_they_are_too_old() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let hour = Duration::from_secs(3600);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        segments(&store, 3);
        let age = |suffix: &str, hours: u32| {
            let file = fs::File::options().write(true).open(journal.file(suffix)).unwrap();
            file.set_modified(SystemTime::now() - hour * hours).unwrap();
        };
        age(".001", 5);
        age(".002", 3);
        store.blocking().close().unwrap();
        let opened_with = |hours: u32| {
            let store = options.clone().max_age(hour * hours).open_blocking(journal.path()).unwrap();
            store.blocking().close().unwrap();
            store.first_seq()
        };
        assert_eq!([6, 4, 4].map(opened_with), [1, 11, 11]);

        let store = options.clone().max_age(hour).open_blocking(journal.path()).unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 21);
        // From the future: the clock was set back.
        let file = fs::File::options().write(true).open(journal.file(".003")).unwrap();
        file.set_modified(SystemTime::now() + hour * 10).unwrap();
        assert_eq!(store.blocking().trim_before(0).unwrap(), 21);
        age(".003", 2);
        append(&store, 1);
        store.blocking().rotate().unwrap();
        store.blocking().close().unwrap();
        assert_eq!(store.first_seq(), 31);
    });
}

#[test]
fn limits_that_make_no_sense_are_refused() {
    let journal = Journal::new();
    let opened = |options: JournalOptions| options.open_blocking(journal.path());
    assert!(is_invalid(opened(JournalOptions::new().max_total_bytes(0)), "max_total_bytes"));
    assert!(is_invalid(opened(JournalOptions::new().max_age(Duration::ZERO)), "max_age"));
}

#[test]
fn opening_deletes_nothing_by_count_as_the_original() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        segments(&store, 5);
        store.blocking().close().unwrap();
        let store = block_on(MiniStoreOptions::new().max_segments(2).open(journal.path())).unwrap();
        store.blocking().append(&51_u64).unwrap();
        store.blocking().close().unwrap();
        assert_eq!((store.first_seq(), journal.names().len()), (1, 6));
    });
}

#[test]
fn holds_move_during_appends_and_trims() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
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
        assert_eq!(found(&journal), (first..=600).collect::<Vec<_>>());
        store.blocking().close().unwrap();
    });
}

#[test]
fn after_closing_nothing_is_asked_any_more() {
    let journal = Journal::new();
    let store = JournalOptions::new().open_blocking(journal.path()).unwrap();
    store.blocking().hold("x", 1).unwrap();
    // Both are answered, whichever comes first.
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

#[test]
fn a_damaged_file_of_holds_is_refused_and_nothing_changed() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        append(&store, 1);
        store.blocking().hold("x", 17).unwrap();
        let crashed = journal.files();
        store.blocking().close().unwrap();
        drop(store);
        let path = journal.file(".holds");
        let sound = fs::read(&path).unwrap();
        let text = String::from_utf8(sound.clone()).unwrap();
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
        fs::write(&path, sound).unwrap();
        assert_eq!(options.open_blocking(journal.path()).unwrap().holds(), holds(&[("x", 17)]));
        assert_eq!(verify(journal.path()).unwrap().holds, holds(&[("x", 17)]));
    });
}

#[test]
fn what_a_crash_left_of_a_hold_being_written_is_removed() {
    for_each_commit_path(|options| {
        let journal = Journal::new();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().hold("x", 1).unwrap();
        store.blocking().close().unwrap();
        fs::write(journal.file(".holds.next"), "{\"minis").unwrap();
        let store = options.open_blocking(journal.path()).unwrap();
        assert!(!journal.file(".holds.next").exists());
        // Nor is it in the way later.
        fs::write(journal.file(".holds.next"), "{\"minis").unwrap();
        store.blocking().hold("x", 2).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(journal.names(), [NAME.to_owned(), format!("{NAME}.holds")]);
    });
}

/// Moves two holds on, releases all that they allow, and tells what was acknowledged, until killed.
fn hold_until_killed(backend: &str, path: &str) {
    let backend = if backend == "Uring" { Backend::Uring } else { Backend::Blocking };
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
                    tell(&format!("{consumer} {seq}"));
                }
            });
        }
        scope.spawn(move || {
            loop {
                let first = store.blocking().trim_before(u64::MAX).unwrap();
                tell(&format!("first {first}"));
            }
        });
    });
}

#[test]
fn no_held_record_is_lost_when_a_process_is_killed() {
    if let Some(args) = child_args() {
        return hold_until_killed(&args[0], &args[1]);
    }
    on_each_backend(|backend| {
        let journal = Journal::new();
        let mut released = 0;
        for round in 0..12_usize {
            let args = [&format!("{backend:?}"), journal.path().to_str().unwrap()];
            let name = "retention::no_held_record_is_lost_when_a_process_is_killed";
            let mut writer = child(name, &args).spawn().unwrap();
            let mut told_of: BTreeMap<String, u64> = BTreeMap::new();
            let mut lines = 0;
            for line in BufReader::new(writer.stdout.take().unwrap()).lines() {
                let line = line.unwrap();
                // The last line may be cut off.
                let Some((what, number)) = told(&line).and_then(|text| text.split_once(' ')) else {
                    continue;
                };
                let Ok(number) = number.parse::<u64>() else { continue };
                let before = told_of.entry(what.to_owned()).or_default();
                *before = number.max(*before);
                lines += 1;
                if lines == 20 + round * 17 {
                    writer.kill().unwrap();
                }
            }
            writer.wait().unwrap();
            assert!(lines >= 20 + round * 17, "round {round}: the child ended by itself");
            let there = found(&journal);
            let options = JournalOptions::new().backend(backend);
            let store = options.open_blocking(journal.path()).unwrap();
            let holds = store.holds();
            assert_eq!(holds.len(), 2, "{holds:?}");
            for (name, seq) in &holds {
                let first = there.first().copied().unwrap_or(store.open_report().next_seq);
                assert!(
                    first <= *seq,
                    "round {round}: {name} holds {seq}, and {first} is the first: {told_of:?}"
                );
                let acknowledged = told_of.get(name).copied().unwrap_or(0);
                assert!(*seq >= acknowledged, "round {round}: {name} is {seq}, {acknowledged} was told");
            }
            assert!(store.first_seq() >= told_of.get("first").copied().unwrap_or(1));
            assert_eq!(there.first().copied().unwrap_or(store.open_report().next_seq), store.first_seq());
            released = store.first_seq();
            store.blocking().close().unwrap();
        }
        assert!(released > 10, "{released}");
    });
}
