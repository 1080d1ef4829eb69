//! Reading a segment while it is being written: a reader sees some of its bytes as they were and some as they
//! are. It may miss what was not durable yet when it began; it must never call a sound journal damaged.

use std::{cell::Cell, io};

use super::{super::lines::READ_BYTES, *};
use crate::format::testing::FIRST;

/// A file that is changed between two reads.
struct Changing<'a> {
    versions: &'a [Vec<u8>],
    reads: Cell<usize>,
    /// The version that the given read (counted from 0) sees.
    version_at: &'a dyn Fn(usize) -> usize,
}

impl ReadAt for Changing<'_> {
    fn read_at(&self, into: &mut [u8], offset: u64) -> io::Result<usize> {
        let read = self.reads.replace(self.reads.get() + 1);
        let version = (self.version_at)(read).min(self.versions.len() - 1);
        self.versions[version].as_slice().read_at(into, offset)
    }
}

/// Reads while the versions change, and holds the result against them.
fn check(versions: &[Vec<u8>], version_at: &dyn Fn(usize) -> usize, context: &str) {
    let oldest = read(versions[0].as_slice()).lines;
    let newest = read(versions[versions.len() - 1].as_slice()).lines;
    let file = Changing { versions, reads: Cell::new(0), version_at };
    let reading = read(&file);
    assert!(reading.end.tail.as_ref().is_none_or(|tail| !tail.damaged), "{context}: {:?}", reading.end);
    assert!(reading.lines.len() >= oldest.len(), "{context}: what was durable before is missing");
    assert!(newest.starts_with(&reading.lines), "{context}: lines that were never written");
}

/// One change, before each read there is in turn.
fn check_one_change(versions: [Vec<u8>; 2], context: &str) {
    for change in 0..40 {
        check(
            &versions,
            &|read| usize::from(read >= change),
            &format!("{context}, changed before read {change}"),
        );
    }
}

/// Values of many sizes, so that groups straddle reads in many ways.
fn value(number: usize) -> String {
    format!("\"{number}:{}\"", "v".repeat(number * 977 % (READ_BYTES + 900)))
}

/// A segment after each of its commits, padded up to a multiple of `step`; 0 for not written ahead.
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
fn one_commit_between_two_reads_is_no_damage() {
    for step in [0, 512, 64 << 10] {
        let versions = commits(9, step);
        for pair in versions.windows(2) {
            check_one_change([pair[0].clone(), pair[1].clone()], &format!("padded to {step}"));
        }
    }
}

#[test]
fn many_commits_between_two_reads_are_no_damage() {
    for step in [0, 512, 64 << 10] {
        let versions = commits(16, step);
        for old in (0..12).step_by(3) {
            let context = format!("version {old}, padded to {step}");
            check_one_change([versions[old].clone(), versions[15].clone()], &context);
        }
    }
}

#[test]
fn commits_between_all_reads_are_no_damage() {
    for step in [0, 512, 64 << 10] {
        let versions = commits(40, step);
        for reads_a_commit in 1..4 {
            let context = format!("{reads_a_commit} reads a commit, padded to {step}");
            check(&versions, &|read| read / reads_a_commit, &context);
            check(&versions, &|read| 3 + read / reads_a_commit, &context);
        }
    }
}

#[test]
fn a_segment_that_is_closed_meanwhile_is_no_damage() {
    let (segment, _) = three_groups();
    check_one_change([segment.clone().padded(9000), segment.clone().closed()], "closed");
    check_one_change([segment.clone().padded(9000), segment.clone().bare()], "being closed");
    let more = segment.clone().group(&[value(3), value(4)]);
    check_one_change([segment.padded(9000), more.closed()], "continued and closed");
}

#[test]
fn a_closed_segment_that_is_continued_meanwhile_is_no_damage() {
    let (segment, _) = three_groups();
    let mut more = segment.clone();
    for number in 0..5 {
        more = more.group(&[value(number)]);
        check_one_change([segment.clone().closed(), padded_to(&more, 64 << 10)], "continued, written ahead");
        check_one_change([segment.clone().closed(), more.clone().ended()], "continued");
        check_one_change([segment.clone().closed(), more.clone().closed()], "continued and closed again");
    }
}

#[test]
fn a_closed_segment_that_is_padded_meanwhile_is_no_damage() {
    let (segment, _) = three_groups();
    for step in [700, 64 << 10] {
        let padded = padded_to(&segment, step);
        check_one_change([segment.clone().closed(), padded.clone()], "written ahead");
        check_one_change([segment.clone().ended(), padded.clone()], "ended, written ahead");
        check_one_change([segment.clone().closed(), segment.clone().bare()], "cut");
        let versions = [segment.clone().closed(), segment.clone().bare(), padded];
        for reads in 1..4 {
            for from in 0..3 {
                check(&versions, &|read| (from + read) / reads, &format!("{reads} reads a version, {from}"));
            }
        }
    }
}

#[test]
fn torn_tail_overwritten_during_read_is_no_damage() {
    let (segment, _) = three_groups();
    let torn = segment.clone().line(value(9)).padded(3000);
    let next = segment.clone().group(&[value(1)]).group(&[value(2)]);
    check_one_change([torn.clone(), segment.ended()], "cut");
    check_one_change([torn, next.padded(5000)], "overwritten");
}

#[test]
fn a_header_that_gets_its_first_groups_meanwhile_is_no_damage() {
    let segment = SegmentBytes::new(FIRST);
    let more = segment.clone().group(&["1"]).group(&["2"]).group(&[value(7)]);
    for header in
        [segment.clone().bare(), segment.clone().padded(600), segment.clone().ended(), segment.closed()]
    {
        check_one_change([header.clone(), more.clone().padded(5000)], "written ahead");
        check_one_change([header, more.clone().ended()], "not written ahead");
    }
}

#[test]
fn damage_stays_damage_when_it_is_read_twice() {
    let (segment, _) = three_groups();
    let mut bad = segment.padded(100);
    bad[group_starts()[1] + 2] ^= 1;
    let file = Changing { versions: &[bad], reads: Cell::new(0), version_at: &|_| 0 };
    assert!(read(&file).end.tail.unwrap().damaged);
}
