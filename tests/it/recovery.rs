//! Missing or changed bytes: every acknowledged record is found or an error is returned, and no data is destroyed.

use std::{fs, ops::Range};

use ministore_uring::{Backend, JournalOptions, MiniStore, MiniStoreError, RecoveryPolicy};

use crate::support::{
    FileContents, NAME, TempJournal, for_each_backend, legacy_replay, numbered, replay, seal_ends,
};

/// The number of records of each group of the sample.
const GROUPS: [u64; 4] = [1, 2, 1, 1];
const RECORDS: u64 = 5;

/// The length of the padding that a crashed sample keeps, in bytes; more makes no difference.
const PADDING: usize = 20;

type SampleRecords = Vec<(u64, String)>;

fn all() -> SampleRecords {
    (1..=RECORDS).map(|n| (n, format!("r{n}"))).collect()
}

fn write_sample(options: &JournalOptions, journal: &TempJournal) -> MiniStore {
    let store = options.clone().open_blocking(journal.path()).unwrap();
    let mut seq = 1;
    for records in GROUPS {
        store.blocking().append_batch((seq..seq + records).map(|n| format!("r{n}"))).unwrap();
        seq += records;
    }
    store
}

fn closed_sample(options: &JournalOptions) -> Vec<u8> {
    let journal = TempJournal::new();
    write_sample(options, &journal).blocking().close().unwrap();
    journal.bytes()
}

/// Returns the sample as a crash leaves it, with little padding.
fn crashed_sample(options: &JournalOptions) -> Vec<u8> {
    let journal = TempJournal::new();
    let store = write_sample(options, &journal);
    let mut bytes = journal.bytes();
    drop(store);
    let data_end = bytes.trim_ascii_end().len() + 33;
    assert!(bytes.len() > data_end + PADDING, "preallocated");
    bytes.truncate(data_end + PADDING);
    bytes
}

/// Returns the number of records in the groups before the first one that differs between `bytes` and `intact`.
fn whole_records(bytes: &[u8], intact: &[u8]) -> u64 {
    let whole = |&(end, _): &(usize, u64)| bytes.get(..end) == Some(&intact[..end]);
    seal_ends(intact).into_iter().zip(GROUPS).take_while(whole).map(|(_, records)| records).sum()
}

fn prefix(records: u64) -> SampleRecords {
    all().into_iter().take(records as usize).collect()
}

/// Opens `bytes`, which contain `expected` complete records, and appends to them.
fn check_truncated(options: &JournalOptions, journal: &TempJournal, bytes: &[u8], expected: u64, what: &str) {
    journal.restore(&FileContents::from([(NAME.into(), bytes.to_vec())]));
    match numbered::<String>(journal.path()) {
        Ok(records) => assert_eq!(records, prefix(expected), "{what}: read before recovery"),
        // An incomplete header is an error, as in `ministore` 0.1.7.
        Err(error) => assert!(!bytes.contains(&b'\n'), "{what}: read before recovery: {error}"),
    }
    let store =
        options.clone().open_blocking(journal.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = store.open_report().clone();
    assert_eq!(report.next_seq, expected + 1, "{what}");
    if let Some(tail) = report.truncated {
        let saved = fs::read(tail.saved_to.unwrap()).unwrap();
        let range = tail.offset as usize..(tail.offset + tail.bytes) as usize;
        assert_eq!(saved, bytes[range], "{what}: the truncated bytes are saved");
    } else {
        let text = bytes.trim_ascii_end();
        let ends = seal_ends(bytes);
        let in_header = !bytes.contains(&b'\n');
        assert!(
            in_header || ends.last().is_none_or(|&end| end >= text.len()),
            "{what}: truncated without a report"
        );
    }
    store.blocking().append(&"next").unwrap();
    drop(store);
    let store = options.clone().open_blocking(journal.path()).unwrap();
    assert_eq!(store.open_report().truncated, None, "{what}: the second open truncates nothing");
    store.blocking().close().unwrap();
    let mut records = prefix(expected);
    records.push((expected + 1, "next".into()));
    assert_eq!(numbered::<String>(journal.path()).unwrap(), records, "{what}");
    let values: Vec<_> = records.into_iter().map(|(_, value)| value).collect();
    assert_eq!(legacy_replay::<String>(journal.path()).unwrap(), values, "{what}");
}

#[test]
fn truncated_crashed_journal_opens_to_whole_groups() {
    for_each_backend(|options| {
        let intact = crashed_sample(&options);
        let journal = TempJournal::new();
        for len in 0..=intact.len() {
            let bytes = &intact[..len];
            check_truncated(
                &options,
                &journal,
                bytes,
                whole_records(bytes, &intact),
                &format!("truncated at {len}"),
            );
        }
    });
}

#[test]
fn partly_written_group_is_truncated() {
    for_each_backend(|options| {
        let intact = crashed_sample(&options);
        let ends = seal_ends(&intact);
        let journal = TempJournal::new();
        for at in ends[2]..ends[3] {
            for filler in [b' ', 0] {
                let mut bytes = intact.clone();
                bytes[at..].fill(filler);
                let expected = whole_records(&bytes, &intact);
                check_truncated(&options, &journal, &bytes, expected, &format!("{filler:?} from {at} on"));
            }
        }
    });
}

#[test]
fn truncated_closed_journal_opens_to_whole_groups() {
    for_each_backend(|options| {
        // Without padding, which makes no difference here.
        let options = options.preallocate(false);
        let intact = closed_sample(&options);
        let journal = TempJournal::new();
        for len in 0..=intact.len() {
            let bytes = &intact[..len];
            check_truncated(
                &options,
                &journal,
                bytes,
                whole_records(bytes, &intact),
                &format!("truncated at {len}"),
            );
        }
    });
}

/// Runs every reader and the writer on a file with one changed byte. If they return no error, the number of records must be one
/// of `allowed`.
fn check_flip(options: &JournalOptions, journal: &TempJournal, bytes: &[u8], allowed: &[u64], what: &str) {
    let is_allowed = |records: &SampleRecords| allowed.iter().any(|&count| *records == prefix(count));
    journal.restore(&FileContents::from([(NAME.into(), bytes.to_vec())]));
    for read in [
        numbered::<String>(journal.path()),
        replay::<String>(journal.path()).map(|values| (1..).zip(values).collect()),
    ] {
        assert!(read.as_ref().map_or(true, &is_allowed), "{what}: {read:?}");
    }
    match options.clone().open_blocking(journal.path()) {
        Err(_) => assert_eq!(journal.bytes(), bytes, "{what}: rejected, and unchanged"),
        Ok(store) => {
            let records = numbered::<String>(journal.path()).unwrap();
            assert!(is_allowed(&records), "{what}: {records:?}");
            assert_eq!(store.open_report().next_seq, records.len() as u64 + 1, "{what}");
        }
    }
}

/// An LF or a space to a TAB, a space to an LF, a single bit, letter case, all bits.
const FLIPS: [u8; 6] = [0x03, 0x29, 0x2a, 0x01, 0x20, 0xff];

#[test]
fn changed_byte_in_closed_journal_is_detected() {
    for_each_backend(|options| {
        let intact = closed_sample(&options);
        let journal = TempJournal::new();
        for at in 0..intact.len() {
            for flip in FLIPS {
                let mut bytes = intact.clone();
                bytes[at] ^= flip;
                check_flip(&options, &journal, &bytes, &[RECORDS], &format!("byte {at} ^ {flip:#x}"));
            }
        }
    });
}

#[test]
fn changed_byte_costs_at_most_the_last_group() {
    for_each_backend(|options| {
        let intact = crashed_sample(&options);
        let last_group = seal_ends(&intact)[2]..intact.len();
        let journal = TempJournal::new();
        for at in 0..intact.len() {
            // A crashed file does not show whether its last group was acknowledged.
            let allowed: &[u64] =
                if last_group.contains(&at) { &[RECORDS, RECORDS - GROUPS[3]] } else { &[RECORDS] };
            for flip in [0x29, 0x2a, 0xff] {
                let mut bytes = intact.clone();
                bytes[at] ^= flip;
                check_flip(&options, &journal, &bytes, allowed, &format!("byte {at} ^ {flip:#x}"));
            }
        }
    });
}

/// Returns the byte range of a group.
fn group(bytes: &[u8], index: usize) -> Range<usize> {
    let ends = seal_ends(bytes);
    ends[index - 1] + 1..ends[index]
}

#[test]
fn damaged_middle_is_reported_with_its_position() {
    for_each_backend(|options| {
        for mut bytes in [crashed_sample(&options), closed_sample(&options)] {
            let damaged = group(&bytes, 1);
            bytes[damaged.start + 3] ^= 1;
            let journal = TempJournal::of_bytes(&bytes);
            let opened = options.clone().open_blocking(journal.path()).map(drop);
            let replayed = replay::<String>(journal.path()).map(drop);
            for outcome in [opened, replayed] {
                let Err(MiniStoreError::Corrupt { segment, offset, line, seq, reason }) = outcome else {
                    panic!("{outcome:?}")
                };
                assert_eq!(segment, journal.path());
                assert_eq!((offset, line, seq), (damaged.start as u64, 3, Some(2)), "{reason}");
            }
            assert_eq!(journal.files(), FileContents::from([(NAME.into(), bytes)]), "nothing changed");
        }
    });
}

#[test]
fn missing_or_repeated_group_is_rejected() {
    for_each_backend(|options| {
        let intact = closed_sample(&options);
        let (second, third) = (group(&intact, 1), group(&intact, 2));
        let missing = [&intact[..second.start], &intact[third.start..]].concat();
        let repeated = [&intact[..third.start], &intact[second.start..]].concat();
        let swapped =
            [&intact[..second.start], &intact[third.clone()], b"\n", &intact[second], &intact[third.end..]]
                .concat();
        for bytes in [missing, repeated, swapped] {
            let journal = TempJournal::of_bytes(&bytes);
            let opened = options.clone().open_blocking(journal.path());
            assert!(matches!(opened, Err(MiniStoreError::Corrupt { .. })), "{opened:?}");
            let read = replay::<String>(journal.path());
            assert!(matches!(read, Err(MiniStoreError::Corrupt { .. })), "{read:?}");
            assert_eq!(journal.bytes(), bytes);
        }
    });
}

#[test]
fn groups_after_close_marker_are_rejected() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        write_sample(&options, &journal).blocking().close().unwrap();
        let closed = journal.bytes();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&"next").unwrap();
        store.blocking().close().unwrap();
        // The next group overwrote the close marker.
        let more = &journal.bytes()[closed.len() - 1..];
        let bytes = [&closed[..], more].concat();
        let journal = TempJournal::of_bytes(&bytes);
        let read = replay::<String>(journal.path());
        assert!(matches!(read, Err(MiniStoreError::Corrupt { .. })), "{read:?}");
        let opened = options.open_blocking(journal.path());
        assert!(matches!(opened, Err(MiniStoreError::Corrupt { .. })), "{opened:?}");
        assert_eq!(journal.bytes(), bytes);
    });
}

#[test]
fn truncate_at_first_error_truncates_damage() {
    for_each_backend(|options| {
        let mut bytes = closed_sample(&options);
        let damaged = group(&bytes, 1);
        bytes[damaged.start + 3] ^= 1;
        let journal = TempJournal::of_bytes(&bytes);
        let options = options.recovery(RecoveryPolicy::TruncateAtFirstError);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        let tail = store.open_report().truncated.clone().unwrap();
        let saved = fs::read(tail.saved_to.unwrap()).unwrap();
        assert_eq!(saved, bytes[tail.offset as usize..], "all truncated bytes are saved");
        assert!(tail.offset as usize <= damaged.start);
        assert_eq!(store.blocking().submit(&"next").unwrap().wait().unwrap().seq, 2);
        drop(store);
        let store = options.backend(Backend::Blocking).open_blocking(journal.path()).unwrap();
        assert_eq!(store.open_report().truncated, None);
        assert_eq!(replay::<String>(journal.path()).unwrap(), ["r1", "next"]);
    });
}

#[test]
fn truncating_twice_at_one_offset_keeps_both() {
    for_each_backend(|options| {
        let whole = crashed_sample(&options);
        let torn = &whole[..seal_ends(&whole)[3] - 5];
        let journal = TempJournal::of_bytes(torn);
        for (torn, count) in [(torn, 1), (&torn[..torn.len() - 1], 2), (torn, 2)] {
            fs::write(journal.path(), torn).unwrap();
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().close().unwrap();
            let saved = journal.names().iter().filter(|name| name.contains(".truncated-")).count();
            assert_eq!(saved, count, "the same bytes are kept once");
        }
    });
}
