//! Scans a segment while it is written: the reader sees some old and some new bytes. It may miss data that was not durable when the
//! scan started; it must never report an intact journal as corrupt.

use std::{cell::Cell, io};

use super::*;
use crate::format::testing::FIRST;

/// A file that changes between two reads.
struct ChangingFile<'a> {
    versions: &'a [Vec<u8>],
    reads: Cell<usize>,
    /// Returns the version that a read sees; reads are counted from 0.
    version_at: &'a dyn Fn(usize) -> usize,
}

impl ReadAt for ChangingFile<'_> {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.reads.replace(self.reads.get() + 1);
        let version = (self.version_at)(read).min(self.versions.len() - 1);
        self.versions[version].as_slice().read_at(into, offset)
    }
}

/// Scans while the versions change, and compares the result with the oldest and the newest version.
fn check(versions: &[Vec<u8>], version_at: &dyn Fn(usize) -> usize, context: &str) {
    let oldest = read(versions[0].as_slice()).lines;
    let newest = read(versions[versions.len() - 1].as_slice()).lines;
    let file = ChangingFile { versions, reads: Cell::new(0), version_at };
    let result = read(&file);
    assert!(result.end.tail.as_ref().is_none_or(|tail| !tail.is_corrupt), "{context}: {:?}", result.end);
    assert!(
        result.lines.len() >= oldest.len(),
        "{context}: data that was durable before the scan is missing"
    );
    assert!(newest.starts_with(&result.lines), "{context}: returned lines that were never written");
}

/// Scans with one change, before each of the reads in turn.
fn check_one_change(versions: [Vec<u8>; 2], context: &str) {
    for change in 0..40 {
        check(
            &versions,
            &|read| usize::from(read >= change),
            &format!("{context}, changed before read {change}"),
        );
    }
}

/// Returns values of many sizes, so that groups cross read boundaries at many offsets.
fn value(number: usize) -> String {
    format!("\"{number}:{}\"", "v".repeat(number * 977 % (READ_BYTES + 900)))
}

/// Returns a segment after each of its commits, padded to a multiple of `step`; 0 for no padding.
fn commits(count: usize, step: usize) -> Vec<Vec<u8>> {
    let mut segment = SegmentBytes::new(FIRST);
    let mut versions = Vec::new();
    for number in 0..count {
        versions.push(if step == 0 { segment.clone().ended() } else { padded_to(&segment, step) });
        segment = segment.group(&[value(2 * number), value(2 * number + 1)]);
    }
    versions
}

fn padded_to(segment: &SegmentBytes, step: usize) -> Vec<u8> {
    let data_end = segment.data_end();
    segment.clone().padded((data_end + 1).next_multiple_of(step) - data_end)
}

#[test]
fn one_commit_between_reads_is_not_corruption() {
    for step in [0, 512, 64 << 10] {
        let versions = commits(9, step);
        for pair in versions.windows(2) {
            check_one_change([pair[0].clone(), pair[1].clone()], &format!("padded to {step}"));
        }
    }
}

#[test]
fn many_commits_between_reads_are_not_corruption() {
    for step in [0, 512, 64 << 10] {
        let versions = commits(16, step);
        for old in (0..12).step_by(3) {
            let context = format!("version {old}, padded to {step}");
            check_one_change([versions[old].clone(), versions[15].clone()], &context);
        }
    }
}

#[test]
fn commits_between_all_reads_are_not_corruption() {
    for step in [0, 512, 64 << 10] {
        let versions = commits(40, step);
        for reads_per_commit in 1..4 {
            let context = format!("{reads_per_commit} reads per commit, padded to {step}");
            check(&versions, &|read| read / reads_per_commit, &context);
            check(&versions, &|read| 3 + read / reads_per_commit, &context);
        }
    }
}

#[test]
fn close_during_scan_is_not_corruption() {
    let (segment, _) = three_groups();
    check_one_change([segment.clone().padded(9000), segment.clone().closed()], "closed");
    check_one_change([segment.clone().padded(9000), segment.clone().bare()], "being closed");
    let more = segment.clone().group(&[value(3), value(4)]);
    check_one_change([segment.padded(9000), more.closed()], "continued and closed");
}

#[test]
fn reopen_and_commit_during_scan_is_not_corruption() {
    let (segment, _) = three_groups();
    let mut more = segment.clone();
    for number in 0..5 {
        more = more.group(&[value(number)]);
        check_one_change([segment.clone().closed(), padded_to(&more, 64 << 10)], "continued, padded");
        check_one_change([segment.clone().closed(), more.clone().ended()], "continued");
        check_one_change([segment.clone().closed(), more.clone().closed()], "continued and closed again");
    }
}

#[test]
fn padding_during_scan_is_not_corruption() {
    let (segment, _) = three_groups();
    for step in [700, 64 << 10] {
        let padded = padded_to(&segment, step);
        check_one_change([segment.clone().closed(), padded.clone()], "padded");
        check_one_change([segment.clone().ended(), padded.clone()], "ended, padded");
        check_one_change([segment.clone().closed(), segment.clone().bare()], "truncated");
        let versions = [segment.clone().closed(), segment.clone().bare(), padded];
        for reads in 1..4 {
            for from in 0..3 {
                check(
                    &versions,
                    &|read| (from + read) / reads,
                    &format!("{reads} reads per version, from {from}"),
                );
            }
        }
    }
}

#[test]
fn truncation_during_scan_is_not_corruption() {
    let (segment, _) = three_groups();
    let torn = segment.clone().line(value(9)).padded(3000);
    let next = segment.clone().group(&[value(1)]).group(&[value(2)]);
    check_one_change([torn.clone(), segment.ended()], "truncated");
    check_one_change([torn, next.padded(5000)], "overwritten");
}

#[test]
fn first_commits_during_scan_are_not_corruption() {
    let segment = SegmentBytes::new(FIRST);
    let more = segment.clone().group(&["1"]).group(&["2"]).group(&[value(7)]);
    for header in
        [segment.clone().bare(), segment.clone().padded(600), segment.clone().ended(), segment.closed()]
    {
        check_one_change([header.clone(), more.clone().padded(5000)], "padded");
        check_one_change([header, more.clone().ended()], "not padded");
    }
}

#[test]
fn corruption_is_reported_after_second_read() {
    let (segment, _) = three_groups();
    let mut bad = segment.padded(100);
    bad[group_starts()[1] + 2] ^= 1;
    let file = ChangingFile { versions: &[bad], reads: Cell::new(0), version_at: &|_| 0 };
    assert!(read(&file).end.tail.unwrap().is_corrupt);
}
