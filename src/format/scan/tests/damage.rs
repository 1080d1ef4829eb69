//! Changed, missing, repeated and reordered bytes of what was acknowledged.

use super::*;
use crate::format::testing::FIRST;

#[test]
fn byte_flip_in_closed_segment_is_detected() {
    let (segment, all) = three_groups();
    let closed = segment.closed();
    let header_len = FIRST.encode().len();
    for at in 0..closed.len() {
        for flip in 1..=255 {
            let mut bad = closed.clone();
            bad[at] ^= flip;
            let Ok(Reading { lines, end, .. }) = try_read(bad.as_slice()) else {
                assert!(at <= header_len, "byte {at} flipped by {flip:#x} hides the header");
                continue;
            };
            assert!(is_prefix_of_whole_groups(&lines), "byte {at} flipped by {flip:#x}: {lines:?}");
            let damaged = end.tail.as_ref().is_some_and(|tail| tail.damaged);
            assert!(damaged || lines.len() == all.len(), "byte {at} flipped by {flip:#x}: {end:?}");
            if let Some(tail) = end.tail.filter(|_| at >= header_len) {
                assert!(tail.offset <= at as u64 + 1, "byte {at} flipped by {flip:#x}: {tail:?}");
            }
        }
    }
}

#[test]
fn byte_flip_in_active_segment_is_detected() {
    let (segment, all) = three_groups();
    let padded = segment.padded(40);
    let last_group = group_starts()[2];
    let bytes_that_mean_something = [b'\n', b'\t', b' ', b'\r', 0, b'"', b'0'];
    for at in 0..padded.len() {
        let flipped = (0..8).map(|bit| padded[at] ^ (1 << bit));
        for byte in flipped.chain(bytes_that_mean_something).filter(|&byte| byte != padded[at]) {
            let flip = padded[at] ^ byte;
            let mut bad = padded.clone();
            bad[at] = byte;
            let Ok(Reading { lines, end, .. }) = try_read(bad.as_slice()) else { continue };
            assert!(is_prefix_of_whole_groups(&lines), "byte {at} flipped by {flip:#x}: {lines:?}");
            let tail = end.tail.as_ref();
            assert!(tail.is_some() || lines.len() == all.len(), "byte {at} flipped by {flip:#x}: {end:?}");
            // Only the last group may be taken for one that was never acknowledged.
            let damaged = tail.is_some_and(|tail| tail.damaged);
            assert!(damaged || at >= last_group - 1, "byte {at} flipped by {flip:#x}: {end:?}");
        }
    }
}

#[test]
fn a_damaged_middle_group_is_damage_with_its_offset_and_line() {
    let (segment, all) = three_groups();
    let starts = group_starts();
    for whole in [segment.clone().closed(), segment.clone().padded(5000), segment.ended()] {
        let mut bad = whole.clone();
        bad[starts[1] + 3] ^= 1;
        let reading = read(bad.as_slice());
        assert_eq!(reading.lines, [all[0].as_bytes()]);
        let tail = reading.end.tail.unwrap();
        assert_eq!((tail.offset, tail.line, tail.damaged), (starts[1] as u64, 3, true));
        assert_eq!(reading.end.data_end, starts[1] as u64 - 1);
    }
}

#[test]
fn lost_lf_between_groups_is_damage() {
    let (segment, all) = three_groups();
    let starts = group_starts();
    let mut bad = segment.padded(100);
    bad[starts[1] - 1] = b'x';
    let reading = read(bad.as_slice());
    assert_eq!(reading.lines, [all[0].as_bytes()]);
    let tail = reading.end.tail.unwrap();
    assert_eq!((tail.offset, tail.damaged), (starts[1] as u64 - 1, true));
}

#[test]
fn a_last_group_of_a_closed_segment_that_fails_is_damage() {
    let (segment, all) = three_groups();
    let last = group_starts()[2];
    let mut bad = segment.closed();
    bad[last + 2] ^= 4;
    let reading = read(bad.as_slice());
    assert_eq!(reading.lines.len(), all.len() - 1);
    let tail = reading.end.tail.unwrap();
    assert_eq!((tail.offset, tail.line, tail.damaged), (last as u64, 5, true));
    assert!(!reading.end.closed, "what does not verify is not complete");
}

#[test]
fn missing_repeated_and_reordered_groups_are_damage() {
    let (segment, _) = three_groups();
    let closed = segment.closed();
    let [first, second, third] = group_starts();
    let end = closed.len() - 2;
    let parts = [&closed[..first], &closed[first..second], &closed[second..third], &closed[third..end + 2]];
    let last_lf = |bytes: &[u8]| [bytes, b"\n"].concat();
    for (what, bytes) in [
        ("missing", [parts[0], parts[2], parts[3]].concat()),
        ("first missing", [parts[0], parts[3]].concat()),
        ("repeated", [parts[0], parts[1], parts[1], parts[2], parts[3]].concat()),
        ("last repeated", [parts[0], parts[1], parts[2], &last_lf(&closed[third..end]), parts[3]].concat()),
        ("reordered", [parts[0], parts[2], parts[1], parts[3]].concat()),
    ] {
        let reading = read(bytes.as_slice());
        assert!(is_prefix_of_whole_groups(&reading.lines), "{what}");
        assert!(reading.end.tail.is_some_and(|tail| tail.damaged), "{what}");
    }
}

#[test]
fn nothing_after_closed_mark_is_data() {
    let (segment, all) = three_groups();
    let next = segment.clone().group(&["5"]);
    for behind in [&next.closed()[segment.data_end() + 1..], b"6\n", b"\n", b"{", b"    "] {
        let bytes = [&segment.clone().closed(), behind].concat();
        let reading = read(bytes.as_slice());
        assert_eq!(reading.lines.len(), all.len(), "{behind:?}");
        assert!(reading.end.tail.is_some() && !reading.end.closed, "{behind:?}");
    }
}

#[test]
fn a_group_of_another_journal_does_not_verify() {
    let (segment, _) = three_groups();
    let other = SegmentBytes::new(FIRST).group(&["0"]).group(&["1"]);
    let start = read(other.clone().ended().as_slice()).groups[1].offset as usize;
    let mut bytes = segment.ended();
    bytes.extend_from_slice(&other.closed()[start..]);
    let reading = read(bytes.as_slice());
    assert!(is_prefix_of_whole_groups(&reading.lines));
    assert!(reading.end.tail.unwrap().damaged);
}

#[test]
fn groups_after_damaged_group_are_found() {
    let (segment, all) = three_groups();
    let starts = group_starts();
    let closed = segment.closed();
    // Its lines: a damaged seal is all that the next group could be held against.
    for at in starts[1]..starts[2] - 1 - crate::format::SEAL_LEN {
        for byte in (0..=255).filter(|&byte| byte != closed[at]) {
            let mut bad = closed.clone();
            bad[at] = byte;
            let (mut sweep, mut verified) =
                (ResyncScanner::new(bad.as_slice(), starts[1] as u64, 3), Vec::new());
            let mut block = Block::default();
            while let Some(swept) = sweep.next(&mut block).unwrap() {
                verified.extend(swept.verified.then_some((swept.offset, swept.records)));
            }
            assert_eq!(verified, [(starts[2] as u64, 1)], "byte {at} changed into {byte:#x}");
            let last = block.span(block.len() - 1).unwrap();
            assert_eq!(block.value(last), all[3].as_bytes());
        }
    }
}

#[test]
fn edited_lines_are_damage_not_a_torn_tail() {
    let segment = SegmentBytes::new(FIRST).group(&["1", "2"]).group(&["3", "4"]);
    for bytes in [segment.clone().closed(), segment.clone().ended(), segment.padded(700)] {
        let lines: Vec<_> = bytes.split(|&byte| byte == b'\n').collect();
        let spaces = bytes.iter().map(|&byte| if byte == b'\t' { b' ' } else { byte }).collect();
        for edited in [lines.join(&b"\r\n"[..]), lines.join(&b" \n"[..]), spaces] {
            let reading = read(edited.as_slice());
            assert!(reading.lines.is_empty() && reading.end.tail.is_some_and(|tail| tail.damaged));
        }
    }
}

#[test]
fn split_header_is_damage() {
    let mut bytes = SegmentBytes::new(FIRST).ended();
    let at = bytes.iter().rposition(|&byte| byte == b' ').unwrap();
    bytes[at] = b'\n';
    assert!(matches!(try_read(bytes.as_slice()), Err(HeaderError::Corrupt(_))));
}
