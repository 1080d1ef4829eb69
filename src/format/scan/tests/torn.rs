//! A group whose write was interrupted by a power failure: some of its sectors are on disk, others are not.

use super::*;
use crate::format::testing::{FIRST, FIRST_JSON};

const SECTOR: usize = 512;

/// Returns a segment whose last seal ends at `data_end`.
fn segment_up_to(data_end: usize) -> SegmentBytes {
    let start = SegmentBytes::new(FIRST).group(&[r#"{"n":1}"#]);
    let overhead = start.clone().group(&["\"\""]).data_end();
    let segment = start.group(&[format!("\"{}\"", "x".repeat(data_end - overhead))]);
    assert_eq!(segment.data_end(), data_end);
    segment
}

/// Returns the bytes on disk if only the sectors in `written`, of all sectors that differ between `old` and `new`, were written.
fn torn(old: &[u8], new: &[u8], written: impl Fn(usize) -> bool) -> Vec<u8> {
    let mut disk = new.to_vec();
    for (number, sector) in disk.chunks_mut(SECTOR).enumerate() {
        let at = number * SECTOR;
        if !written(number) && sector != &old[at..at + sector.len()] {
            sector.copy_from_slice(&old[at..at + sector.len()]);
        }
    }
    disk
}

/// Tears the group that follows `before` in every possible way; its sectors contained `old_ending` before the write.
fn tear_in_every_way(before: &SegmentBytes, old_ending: &[u8], filler: u8, ended: bool) {
    let lines = [format!("\"{}\"", "y".repeat(500)), format!("\"{}\"", "z".repeat(300)), "7".into()];
    let after = before.clone().group(&lines);
    let new_end = after.data_end();
    let mut old = before.clone().followed_by(old_ending);
    let mut new = if ended { after.ended() } else { after.bare() };
    let len = new.len().next_multiple_of(SECTOR);
    old.resize(len, filler);
    new.resize(len, filler);
    let first = before.data_end() / SECTOR;
    let kept = read(old.as_slice()).lines.len();
    let sectors = (new_end - 1) / SECTOR - first + 1;
    for mask in 0..1u32 << sectors {
        let written = |number: usize| number >= first && mask >> (number - first) & 1 == 1;
        let disk = torn(&old, &new, written);
        let context = format!("data ends at {}, sectors {mask:b} of {sectors}", before.data_end());
        let result = read(disk.as_slice());
        assert!(result.lines.len() >= kept, "{context}: an acknowledged group is lost: {:?}", result.end);
        let is_corrupt = result.end.tail.is_some_and(|tail| tail.is_corrupt);
        assert!(!is_corrupt, "{context}: a torn group is reported as corrupt");
        let whole = disk[..new_end] == new[..new_end];
        assert_eq!(result.lines.len(), if whole { kept + 3 } else { kept }, "{context}");
        assert_eq!(
            result.end.data_end as usize,
            if whole { new_end } else { before.data_end() },
            "{context}"
        );
    }
}

#[test]
fn group_before_torn_group_survives_any_alignment() {
    for data_end in (700..700 + SECTOR).step_by(5).chain(1020..1030) {
        tear_in_every_way(&segment_up_to(data_end), b"", b' ', false);
    }
}

#[test]
fn torn_group_extending_file_is_truncated() {
    for data_end in (700..700 + SECTOR).step_by(7).chain(1020..1030) {
        tear_in_every_way(&segment_up_to(data_end), b"", 0, false);
        tear_in_every_way(&segment_up_to(data_end), b"\n", 0, true);
    }
}

#[test]
fn torn_group_over_close_marker_is_truncated() {
    for data_end in (700..700 + SECTOR).step_by(7).chain(1020..1030) {
        tear_in_every_way(&segment_up_to(data_end), b"\t\n", 0, true);
    }
}

#[test]
fn seal_before_lost_lf_is_found() {
    // The LF is the last byte of its sector, which was not written; the lines and the seal were.
    let before = segment_up_to(1023);
    let after = before.clone().group(&["{\"k\":2}"]);
    let mut disk = after.padded(600);
    disk[1023] = b' ';
    let result = read(disk.as_slice());
    assert_eq!(result.lines.len(), 2);
    assert_eq!(result.end.data_end, 1023);
    let tail = result.end.tail.unwrap();
    assert_eq!((tail.offset, tail.line, tail.is_corrupt), (1023, 3, false));
    assert_eq!(
        tail.bytes,
        (before.group(&["{\"k\":2}"]).bare().trim_ascii_end().len() - 1023) as u64 + {
            // The seal may end in spaces, which do not count as text.
            let seal = &disk[1024 + 7..1024 + 7 + 33];
            seal.iter().rposition(|&b| b != b' ').map_or(0, |at| at as u64 + 1)
        }
    );
}

#[test]
fn header_before_torn_group_survives() {
    for header in [FIRST, FIRST_JSON].map(SegmentBytes::new) {
        for filler in [b' ', 0] {
            tear_in_every_way(&header, b"", filler, false);
        }
        tear_in_every_way(&header, b"\n", 0, true);
        tear_in_every_way(&header, b"\t\n", 0, true);
    }
}
