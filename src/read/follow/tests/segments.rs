//! Bytes as they come into files, one after another.

use std::{
    fs::{self, OpenOptions},
    io::Write,
    path::{Path, PathBuf},
    thread,
    time::{Duration, Instant},
};

use tempfile::TempDir;

use super::Eye;
use crate::{JournalOptions, MiniStore, MiniStoreError, Reader, io::os_file_system};

const PLAIN: &str = "// MINISTORE JOURNAL v0.1.4\n";

/// So many records are more than memory is given to a group.
const LARGE: u64 = 1000;

struct Rig {
    _dir: TempDir,
    path: PathBuf,
}

impl Rig {
    fn new() -> Self {
        let dir = TempDir::new().unwrap();
        let path = dir.path().canonicalize().unwrap().join("j");
        Self { _dir: dir, path }
    }

    fn eye(&self, from_seq: u64) -> Eye {
        Eye::new(os_file_system(), &self.path, from_seq)
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
    let rig = Rig::new();
    let mut eye = rig.eye(0);
    eye.poll_now().unwrap();
    for (text, expected) in [
        ("// MINI", &[][..]),
        (&PLAIN[7..], &[]),
        ("1", &[]),
        ("2", &[]),
        ("\n3\n", &[12, 3]),
        ("4", &[12, 3]),
        ("\n", &[12, 3, 4]),
    ] {
        add(&rig.path, text);
        eye.poll_now().unwrap();
        assert_eq!(eye.values(), expected, "after {text:?}");
    }
    assert_eq!(eye.seen.last(), Some(&(3, 4)));
}

#[test]
fn legacy_journal_is_followed_into_checksums() {
    for lines in ["", "1\n2\n"] {
        let rig = Rig::new();
        add(&rig.path, PLAIN);
        let mut eye = rig.eye(1);
        eye.poll_now().unwrap();
        add(&rig.path, lines);
        eye.poll_now().unwrap();
        let store = rig.store(JournalOptions::new());
        for value in 10..20_u64 {
            store.blocking().append(&value).unwrap();
            eye.poll_now().unwrap();
            assert_eq!(eye.seen.last().unwrap().1, value);
        }
        assert!(eye.seen.iter().zip(1..).all(|((seq, _), n)| *seq == n), "{:?}", eye.seen);
    }
}

#[test]
fn upgraded_rotated_segment_is_followed_to_next() {
    let rig = Rig::new();
    add(&rig.path, PLAIN);
    add(&rig.path, "1\n2\n");
    let mut eye = rig.eye(1);
    eye.poll_now().unwrap();
    let store = rig.store(JournalOptions::new());
    store.blocking().rotate().unwrap();
    eye.poll_now().unwrap();
    store.blocking().append(&3_u64).unwrap();
    eye.poll_now().unwrap();
    assert_eq!(eye.values(), [1, 2, 3]);
}

#[test]
fn last_legacy_record_before_seal_is_read() {
    for lines in 1..=3_u64 {
        let rig = Rig::new();
        add(&rig.path, PLAIN);
        add(&rig.path, &(1..=lines).map(|n| format!("{n}\n")).collect::<String>());
        let store = rig.store(JournalOptions::new());
        let began = Instant::now();
        while !fs::read(&rig.path).unwrap().ends_with(b" ") {
            assert!(began.elapsed() < Duration::from_secs(60), "it is not written ahead");
            thread::yield_now();
        }
        let mut own = rig.eye(1);
        own.poll_now().unwrap();
        assert_eq!(own.values(), (1..=lines).collect::<Vec<_>>());
        let mut eye = rig.eye(1);
        for bound in 0..=lines {
            eye.durable = super::Durability::Watermark(bound);
            eye.poll_now().unwrap();
            assert_eq!(eye.values(), (1..=bound).collect::<Vec<_>>());
        }
        store.blocking().append(&(lines + 1)).unwrap();
        eye.durable = super::Durability::Watermark(lines + 1);
        for eye in [&mut eye, &mut own] {
            eye.poll_now().unwrap();
            assert_eq!(eye.values(), (1..=lines + 1).collect::<Vec<_>>());
        }
    }
}

#[test]
fn plain_segments_are_followed_through_rotations() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new().checksums(false).max_segment_bytes(200));
    let mut eye = rig.eye(1);
    for value in 1..=300_u64 {
        store.blocking().append(&value).unwrap();
        if value % 7 == 0 || value > 290 {
            eye.poll_now().unwrap();
            assert_eq!(eye.seen.last(), Some(&(value, value)));
        }
    }
    assert_eq!(eye.values(), (1..=300).collect::<Vec<_>>());
    assert!(store.stats().rotations > 3);
}

#[test]
fn bound_applies_per_record_without_checksums() {
    let rig = Rig::new();
    add(&rig.path, PLAIN);
    add(&rig.path, &(1..=5000).map(|n| format!("{n}\n")).collect::<String>());
    let mut eye = rig.eye(1);
    for bound in [0, 1, 2, 500, 501, 4999, 5000] {
        eye.durable = super::Durability::Watermark(bound);
        eye.poll_now().unwrap();
        assert_eq!(eye.values(), (1..=bound).collect::<Vec<_>>());
    }
}

#[test]
fn a_journal_is_followed_from_any_record_on() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new().max_segment_bytes(500));
    for value in 1..=200_u64 {
        store.blocking().append(&value).unwrap();
    }
    for from_seq in [0, 1, 2, 57, 199, 200, 201, 205] {
        let mut eye = rig.eye(from_seq);
        eye.poll_now().unwrap();
        assert_eq!(eye.values(), (from_seq.max(1)..=200).collect::<Vec<_>>(), "from {from_seq}");
    }
    let mut late = rig.eye(205);
    for value in 201..=210_u64 {
        late.poll_now().unwrap();
        store.blocking().append(&value).unwrap();
    }
    late.poll_now().unwrap();
    assert_eq!(late.seen, (205..=210).map(|n| (n, n)).collect::<Vec<_>>());
}

#[test]
fn many_rotations_between_two_looks_lose_nothing() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new().max_segment_bytes(300));
    let mut eye = rig.eye(1);
    let mut next = 1;
    for round in 0..12 {
        for _ in 0..round * 17 {
            store.blocking().append(&next).unwrap();
            next += 1;
        }
        eye.poll_now().unwrap();
        assert_eq!(eye.values(), (1..next).collect::<Vec<_>>());
    }
    assert!(store.stats().rotations > 30, "{} rotations", store.stats().rotations);
}

#[test]
fn next_found_after_all_rotated_are_deleted() {
    for rotated in 1..=3_u64 {
        let rig = Rig::new();
        let store = rig.store(JournalOptions::new());
        for value in 1..=rotated {
            store.blocking().append(&value).unwrap();
            store.blocking().rotate().unwrap();
        }
        let mut early = rig.eye(1);
        early.poll_now().unwrap();
        assert_eq!(store.blocking().trim_before(rotated + 1).unwrap(), rotated + 1);
        let mut late = rig.eye(rotated + 1);
        for value in rotated + 1..rotated + 4 {
            store.blocking().append(&value).unwrap();
            for eye in [&mut early, &mut late] {
                eye.poll_now().unwrap();
                assert_eq!(eye.seen.last(), Some(&(value, value)), "{rotated} were deleted");
            }
            store.blocking().rotate().unwrap();
        }
        assert_eq!(late.values(), (rotated + 1..rotated + 4).collect::<Vec<_>>());
    }
}

#[test]
fn lost_position_returns_first_available_seq() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new().max_segment_bytes(300));
    for value in 1..=20_u64 {
        store.blocking().append(&value).unwrap();
    }
    let mut eye = rig.eye(1);
    eye.poll_now().unwrap();
    for value in 21..=200_u64 {
        store.blocking().append(&value).unwrap();
    }
    store.blocking().close().unwrap();
    for number in 1..=8 {
        fs::remove_file(rig.rotated(number)).unwrap();
    }
    let first = Reader::open(&rig.path).unwrap().records::<u64>().next().unwrap().unwrap().seq;
    let told = eye.poll_now();
    assert!(
        matches!(told, Err(MiniStoreError::Trimmed { first_seq, .. }) if first_seq == first),
        "{told:?}, and it begins with {first}"
    );
    let read = eye.seen.last().unwrap().0;
    assert_eq!(eye.values(), (1..=read).collect::<Vec<_>>());
    assert!((20..first).contains(&read), "what was open is read to its end: {read}");
    let told = rig.eye(first - 1).poll_now();
    assert!(matches!(told, Err(MiniStoreError::Trimmed { first_seq, .. }) if first_seq == first), "{told:?}");
    let mut again = rig.eye(first);
    again.poll_now().unwrap();
    assert_eq!(again.values(), (first..=200).collect::<Vec<_>>());
}

#[test]
fn a_segment_that_is_missing_in_between_is_damage() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new().max_segment_bytes(300));
    for value in 1..=200_u64 {
        store.blocking().append(&value).unwrap();
    }
    store.blocking().close().unwrap();
    fs::remove_file(rig.rotated(3)).unwrap();
    let told = rig.eye(1).poll_now();
    assert!(matches!(told, Err(MiniStoreError::Corrupt { .. })), "{told:?}");
}

#[test]
fn damage_is_reported_and_ends_the_follower() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new());
    for value in 1000..1100_u64 {
        store.blocking().append(&value).unwrap();
    }
    store.blocking().close().unwrap();
    let mut bytes = fs::read(&rig.path).unwrap();
    let at = bytes.windows(4).position(|window| window == b"1050").unwrap();
    bytes[at + 3] = b'7';
    fs::write(&rig.path, bytes).unwrap();
    let mut eye = rig.eye(1);
    let told = eye.poll_now();
    assert!(matches!(told, Err(MiniStoreError::Corrupt { seq: Some(51), .. })), "{told:?}");
    assert_eq!(eye.values(), (1000..1050).collect::<Vec<_>>());
}

#[test]
fn what_was_read_and_is_changed_later_is_noticed() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new());
    store.blocking().append(&1_u64).unwrap();
    let mut eye = rig.eye(1);
    eye.poll_now().unwrap();
    store.blocking().close().unwrap();
    let len = fs::metadata(&rig.path).unwrap().len();
    OpenOptions::new().write(true).open(&rig.path).unwrap().set_len(len - 10).unwrap();
    let told = eye.poll_now();
    assert!(matches!(told, Err(MiniStoreError::Corrupt { .. })), "{told:?}");
}

#[test]
fn groups_larger_than_memory_is_given_to_them_are_followed() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new());
    let mut eye = rig.eye(1);
    let mut next = 1;
    for count in [1, 20_000, 2, 30_000, 1] {
        store.blocking().append_batch(next..next + count).unwrap();
        next += count;
        eye.poll_now().unwrap();
        assert_eq!(eye.values(), (1..next).collect::<Vec<u64>>());
    }
}

/// Of so many sizes in a row, some end with a block.
#[test]
fn group_after_large_group_is_found_at_once() {
    let rig = Rig::new();
    let store = rig.store(JournalOptions::new());
    let mut eye = rig.eye(1);
    let mut next = 1_000_000_000_000_000_000;
    for more in 0..210 {
        store.blocking().append_batch(next..next + LARGE + more).unwrap();
        next += LARGE + more;
        store.blocking().append(&next).unwrap();
        next += 1;
        eye.poll_now().unwrap();
        assert_eq!(eye.seen.last().map(|(_, value)| *value), Some(next - 1), "{more} more");
    }
}
