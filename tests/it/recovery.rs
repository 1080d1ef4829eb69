//! Whatever byte is missing or changed: what was acknowledged is found, or damage is told, and nothing is destroyed.

use std::{fs, ops::Range};

use ministore_uring::{Backend, JournalOptions, MiniStore, MiniStoreError, RecoveryPolicy};

use crate::support::{Files, Journal, NAME, for_each_backend, numbered, original_replay, replay, seal_ends};

/// How many records the groups of the sample hold.
const GROUPS: [u64; 4] = [1, 2, 1, 1];
const RECORDS: u64 = 5;

/// Bytes of padding that a crashed sample keeps: what is true of these is true of all.
const PADDING: usize = 20;

type Numbered = Vec<(u64, String)>;

fn all() -> Numbered {
    (1..=RECORDS).map(|n| (n, format!("r{n}"))).collect()
}

fn write_sample(options: &JournalOptions, journal: &Journal) -> MiniStore {
    let store = options.clone().open_blocking(journal.path()).unwrap();
    let mut seq = 1;
    for records in GROUPS {
        store.blocking().append_batch((seq..seq + records).map(|n| format!("r{n}"))).unwrap();
        seq += records;
    }
    store
}

fn closed_sample(options: &JournalOptions) -> Vec<u8> {
    let journal = Journal::new();
    write_sample(options, &journal).blocking().close().unwrap();
    journal.bytes()
}

/// As a crash leaves it; of its padding, enough to matter.
fn crashed_sample(options: &JournalOptions) -> Vec<u8> {
    let journal = Journal::new();
    let store = write_sample(options, &journal);
    let mut bytes = journal.bytes();
    drop(store);
    let data_end = bytes.trim_ascii_end().len() + 33;
    assert!(bytes.len() > data_end + PADDING, "written ahead");
    bytes.truncate(data_end + PADDING);
    bytes
}

/// Records in the groups that stand whole in `bytes` as in `original`, up to the first that does not.
fn whole_records(bytes: &[u8], original: &[u8]) -> u64 {
    let whole = |&(end, _): &(usize, u64)| bytes.get(..end) == Some(&original[..end]);
    seal_ends(original).into_iter().zip(GROUPS).take_while(whole).map(|(_, records)| records).sum()
}

fn prefix(records: u64) -> Numbered {
    all().into_iter().take(records as usize).collect()
}

/// Opens `bytes`, of which `expected` records are whole, and goes on with it.
fn check_cut(options: &JournalOptions, journal: &Journal, bytes: &[u8], expected: u64, what: &str) {
    journal.restore(&Files::from([(NAME.into(), bytes.to_vec())]));
    match numbered::<String>(journal.path()) {
        Ok(records) => assert_eq!(records, prefix(expected), "{what}: read before recovery"),
        // As the original: a header is not to be guessed at.
        Err(error) => assert!(!bytes.contains(&b'\n'), "{what}: read before recovery: {error}"),
    }
    let store =
        options.clone().open_blocking(journal.path()).unwrap_or_else(|error| panic!("{what}: {error}"));
    let report = store.open_report().clone();
    assert_eq!(report.next_seq, expected + 1, "{what}");
    if let Some(cut) = report.truncated {
        let kept = fs::read(cut.saved_to.unwrap()).unwrap();
        let stood = cut.offset as usize..(cut.offset + cut.bytes) as usize;
        assert_eq!(kept, bytes[stood], "{what}: the bytes cut are kept");
    } else {
        let text = bytes.trim_ascii_end();
        let ends = seal_ends(bytes);
        let in_header = !bytes.contains(&b'\n');
        assert!(
            in_header || ends.last().is_none_or(|&end| end >= text.len()),
            "{what}: cut without a report"
        );
    }
    store.blocking().append(&"next").unwrap();
    drop(store);
    let store = options.clone().open_blocking(journal.path()).unwrap();
    assert_eq!(store.open_report().truncated, None, "{what}: recovered once and for all");
    store.blocking().close().unwrap();
    let mut records = prefix(expected);
    records.push((expected + 1, "next".into()));
    assert_eq!(numbered::<String>(journal.path()).unwrap(), records, "{what}");
    let values: Vec<_> = records.into_iter().map(|(_, value)| value).collect();
    assert_eq!(original_replay::<String>(journal.path()).unwrap(), values, "{what}");
}

#[test]
fn truncated_crashed_journal_opens_to_whole_groups() {
    for_each_backend(|options| {
        let original = crashed_sample(&options);
        let journal = Journal::new();
        for len in 0..=original.len() {
            let bytes = &original[..len];
            check_cut(&options, &journal, bytes, whole_records(bytes, &original), &format!("cut at {len}"));
        }
    });
}

#[test]
fn partly_written_group_is_truncated() {
    for_each_backend(|options| {
        let original = crashed_sample(&options);
        let ends = seal_ends(&original);
        let journal = Journal::new();
        for at in ends[2]..ends[3] {
            for filler in [b' ', 0] {
                let mut bytes = original.clone();
                bytes[at..].fill(filler);
                let expected = whole_records(&bytes, &original);
                check_cut(&options, &journal, &bytes, expected, &format!("{filler:?} from {at} on"));
            }
        }
    });
}

#[test]
fn truncated_closed_journal_opens_to_whole_groups() {
    for_each_backend(|options| {
        // Without padding, here: how a journal is continued makes no difference to what is left of it.
        let options = options.preallocate(false);
        let original = closed_sample(&options);
        let journal = Journal::new();
        for len in 0..=original.len() {
            let bytes = &original[..len];
            check_cut(&options, &journal, bytes, whole_records(bytes, &original), &format!("cut at {len}"));
        }
    });
}

/// Every reader and the writer, on a file with one changed byte. What they give that is no error must be one of
/// `allowed`.
fn check_flip(options: &JournalOptions, journal: &Journal, bytes: &[u8], allowed: &[u64], what: &str) {
    let is_allowed = |records: &Numbered| allowed.iter().any(|&count| *records == prefix(count));
    journal.restore(&Files::from([(NAME.into(), bytes.to_vec())]));
    for read in [
        numbered::<String>(journal.path()),
        replay::<String>(journal.path()).map(|values| (1..).zip(values).collect()),
    ] {
        assert!(read.as_ref().map_or(true, &is_allowed), "{what}: {read:?}");
    }
    match options.clone().open_blocking(journal.path()) {
        Err(_) => assert_eq!(journal.bytes(), bytes, "{what}: refused, and nothing changed"),
        Ok(store) => {
            let records = numbered::<String>(journal.path()).unwrap();
            assert!(is_allowed(&records), "{what}: {records:?}");
            assert_eq!(store.open_report().next_seq, records.len() as u64 + 1, "{what}");
        }
    }
}

/// To a TAB from an LF or a space, a single bit, letter case, all bits.
const FLIPS: [u8; 6] = [0x03, 0x29, 0x2a, 0x01, 0x20, 0xff];

#[test]
fn a_closed_journal_with_any_byte_changed_never_gives_wrong_or_fewer_records() {
    for_each_backend(|options| {
        let original = closed_sample(&options);
        let journal = Journal::new();
        for at in 0..original.len() {
            for flip in FLIPS {
                let mut bytes = original.clone();
                bytes[at] ^= flip;
                check_flip(&options, &journal, &bytes, &[RECORDS], &format!("byte {at} ^ {flip:#x}"));
            }
        }
    });
}

#[test]
fn a_crashed_journal_with_any_byte_changed_loses_the_last_group_at_most() {
    for_each_backend(|options| {
        let original = crashed_sample(&options);
        let last_group = seal_ends(&original)[2]..original.len();
        let journal = Journal::new();
        for at in 0..original.len() {
            // Whether the last group was acknowledged a file cannot tell that was cut off in use.
            let allowed: &[u64] =
                if last_group.contains(&at) { &[RECORDS, RECORDS - GROUPS[3]] } else { &[RECORDS] };
            for flip in [0x29, 0x2a, 0xff] {
                let mut bytes = original.clone();
                bytes[at] ^= flip;
                check_flip(&options, &journal, &bytes, allowed, &format!("byte {at} ^ {flip:#x}"));
            }
        }
    });
}

/// Where the lines of a group stand.
fn group(bytes: &[u8], index: usize) -> Range<usize> {
    let ends = seal_ends(bytes);
    ends[index - 1] + 1..ends[index]
}

#[test]
fn a_damaged_middle_is_refused_with_its_place() {
    for_each_backend(|options| {
        for mut bytes in [crashed_sample(&options), closed_sample(&options)] {
            let damaged = group(&bytes, 1);
            bytes[damaged.start + 3] ^= 1;
            let journal = Journal::of_bytes(&bytes);
            let opened = options.clone().open_blocking(journal.path()).map(drop);
            let replayed = replay::<String>(journal.path()).map(drop);
            for refusal in [opened, replayed] {
                let Err(MiniStoreError::Corrupt { segment, offset, line, seq, reason }) = refusal else {
                    panic!("{refusal:?}")
                };
                assert_eq!(segment, journal.path());
                assert_eq!((offset, line, seq), (damaged.start as u64, 3, Some(2)), "{reason}");
            }
            assert_eq!(journal.files(), Files::from([(NAME.into(), bytes)]), "nothing changed");
        }
    });
}

#[test]
fn a_missing_or_repeated_group_is_refused() {
    for_each_backend(|options| {
        let original = closed_sample(&options);
        let (second, third) = (group(&original, 1), group(&original, 2));
        let missing = [&original[..second.start], &original[third.start..]].concat();
        let repeated = [&original[..third.start], &original[second.start..]].concat();
        let swapped = [
            &original[..second.start],
            &original[third.clone()],
            b"\n",
            &original[second],
            &original[third.end..],
        ]
        .concat();
        for bytes in [missing, repeated, swapped] {
            let journal = Journal::of_bytes(&bytes);
            let opened = options.clone().open_blocking(journal.path());
            assert!(matches!(opened, Err(MiniStoreError::Corrupt { .. })), "{opened:?}");
            let read = replay::<String>(journal.path());
            assert!(matches!(read, Err(MiniStoreError::Corrupt { .. })), "{read:?}");
            assert_eq!(journal.bytes(), bytes);
        }
    });
}

#[test]
fn groups_after_closed_mark_are_refused() {
    for_each_backend(|options| {
        let journal = Journal::new();
        write_sample(&options, &journal).blocking().close().unwrap();
        let closed = journal.bytes();
        let store = options.clone().open_blocking(journal.path()).unwrap();
        store.blocking().append(&"next").unwrap();
        store.blocking().close().unwrap();
        // What continued it took the place of the mark.
        let more = &journal.bytes()[closed.len() - 1..];
        let bytes = [&closed[..], more].concat();
        let journal = Journal::of_bytes(&bytes);
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
        let journal = Journal::of_bytes(&bytes);
        let options = options.recovery(RecoveryPolicy::TruncateAtFirstError);
        let store = options.clone().open_blocking(journal.path()).unwrap();
        let cut = store.open_report().truncated.clone().unwrap();
        let kept = fs::read(cut.saved_to.unwrap()).unwrap();
        assert_eq!(kept, bytes[cut.offset as usize..], "everything cut is kept");
        assert!(cut.offset as usize <= damaged.start);
        assert_eq!(store.blocking().submit(&"next").unwrap().wait().unwrap().seq, 2);
        drop(store);
        let store = options.backend(Backend::Blocking).open_blocking(journal.path()).unwrap();
        assert_eq!(store.open_report().truncated, None);
        assert_eq!(replay::<String>(journal.path()).unwrap(), ["r1", "next"]);
    });
}

#[test]
fn cutting_twice_at_one_place_keeps_both() {
    for_each_backend(|options| {
        let whole = crashed_sample(&options);
        let torn = &whole[..seal_ends(&whole)[3] - 5];
        let journal = Journal::of_bytes(torn);
        for cuts in 1..=3 {
            let store = options.clone().open_blocking(journal.path()).unwrap();
            store.blocking().close().unwrap();
            let kept = journal.names().iter().filter(|name| name.contains(".truncated-")).count();
            assert_eq!(kept, cuts);
            fs::write(journal.path(), torn).unwrap();
        }
    });
}
