//! Properties of the scan of any segment, truncated or changed anywhere.

use proptest::{collection::vec, prelude::*};

use super::*;
use crate::format::{
    CLOSE_MARKER, LF, PADDING,
    testing::{FIRST, FIRST_JSON},
};

/// Generates groups of JSON values.
fn groups(counts: std::ops::Range<usize>) -> impl Strategy<Value = Vec<Vec<String>>> {
    let value = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        "[ -!#-\\[\\]-~]{0,80}".prop_map(|text| format!("\"{text}\"")),
        (0usize..6000).prop_map(|len| format!("[\"{}\"]", "x".repeat(len))),
        (0usize..200).prop_map(|spaces| format!("[{}0]", " ".repeat(spaces))),
    ];
    vec(vec(value, 1..4), counts)
}

/// Generates the bytes after the last group.
fn ending() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(vec![LF]),
        Just(vec![CLOSE_MARKER, LF]),
        (0usize..9000).prop_map(|spaces| vec![PADDING; spaces])
    ]
}

fn segment(groups: &[Vec<String>]) -> SegmentBytes {
    segment_after(FIRST, groups)
}

fn segment_after(header: SegmentHeader, groups: &[Vec<String>]) -> SegmentBytes {
    groups.iter().fold(SegmentBytes::new(header), |segment, group| segment.group(group))
}

/// Returns the number of lines in the first n groups, for each n.
fn line_counts(groups: &[Vec<String>]) -> Vec<usize> {
    (0..=groups.len()).map(|count| groups[..count].iter().map(Vec::len).sum()).collect()
}

/// Scans any bytes: only whole groups are returned, and the segment can be continued after them. Returns `None` if it has no header.
fn check(bytes: &[u8], groups: &[Vec<String>]) -> Result<Option<ScanResult>, TestCaseError> {
    let Ok(result) = try_read(bytes) else { return Ok(None) };
    let all: Vec<_> = groups.concat().into_iter().map(String::into_bytes).collect();
    prop_assert!(all.starts_with(&result.lines), "returned lines that were never written");
    prop_assert!(line_counts(groups).contains(&result.lines.len()), "returned a part of a group");
    let (records, end) = count(bytes);
    prop_assert_eq!((records as usize, &end), (result.lines.len(), &result.end));
    prop_assert!(end.data_end <= end.file_end);
    prop_assert_eq!(end.file_end, bytes.len() as u64);
    if end.tail.is_some() || !end.closed {
        let mut continued = bytes[..end.data_end as usize].to_vec();
        let mut chain = end.chain;
        chain.push(b"\"more\"");
        continued.extend_from_slice(b"\n\"more\"");
        continued.extend_from_slice(&crate::format::seal::encode(chain.seal()));
        let continued = read(continued.as_slice());
        prop_assert_eq!(continued.lines.len(), result.lines.len() + 1, "the segment cannot be continued");
        prop_assert_eq!(continued.end.tail, None);
    }
    Ok(Some(result))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 128, ..ProptestConfig::default() })]

    #[test]
    fn written_groups_are_read(is_json: bool, groups in groups(0..6), ending in ending()) {
        let header = if is_json { FIRST_JSON } else { FIRST };
        let bytes = segment_after(header, &groups).followed_by(&ending);
        let result = check(&bytes, &groups)?.expect("it has a header");
        prop_assert_eq!(result.groups.len(), groups.len());
        prop_assert_eq!(result.end.tail, None);
        prop_assert_eq!(result.end.closed, ending == [CLOSE_MARKER, LF]);
    }

    #[test]
    fn truncated_segment_reads_prefix_without_corruption(groups in groups(1..6), at in any::<prop::sample::Index>()) {
        let whole = segment(&groups).bare();
        // The header and its LF are one write of one sector.
        let header_len = FIRST.encode().len() + 1;
        let len = header_len + at.index(whole.len() - header_len + 1);
        for filler in [None, Some(PADDING), Some(0)] {
            let mut bytes = whole[..len].to_vec();
            if let Some(filler) = filler {
                bytes.resize(whole.len() + 5000, filler);
            }
            let result = check(&bytes, &groups)?.expect("it has a header");
            prop_assert!(result.end.tail.is_none_or(|tail| !tail.is_corrupt));
            // The end of a seal may be equal to padding.
            let is_complete = |count: &usize| {
                let end = segment(&groups[..*count]).data_end();
                bytes.get(..end) == Some(&whole[..end])
            };
            prop_assert_eq!(result.groups.len(), (1..=groups.len()).filter(is_complete).count());
        }
    }

    #[test]
    fn flipped_byte_is_detected_and_never_returned(
        groups in groups(1..6), ending in ending(), at in any::<prop::sample::Index>(), flip in 1u8..
    ) {
        let mut bytes = segment(&groups).followed_by(&ending);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        if let Some(result) = check(&bytes, &groups)? {
            prop_assert!(result.groups.len() == groups.len() || result.end.tail.is_some());
        }
    }

    #[test]
    fn scan_resumed_between_groups_matches_full_scan(
        groups in groups(1..6), ending in ending(), at in any::<prop::sample::Index>(), flip: u8
    ) {
        let whole = segment(&groups).followed_by(&ending);
        let mut changed = whole.clone();
        let at = at.index(whole.len());
        changed[at] ^= flip;
        let Ok(expected) = try_read(changed.as_slice()) else { return Ok(()) };
        let mut scanner = Scanner::open(whole.as_slice(), ScanMode::VerifyOnly).unwrap().expect("it has a header");
        let mut next_offset = FIRST.encode().len() + 1;
        for skipped in 0..groups.len() {
            // The bytes before the position are unchanged.
            if next_offset <= at {
                let resumed = Scanner::resume(changed.as_slice(), scanner.position(), ScanMode::Read);
                let found = read_rest(resumed, changed.as_slice());
                prop_assert_eq!(&found.groups, &expected.groups[skipped..]);
                prop_assert_eq!(&found.lines, &expected.lines[line_counts(&groups)[skipped]..]);
                prop_assert_eq!(&found.end, &expected.end);
            }
            if let ScanItem::Group(group) = scanner.next(&mut Block::default()).unwrap() {
                next_offset = group.end as usize + 1;
            }
        }
    }

    #[test]
    fn any_bytes_after_header_never_panic(bytes in vec(prop::sample::select(b"\n\t \"1{}x\0".to_vec()), 0..400)) {
        check(&SegmentBytes::new(FIRST).followed_by(&bytes), &[])?;
        let _ = read([&b"// MINISTORE JOURNAL v0.1.4\n"[..], &bytes].concat().as_slice());
    }

    #[test]
    fn lines_split_like_std_lines(parts in vec((prop::sample::select(b"\n\t x".to_vec()), 1usize..3000), 0..40)) {
        let bytes: Vec<u8> = parts.iter().flat_map(|&(byte, count)| {
            let count = if byte == LF { 1 + count % 3 } else { count };
            std::iter::repeat_n(byte, count)
        }).collect();
        let mut expected: Vec<&[u8]> = bytes.split(|&b| b == LF).collect();
        if expected.last().is_some_and(|rest| rest.is_empty()) {
            expected.pop();
        }
        let mut reader = LineReader::new(bytes.as_slice(), 0);
        let mut offset = 0;
        for (number, expected) in expected.iter().enumerate() {
            let line = reader.next().unwrap().expect("a line is missing");
            prop_assert_eq!((number, line.offset), (number, offset));
            prop_assert!(expected.starts_with(line.bytes));
            let dropped = &expected[line.bytes.len()..];
            prop_assert_eq!(line.more_padding, dropped.len() as u64);
            prop_assert!(dropped.iter().all(|&b| b == PADDING));
            offset = line.end();
        }
        prop_assert!(reader.next().unwrap().is_none());
        prop_assert_eq!(reader.position(), bytes.len() as u64);
    }

    #[test]
    fn value_runs_match_single_lines(parts in vec((prop::sample::select(b"\n\t xx".to_vec()), 1usize..700), 0..60)) {
        let bytes: Vec<u8> = parts.iter().flat_map(|&(byte, count)| {
            std::iter::repeat_n(byte, if byte == LF { 1 + count % 2 } else { count })
        }).collect();
        let (mut single_lines, mut runs) =
            (LineReader::new(bytes.as_slice(), 0), LineReader::new(bytes.as_slice(), 0));
        while let Some(expected) = single_lines.next().unwrap() {
            let Some(values) = runs.values() else {
                let line = runs.next().unwrap().expect("a line is missing");
                prop_assert_eq!((line.bytes, line.offset, line.has_newline), (expected.bytes, expected.offset, expected.has_newline));
                continue;
            };
            prop_assert_eq!(values.offset, expected.offset);
            let lines: Vec<_> = values.bytes.split(|&byte| byte == LF).collect();
            let starts = std::iter::once(0).chain(values.ends.iter().map(|end| end + 1));
            prop_assert!(lines.iter().copied().eq(starts.zip(values.ends).map(|(start, &end)| &values.bytes[start..end])));
            prop_assert_eq!(lines[0], expected.bytes);
            for line in &lines {
                prop_assert!(!line.is_empty() && !line[line.len() - 1].is_ascii_whitespace());
            }
            let mut last = expected.offset;
            for line in &lines[1..] {
                let expected = single_lines.next().unwrap().expect("more lines in the run than in the file");
                prop_assert_eq!(*line, expected.bytes);
                last = expected.offset;
            }
            prop_assert_eq!(values.last_offset(), last);
        }
        prop_assert!(runs.values().is_none());
        prop_assert!(runs.next().unwrap().is_none());
    }

    #[test]
    fn scan_agrees_with_reference_reader(script in vec(any::<u8>(), 0..1500)) {
        crate::internals::fuzz::scan(&script);
    }
}
