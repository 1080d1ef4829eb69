//! Files missing, swapped, copied, renamed, cut, joined, and taken from another journal.

use super::*;

fn numbers(range: impl IntoIterator<Item = u64>) -> Vec<u64> {
    range.into_iter().collect()
}

fn damaged(read: impl IntoIterator<Item = u64>, told: &'static str, refused: Option<&'static str>) -> Fate {
    Fate::Damaged { read: numbers(read), told: (told, 1), refused: refused.map(|suffix| (suffix, 1)) }
}

/// A sample of four segments with files moved: from, to; or removed.
fn moved(moves: &[(&str, Option<&str>)]) -> Files {
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

fn copied(from: &str, to: &str) -> Files {
    let mut files = sample(4);
    let bytes = files[&suffixed(from)].clone();
    files.insert(suffixed(to), bytes);
    files
}

#[test]
fn missing_middle_segment_is_reported() {
    check("the oldest", &moved(&[(".001", None)]), &Fate::Sound(numbers(7..=24)));
    check("the two oldest", &moved(&[(".001", None), (".002", None)]), &Fate::Sound(numbers(13..=24)));
    check("one in the middle", &moved(&[(".002", None)]), &damaged(1..=6, ".003", None));
    check("the newest archived", &moved(&[(".003", None)]), &damaged(1..=12, "", Some(".002")));
    // No file says that there was one more.
    check("the active", &moved(&[("", None)]), &Fate::Sound(numbers(1..=18)));
}

#[test]
fn swapped_segments_are_reported() {
    let swap = |one, two| moved(&[(one, Some(two)), (two, Some(one))]);
    check("the oldest two", &swap(".001", ".002"), &damaged(7..=12, ".002", None));
    check("the newest archived two", &swap(".002", ".003"), &damaged(1..=6, ".002", Some(".003")));
    check("archived and active", &swap(".003", ""), &damaged(1..=12, ".003", Some(".003")));
    check("the oldest and the active", &swap(".001", ""), &damaged(19..=24, ".002", Some(".003")));
}

#[test]
fn repeated_segments_are_reported() {
    check("as the newest archived", &copied(".001", ".004"), &damaged(1..=18, ".004", Some(".004")));
    // What the active one follows stands there, twice.
    check("the newest archived twice", &copied(".003", ".004"), &damaged(1..=18, ".004", None));
    check("under two names of one number", &copied(".001", ".1"), &damaged(1..=6, ".1", None));
    check("an archived one as the active", &copied(".003", ""), &damaged(1..=18, "", Some(".003")));
    check("the active as an archived one", &copied("", ".004"), &damaged(1..=24, "", Some(".004")));
}

#[test]
fn the_order_is_that_of_the_numbers_however_they_are_written() {
    let all = Fate::Sound(numbers(1..=24));
    check("fewer digits", &moved(&[(".001", Some(".1")), (".003", Some(".3"))]), &all);
    check("more digits", &moved(&[(".001", Some(".0000001")), (".003", Some(".0000000000000003"))]), &all);
    check("gaps", &moved(&[(".001", Some(".5")), (".002", Some(".077")), (".003", Some(".4096"))]), &all);
    check("zeros in front", &moved(&[(".002", Some(".00000000000000000000000000000002"))]), &all);
    check("the largest", &moved(&[(".003", Some(".999999999999999999"))]), &all);
    check("a wrong order", &moved(&[(".001", Some(".010"))]), &damaged(7..=18, ".010", Some(".010")));
}

#[test]
fn a_number_that_cannot_be_counted_on_from_is_no_segments_number() {
    for suffix in [".18446744073709551616", ".99999999999999999999999", ".+3", ".3 "] {
        let files = moved(&[(".003", Some(suffix))]);
        check(suffix, &files, &damaged(1..=12, "", Some(".002")));
    }
}

#[test]
fn the_last_number_is_read_and_not_counted_on_from() {
    let files = moved(&[(".003", Some(".18446744073709551615"))]);
    let journal = Journal::of(&files);
    assert_eq!(replay::<u64>(journal.path()).unwrap(), numbers(1..=24));
    for policy in [RecoveryPolicy::Strict, RecoveryPolicy::TruncateAtFirstError] {
        let refused = options().recovery(policy).open_blocking(journal.path()).unwrap_err();
        assert_place("the last number", &journal, &refused, (".18446744073709551615", 1));
        assert_eq!(journal.files(), files);
    }
}

#[test]
fn segments_of_another_journal_are_reported() {
    let others = {
        let journal = Journal::new();
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
    check("the oldest", &mixed(".001"), &damaged(1..=6, ".002", None));
    check("one in the middle", &mixed(".002"), &damaged(1..=6, ".002", None));
    check("the newest archived", &mixed(".003"), &damaged(1..=12, ".003", Some(".003")));
    check("the active", &mixed(""), &damaged(1..=18, "", Some(".003")));
}

#[test]
fn joined_segments_are_reported() {
    let sample = sample(3);
    let (archived, active) = (&sample[&suffixed(".002")], &sample[NAME]);
    let behind = |refused: Option<&'static str>, read: u64, told: &'static str| Fate::Damaged {
        read: (1..=read).collect(),
        told: (told, 8),
        refused: refused.map(|suffix| (suffix, 8)),
    };
    let onto_itself = with(&sample, "", |bytes| [bytes, bytes].concat());
    check("the active onto itself", &onto_itself, &behind(Some(""), 18, ""));
    let joined = with(&sample, "", |bytes| [archived, bytes].concat());
    check("an archived one before the active", &joined, &Fate::Any);
    let archived_joined = with(&sample, ".001", |bytes| [bytes, archived].concat());
    check("two archived ones", &archived_joined, &behind(None, 6, ".001"));
    let mut one = Files::new();
    one.insert(NAME.into(), [&sample[&suffixed(".001")][..], archived, active].concat());
    check("all in one", &one, &behind(Some(""), 6, ""));
}

#[test]
fn every_length_of_every_file_keeps_the_promises() {
    let sample = sample(3);
    for suffix in [".001", ".002", ""] {
        let len = sample[&suffixed(suffix)].len();
        for len in (0..len).step_by(11).chain(len.saturating_sub(4)..len) {
            check(
                &format!("{suffix} cut at {len}"),
                &with(&sample, suffix, |bytes| bytes[..len].to_vec()),
                &Fate::Any,
            );
        }
    }
}
