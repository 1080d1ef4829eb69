//! Segments that are missing, swapped, copied, renamed, truncated, joined or taken from another journal.

use super::*;

fn seqs(range: impl IntoIterator<Item = u64>) -> Vec<u64> {
    range.into_iter().collect()
}

fn corrupt(
    read: impl IntoIterator<Item = u64>,
    read_error: &'static str,
    open_error: Option<&'static str>,
) -> Expectation {
    Expectation::Corrupt {
        read: seqs(read),
        read_error: (read_error, 1),
        open_error: open_error.map(|suffix| (suffix, 1)),
    }
}

/// Returns a sample of four segments with files moved from one suffix to another, or removed.
fn moved(moves: &[(&str, Option<&str>)]) -> FileContents {
    let sample = sample(4);
    let mut files = sample.clone();
    for (from, _) in moves {
        files.remove(&suffixed(from));
    }
    for (from, to) in moves {
        to.map(|to| files.insert(suffixed(to), sample[&suffixed(from)].clone()));
    }
    files
}

fn copied(from: &str, to: &str) -> FileContents {
    let mut files = sample(4);
    let bytes = files[&suffixed(from)].clone();
    files.insert(suffixed(to), bytes);
    files
}

#[test]
fn missing_middle_segment_is_reported() {
    check("the oldest", &moved(&[(".001", None)]), &Expectation::Valid(seqs(7..=24)));
    check("the two oldest", &moved(&[(".001", None), (".002", None)]), &Expectation::Valid(seqs(13..=24)));
    check("one in the middle", &moved(&[(".002", None)]), &corrupt(1..=6, ".003", None));
    check("the newest rotated", &moved(&[(".003", None)]), &corrupt(1..=12, "", Some(".002")));
    // No other file shows that there was an active segment.
    check("the active", &moved(&[("", None)]), &Expectation::Valid(seqs(1..=18)));
}

#[test]
fn swapped_segments_are_reported() {
    let swap = |one, two| moved(&[(one, Some(two)), (two, Some(one))]);
    check("the oldest two", &swap(".001", ".002"), &corrupt(7..=12, ".002", None));
    check("the newest rotated two", &swap(".002", ".003"), &corrupt(1..=6, ".002", Some(".003")));
    check("rotated and active", &swap(".003", ""), &corrupt(1..=12, ".003", Some(".003")));
    check("the oldest and the active", &swap(".001", ""), &corrupt(19..=24, ".002", Some(".003")));
}

#[test]
fn repeated_segments_are_reported() {
    check("as the newest rotated", &copied(".001", ".004"), &corrupt(1..=18, ".004", Some(".004")));
    // The active segment continues the last of the two copies.
    check("the newest rotated twice", &copied(".003", ".004"), &corrupt(1..=18, ".004", None));
    check("under two names of one number", &copied(".001", ".1"), &corrupt(1..=6, ".1", None));
    check("a rotated one as the active", &copied(".003", ""), &corrupt(1..=18, "", Some("")));
    check("the active as a rotated one", &copied("", ".004"), &corrupt(1..=24, "", Some("")));
}

#[test]
fn segments_are_ordered_by_numeric_value() {
    let all = Expectation::Valid(seqs(1..=24));
    check("fewer digits", &moved(&[(".001", Some(".1")), (".003", Some(".3"))]), &all);
    check("more digits", &moved(&[(".001", Some(".0000001")), (".003", Some(".0000000000000003"))]), &all);
    check("gaps", &moved(&[(".001", Some(".5")), (".002", Some(".077")), (".003", Some(".4096"))]), &all);
    check("zeros in front", &moved(&[(".002", Some(".00000000000000000000000000000002"))]), &all);
    check("the largest", &moved(&[(".003", Some(".999999999999999999"))]), &all);
    check("a wrong order", &moved(&[(".001", Some(".010"))]), &corrupt(7..=18, ".010", Some(".010")));
}

#[test]
fn invalid_number_is_not_a_segment() {
    for suffix in [".18446744073709551616", ".99999999999999999999999", ".+3", ".3 "] {
        let files = moved(&[(".003", Some(suffix))]);
        check(suffix, &files, &corrupt(1..=12, "", Some(".002")));
    }
}

#[test]
fn largest_number_is_read_but_not_continued() {
    let files = moved(&[(".003", Some(".18446744073709551615"))]);
    let journal = TempJournal::of(&files);
    assert_eq!(replay::<u64>(journal.path()).unwrap(), seqs(1..=24));
    for policy in [RecoveryPolicy::Strict, RecoveryPolicy::TruncateAtFirstError] {
        let error = options().recovery(policy).open_blocking(journal.path()).unwrap_err();
        assert_position("the last number", &journal, &error, (".18446744073709551615", 1));
        assert_eq!(journal.files(), files);
    }
}

#[test]
fn segments_of_another_journal_are_reported() {
    let others = {
        let journal = TempJournal::new();
        let store = options().open_blocking(journal.path()).unwrap();
        for seq in 1..=24_u64 {
            store.blocking().append(&(seq + 1000 - 1000)).unwrap();
            if seq % 6 == 0 && seq < 24 {
                store.blocking().rotate().unwrap();
            }
        }
        store.blocking().close().unwrap();
        journal.files()
    };
    let mixed = |suffix| with(&sample(4), suffix, |_| others[&suffixed(suffix)].clone());
    check("the oldest", &mixed(".001"), &corrupt(1..=6, ".002", None));
    check("one in the middle", &mixed(".002"), &corrupt(1..=6, ".002", None));
    check("the newest rotated", &mixed(".003"), &corrupt(1..=12, ".003", Some(".003")));
    check("the active", &mixed(""), &corrupt(1..=18, "", Some(".003")));
}

#[test]
fn joined_segments_are_reported() {
    let sample = sample(3);
    let (rotated, active) = (&sample[&suffixed(".002")], &sample[NAME]);
    let corrupt_after =
        |open_error: Option<&'static str>, read: u64, read_error: &'static str| Expectation::Corrupt {
            read: (1..=read).collect(),
            read_error: (read_error, 8),
            open_error: open_error.map(|suffix| (suffix, 8)),
        };
    let onto_itself = with(&sample, "", |bytes| [bytes, bytes].concat());
    check("the active onto itself", &onto_itself, &corrupt_after(Some(""), 18, ""));
    let joined = with(&sample, "", |bytes| [rotated, bytes].concat());
    check("a rotated one before the active", &joined, &Expectation::Any);
    let rotated_joined = with(&sample, ".001", |bytes| [bytes, rotated].concat());
    check("two rotated ones", &rotated_joined, &corrupt_after(None, 6, ".001"));
    let mut one = FileContents::new();
    one.insert(NAME.into(), [&sample[&suffixed(".001")][..], rotated, active].concat());
    check("all in one", &one, &corrupt_after(Some(""), 6, ""));
}

#[test]
fn every_truncation_keeps_the_guarantees() {
    let sample = sample(3);
    for suffix in [".001", ".002", ""] {
        let len = sample[&suffixed(suffix)].len();
        for len in (0..len).step_by(11).chain(len.saturating_sub(4)..len) {
            check(
                &format!("{suffix} truncated at {len}"),
                &with(&sample, suffix, |bytes| bytes[..len].to_vec()),
                &Expectation::Any,
            );
        }
    }
}
