//! Corruption: changed, missing, repeated and reordered bytes of acknowledged data.

use super::*;
use crate::format::testing::{FIRST, FIRST_JSON};

#[test]
fn byte_flip_in_closed_segment_is_detected() {
    for header in [FIRST, FIRST_JSON] {
        check_byte_flips_in_closed_segment(header);
    }
}

fn check_byte_flips_in_closed_segment(header: SegmentHeader) {
    let (segment, all) = three_groups_after(header);
    let closed = segment.closed();
    let header_len = header.encode().len();
    for at in 0..closed.len() {
        for flip in 1..=255 {
            let mut bad = closed.clone();
            bad[at] ^= flip;
            let Ok(ScanResult { lines, end, .. }) = try_read(bad.as_slice()) else {
                assert!(at <= header_len, "byte {at} flipped by {flip:#x} hides the header");
                continue;
            };
            assert!(is_prefix_of_whole_groups(&lines), "byte {at} flipped by {flip:#x}: {lines:?}");
            let is_corrupt = end.tail.as_ref().is_some_and(|tail| tail.is_corrupt);
            assert!(is_corrupt || lines.len() == all.len(), "byte {at} flipped by {flip:#x}: {end:?}");
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
    let special_bytes = [b'\n', b'\t', b' ', b'\r', 0, b'"', b'0'];
    for at in 0..padded.len() {
        let flipped = (0..8).map(|bit| padded[at] ^ (1 << bit));
        for byte in flipped.chain(special_bytes).filter(|&byte| byte != padded[at]) {
            let flip = padded[at] ^ byte;
            let mut bad = padded.clone();
            bad[at] = byte;
            let Ok(ScanResult { lines, end, .. }) = try_read(bad.as_slice()) else { continue };
            assert!(is_prefix_of_whole_groups(&lines), "byte {at} flipped by {flip:#x}: {lines:?}");
            let tail = end.tail.as_ref();
            assert!(tail.is_some() || lines.len() == all.len(), "byte {at} flipped by {flip:#x}: {end:?}");
            // Only the last group may be treated as one that was never acknowledged.
            let is_corrupt = tail.is_some_and(|tail| tail.is_corrupt);
            assert!(is_corrupt || at >= last_group - 1, "byte {at} flipped by {flip:#x}: {end:?}");
        }
    }
}

#[test]
fn corrupt_middle_group_is_reported_with_offset() {
    let (segment, all) = three_groups();
    let starts = group_starts();
    for whole in [segment.clone().closed(), segment.clone().padded(5000), segment.ended()] {
        let mut bad = whole.clone();
        bad[starts[1] + 3] ^= 1;
        let result = read(bad.as_slice());
        assert_eq!(result.lines, [all[0].as_bytes()]);
        let tail = result.end.tail.unwrap();
        assert_eq!((tail.offset, tail.line, tail.is_corrupt), (starts[1] as u64, 3, true));
        assert_eq!(result.end.data_end, starts[1] as u64 - 1);
    }
}

#[test]
fn lost_lf_between_groups_is_corruption() {
    let (segment, all) = three_groups();
    let starts = group_starts();
    let mut bad = segment.padded(100);
    bad[starts[1] - 1] = b'x';
    let result = read(bad.as_slice());
    assert_eq!(result.lines, [all[0].as_bytes()]);
    let tail = result.end.tail.unwrap();
    assert_eq!((tail.offset, tail.is_corrupt), (starts[1] as u64 - 1, true));
}

#[test]
fn changed_last_group_of_closed_segment_is_corrupt() {
    let (segment, all) = three_groups();
    let last = group_starts()[2];
    let mut bad = segment.closed();
    bad[last + 2] ^= 4;
    let result = read(bad.as_slice());
    assert_eq!(result.lines.len(), all.len() - 1);
    let tail = result.end.tail.unwrap();
    assert_eq!((tail.offset, tail.line, tail.is_corrupt), (last as u64, 5, true));
    assert!(!result.end.closed, "a segment that does not verify is not closed");
}

#[test]
fn missing_repeated_and_reordered_groups_are_corrupt() {
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
        let result = read(bytes.as_slice());
        assert!(is_prefix_of_whole_groups(&result.lines), "{what}");
        assert!(result.end.tail.is_some_and(|tail| tail.is_corrupt), "{what}");
    }
}

#[test]
fn bytes_after_close_marker_are_not_data() {
    let (segment, all) = three_groups();
    let next = segment.clone().group(&["5"]);
    for suffix in [&next.closed()[segment.data_end() + 1..], b"6\n", b"\n", b"{", b"    "] {
        let bytes = [&segment.clone().closed(), suffix].concat();
        let result = read(bytes.as_slice());
        assert_eq!(result.lines.len(), all.len(), "{suffix:?}");
        assert!(result.end.tail.is_some() && !result.end.closed, "{suffix:?}");
    }
}

#[test]
fn group_of_another_journal_does_not_verify() {
    let (segment, _) = three_groups();
    let other = SegmentBytes::new(FIRST).group(&["0"]).group(&["1"]);
    let start = read(other.clone().ended().as_slice()).groups[1].offset as usize;
    let mut bytes = segment.ended();
    bytes.extend_from_slice(&other.closed()[start..]);
    let result = read(bytes.as_slice());
    assert!(is_prefix_of_whole_groups(&result.lines));
    assert!(result.end.tail.unwrap().is_corrupt);
}

#[test]
fn groups_after_corrupt_group_are_found() {
    let (segment, all) = three_groups();
    let starts = group_starts();
    let closed = segment.closed();
    // Only its lines are changed: the next group verifies against its seal.
    for at in starts[1]..starts[2] - 1 - crate::format::SEAL_LEN {
        for byte in (0..=255).filter(|&byte| byte != closed[at]) {
            let mut bad = closed.clone();
            bad[at] = byte;
            let (mut resync, mut verified) =
                (ResyncScanner::new(bad.as_slice(), starts[1] as u64, 3, None), Vec::new());
            let mut block = Block::default();
            while let Some(group) = resync.next(&mut block).unwrap() {
                verified.extend(group.verified.then_some((group.offset, group.records)));
            }
            assert_eq!(verified, [(starts[2] as u64, 1)], "byte {at} changed into {byte:#x}");
            let last = block.span(block.len() - 1).unwrap();
            assert_eq!(block.value(last), all[3].as_bytes());
        }
    }
}

#[test]
fn edited_lines_are_corrupt_not_torn() {
    let segment = SegmentBytes::new(FIRST).group(&["1", "2"]).group(&["3", "4"]);
    for bytes in [segment.clone().closed(), segment.clone().ended(), segment.padded(700)] {
        let lines: Vec<_> = bytes.split(|&byte| byte == b'\n').collect();
        let spaces = bytes.iter().map(|&byte| if byte == b'\t' { b' ' } else { byte }).collect();
        for edited in [lines.join(&b"\r\n"[..]), lines.join(&b" \n"[..]), spaces] {
            let result = read(edited.as_slice());
            assert!(result.lines.is_empty() && result.end.tail.is_some_and(|tail| tail.is_corrupt));
        }
    }
}

#[test]
fn split_header_is_corrupt() {
    let mut bytes = SegmentBytes::new(FIRST).ended();
    let at = bytes.iter().rposition(|&byte| byte == b' ').unwrap();
    bytes[at] = b'\n';
    assert!(matches!(try_read(bytes.as_slice()), Err(HeaderError::Corrupt(_))));
}
