//! Followers of segments that grow, rotate, are deleted or are damaged.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::PolledFollower;
use crate::{JournalOptions, MiniStore, MiniStoreError, Reader, io::os_file_system};

const PLAIN: &str = "// MINISTORE JOURNAL v0.1.4\n";

/// A number of records that makes a group too large for a block.
const LARGE_GROUP_RECORDS: u64 = 1000;

struct FollowedJournal {
    _dir: TempDir,
    path: PathBuf,
}

impl FollowedJournal {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().canonicalize().unwrap().join("j");
        Self { _dir: dir, path }
    }

    fn follower(&self, from_seq: u64) -> PolledFollower {
        PolledFollower::new(os_file_system(), &self.path, from_seq)
    }

    fn store(&self, options: JournalOptions) -> MiniStore {
        options.open_blocking(&self.path).unwrap()
    }

    fn rotated(&self, number: u32) -> PathBuf {
        self.path.with_extension(format!("{number:03}"))
    }
}

fn add(path: &Path, text: &str) {
    let mut file = OpenOptions::new().create(true).append(true).open(path).unwrap();
    file.write_all(text.as_bytes()).unwrap();
}

#[test]
fn unchecksummed_record_is_read_after_its_lf() {
    let journal = FollowedJournal::new();
    let mut follower = journal.follower(0);
    follower.poll_now().unwrap();
    for (text, expected) in [
        ("// MINI", &[][..]),
        (&PLAIN[7..], &[]),
        ("1", &[]),
        ("2", &[]),
        ("\n3\n", &[12, 3]),
        ("4", &[12, 3]),
        ("\n", &[12, 3, 4]),
    ] {
        add(&journal.path, text);
        follower.poll_now().unwrap();
        assert_eq!(follower.values(), expected, "after {text:?}");
    }
    assert_eq!(follower.yielded.last(), Some(&(3, 4)));
}

#[test]
fn legacy_journal_is_followed_into_checksums() {
    for lines in ["", "1\n2\n"] {
        let journal = FollowedJournal::new();
        add(&journal.path, PLAIN);
        let mut follower = journal.follower(1);
        follower.poll_now().unwrap();
        add(&journal.path, lines);
        follower.poll_now().unwrap();
        let store = journal.store(JournalOptions::new());
        for value in 10..20_u64 {
            store.blocking().append(&value).unwrap();
            follower.poll_now().unwrap();
            assert_eq!(follower.yielded.last().unwrap().1, value);
        }
        assert!(follower.yielded.iter().zip(1..).all(|((seq, _), n)| *seq == n), "{:?}", follower.yielded);
    }
}

#[test]
fn upgraded_rotated_segment_is_followed_to_next() {
    let journal = FollowedJournal::new();
    add(&journal.path, PLAIN);
    add(&journal.path, "1\n2\n");
    let mut follower = journal.follower(1);
    follower.poll_now().unwrap();
    let store = journal.store(JournalOptions::new());
    store.blocking().rotate().unwrap();
    follower.poll_now().unwrap();
    store.blocking().append(&3_u64).unwrap();
    follower.poll_now().unwrap();
    assert_eq!(follower.values(), [1, 2, 3]);
}

#[test]
fn last_legacy_record_before_seal_is_read() {
    for lines in 1..=3_u64 {
        let journal = FollowedJournal::new();
        add(&journal.path, PLAIN);
        add(&journal.path, &(1..=lines).map(|n| format!("{n}\n")).collect::<String>());
        let store = journal.store(JournalOptions::new());
        let began = Instant::now();
        while !fs::read(&journal.path).unwrap().ends_with(b" ") {
            assert!(began.elapsed() < Duration::from_secs(60), "it is not preallocated");
            thread::yield_now();
        }
        let mut own = journal.follower(1);
        own.poll_now().unwrap();
        assert_eq!(own.values(), (1..=lines).collect::<Vec<_>>());
        let mut follower = journal.follower(1);
        for bound in 0..=lines {
            follower.durability = super::Durability::Watermark(bound);
            follower.poll_now().unwrap();
            assert_eq!(follower.values(), (1..=bound).collect::<Vec<_>>());
        }
        store.blocking().append(&(lines + 1)).unwrap();
        follower.durability = super::Durability::Watermark(lines + 1);
        for follower in [&mut follower, &mut own] {
            follower.poll_now().unwrap();
            assert_eq!(follower.values(), (1..=lines + 1).collect::<Vec<_>>());
        }
    }
}

#[test]
fn plain_segments_are_followed_through_rotations() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new().checksums(false).max_segment_bytes(200));
    let mut follower = journal.follower(1);
    for value in 1..=300_u64 {
        store.blocking().append(&value).unwrap();
        if value % 7 == 0 || value > 290 {
            follower.poll_now().unwrap();
            assert_eq!(follower.yielded.last(), Some(&(value, value)));
        }
    }
    assert_eq!(follower.values(), (1..=300).collect::<Vec<_>>());
    assert!(store.stats().rotations > 3);
}

#[test]
fn bound_applies_per_record_without_checksums() {
    let journal = FollowedJournal::new();
    add(&journal.path, PLAIN);
    add(&journal.path, &(1..=5000).map(|n| format!("{n}\n")).collect::<String>());
    let mut follower = journal.follower(1);
    for bound in [0, 1, 2, 500, 501, 4999, 5000] {
        follower.durability = super::Durability::Watermark(bound);
        follower.poll_now().unwrap();
        assert_eq!(follower.values(), (1..=bound).collect::<Vec<_>>());
    }
}

#[test]
fn follow_starts_at_any_record() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new().max_segment_bytes(500));
    for value in 1..=200_u64 {
        store.blocking().append(&value).unwrap();
    }
    for from_seq in [0, 1, 2, 57, 199, 200, 201, 205] {
        let mut follower = journal.follower(from_seq);
        follower.poll_now().unwrap();
        assert_eq!(follower.values(), (from_seq.max(1)..=200).collect::<Vec<_>>(), "from {from_seq}");
    }
    let mut late = journal.follower(205);
    for value in 201..=210_u64 {
        late.poll_now().unwrap();
        store.blocking().append(&value).unwrap();
    }
    late.poll_now().unwrap();
    assert_eq!(late.yielded, (205..=210).map(|n| (n, n)).collect::<Vec<_>>());
}

#[test]
fn many_rotations_between_polls_lose_no_record() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new().max_segment_bytes(300));
    let mut follower = journal.follower(1);
    let mut next = 1;
    for round in 0..12 {
        for _ in 0..round * 17 {
            store.blocking().append(&next).unwrap();
            next += 1;
        }
        follower.poll_now().unwrap();
        assert_eq!(follower.values(), (1..next).collect::<Vec<_>>());
    }
    assert!(store.stats().rotations > 30, "{} rotations", store.stats().rotations);
}

#[test]
fn next_found_after_all_rotated_are_deleted() {
    for rotated in 1..=3_u64 {
        let journal = FollowedJournal::new();
        let store = journal.store(JournalOptions::new());
        for value in 1..=rotated {
            store.blocking().append(&value).unwrap();
            store.blocking().rotate().unwrap();
        }
        let mut early = journal.follower(1);
        early.poll_now().unwrap();
        assert_eq!(store.blocking().trim_before(rotated + 1).unwrap(), rotated + 1);
        let mut late = journal.follower(rotated + 1);
        for value in rotated + 1..rotated + 4 {
            store.blocking().append(&value).unwrap();
            for follower in [&mut early, &mut late] {
                follower.poll_now().unwrap();
                assert_eq!(follower.yielded.last(), Some(&(value, value)), "{rotated} were deleted");
            }
            store.blocking().rotate().unwrap();
        }
        assert_eq!(late.values(), (rotated + 1..rotated + 4).collect::<Vec<_>>());
    }
}

#[test]
fn lost_position_returns_first_available_seq() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new().max_segment_bytes(300));
    for value in 1..=20_u64 {
        store.blocking().append(&value).unwrap();
    }
    let mut follower = journal.follower(1);
    follower.poll_now().unwrap();
    for value in 21..=200_u64 {
        store.blocking().append(&value).unwrap();
    }
    store.blocking().close().unwrap();
    for number in 1..=8 {
        fs::remove_file(journal.rotated(number)).unwrap();
    }
    let first = Reader::open(&journal.path).unwrap().records::<u64>().next().unwrap().unwrap().seq;
    let outcome = follower.poll_now();
    assert!(
        matches!(outcome, Err(MiniStoreError::Trimmed { first_seq, .. }) if first_seq == first),
        "{outcome:?}, the first record is {first}"
    );
    let read = follower.yielded.last().unwrap().0;
    assert_eq!(follower.values(), (1..=read).collect::<Vec<_>>());
    assert!((20..first).contains(&read), "the open segment is read to its end: {read}");
    let outcome = journal.follower(first - 1).poll_now();
    assert!(
        matches!(outcome, Err(MiniStoreError::Trimmed { first_seq, .. }) if first_seq == first),
        "{outcome:?}"
    );
    let mut again = journal.follower(first);
    again.poll_now().unwrap();
    assert_eq!(again.values(), (first..=200).collect::<Vec<_>>());
}

#[test]
fn missing_middle_segment_is_corrupt() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new().max_segment_bytes(300));
    for value in 1..=200_u64 {
        store.blocking().append(&value).unwrap();
    }
    store.blocking().close().unwrap();
    fs::remove_file(journal.rotated(3)).unwrap();
    let outcome = journal.follower(1).poll_now();
    assert!(matches!(outcome, Err(MiniStoreError::Corrupt { .. })), "{outcome:?}");
}

#[test]
fn damage_is_reported_and_ends_the_follower() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new());
    for value in 1000..1100_u64 {
        store.blocking().append(&value).unwrap();
    }
    store.blocking().close().unwrap();
    let mut bytes = fs::read(&journal.path).unwrap();
    let at = bytes.windows(4).position(|window| window == b"1050").unwrap();
    bytes[at + 3] = b'7';
    fs::write(&journal.path, bytes).unwrap();
    let mut follower = journal.follower(1);
    let outcome = follower.poll_now();
    assert!(matches!(outcome, Err(MiniStoreError::Corrupt { seq: Some(51), .. })), "{outcome:?}");
    assert_eq!(follower.values(), (1000..1050).collect::<Vec<_>>());
}

#[test]
fn truncation_before_read_position_is_corrupt() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new());
    store.blocking().append(&1_u64).unwrap();
    let mut follower = journal.follower(1);
    follower.poll_now().unwrap();
    store.blocking().close().unwrap();
    let len = fs::metadata(&journal.path).unwrap().len();
    OpenOptions::new().write(true).open(&journal.path).unwrap().set_len(len - 10).unwrap();
    let outcome = follower.poll_now();
    assert!(matches!(outcome, Err(MiniStoreError::Corrupt { .. })), "{outcome:?}");
}

#[test]
fn groups_larger_than_a_block_are_followed() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new());
    let mut follower = journal.follower(1);
    let mut next = 1;
    for count in [1, 20_000, 2, 30_000, 1] {
        store.blocking().append_batch(next..next + count).unwrap();
        next += count;
        follower.poll_now().unwrap();
        assert_eq!(follower.values(), (1..next).collect::<Vec<u64>>());
    }
}

/// Of 210 consecutive sizes, some end exactly with a block.
#[test]
fn group_after_large_group_is_found_at_once() {
    let journal = FollowedJournal::new();
    let store = journal.store(JournalOptions::new());
    let mut follower = journal.follower(1);
    let mut next = 1_000_000_000_000_000_000;
    for more in 0..210 {
        store.blocking().append_batch(next..next + LARGE_GROUP_RECORDS + more).unwrap();
        next += LARGE_GROUP_RECORDS + more;
        store.blocking().append(&next).unwrap();
        next += 1;
        follower.poll_now().unwrap();
        assert_eq!(follower.yielded.last().map(|(_, value)| *value), Some(next - 1), "{more} more");
    }
}
