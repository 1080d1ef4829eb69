//! The end of a segment.

use super::*;
use crate::format::{Chain, SegmentHeader, testing::FIRST};

#[test]
fn closed_segment_has_close_marker_and_no_tail() {
    let (segment, lines) = three_groups();
    let (data_end, last_seal) = (segment.data_end() as u64, segment.last_seal());
    let result = read(segment.closed().as_slice());
    assert_eq!(result.lines, lines.map(|line| line.as_bytes().to_vec()));
    assert_eq!(
        result.groups.iter().map(|g| (g.line, g.records)).collect::<Vec<_>>(),
        [(2, 1), (3, 2), (5, 1)]
    );
    let expected = SegmentEnd {
        data_end,
        file_end: data_end + 2,
        has_newline: true,
        closed: true,
        tail: None,
        chain: Chain::from_seal(last_seal),
        last_seal: Some(last_seal),
    };
    assert_eq!(result.end, expected);
}

#[test]
fn padding_of_any_length_is_not_a_tail() {
    let (segment, lines) = three_groups();
    let data_end = segment.data_end() as u64;
    for spaces in [0, 1, 30, 63, 64, 65, 4095, 4096, 4097, 20_000] {
        let result = read(segment.clone().padded(spaces).as_slice());
        assert_eq!(result.lines.len(), lines.len());
        let SegmentEnd { file_end, has_newline, closed, tail, .. } = result.end;
        let expected = (data_end, data_end + spaces as u64, false, false, None);
        assert_eq!((result.end.data_end, file_end, has_newline, closed, tail), expected, "{spaces} spaces");
    }
}

#[test]
fn segment_without_padding_ends_in_lf() {
    let (segment, lines) = three_groups();
    let data_end = segment.data_end() as u64;
    let result = read(segment.ended().as_slice());
    assert_eq!(result.lines.len(), lines.len());
    let SegmentEnd { file_end, has_newline, closed, tail, .. } = result.end;
    assert_eq!(
        (result.end.data_end, file_end, has_newline, closed, tail),
        (data_end, data_end + 1, true, false, None)
    );
}

#[test]
fn header_only_segment_has_no_records_and_no_tail() {
    let segment = SegmentBytes::new(FIRST);
    let data_end = segment.data_end() as u64;
    for (ending, has_newline, closed) in
        [("", false, false), (&" ".repeat(9000), false, false), ("\n", true, false), ("\t\n", true, true)]
    {
        let result = read(segment.clone().followed_by(ending.as_bytes()).as_slice());
        assert_eq!((result.groups, result.end.tail.as_ref()), (Vec::new(), None), "{ending:?}");
        let SegmentEnd { file_end, last_seal, chain, .. } = result.end;
        assert_eq!((result.end.data_end, file_end), (data_end, data_end + ending.len() as u64));
        assert_eq!((result.end.has_newline, result.end.closed), (has_newline, closed), "{ending:?}");
        assert_eq!((last_seal, chain), (None, Chain::from_header(&FIRST.encode())));
    }
}

#[test]
fn file_without_header_is_rejected() {
    for bytes in [&b""[..], b"\n", b"    ", b"{\"a\":1}\n"] {
        assert_eq!(try_read(bytes).unwrap_err(), HeaderError::BadMagic);
    }
    assert!(matches!(try_read(&b"// MINISTORE JOURNAL v1 {}"[..]), Err(HeaderError::Corrupt(_))));
}

#[test]
fn truncated_journal_reads_whole_group_prefix() {
    let (segment, lines) = three_groups();
    let header_len = FIRST.encode().len();
    let whole = segment.bare();
    let [header_end, first_end, second_end] = group_starts().map(|start| start - 1);
    assert_eq!(header_end, header_len);
    for len in header_len..whole.len() {
        let result = read(&whole[..len]);
        assert!(is_prefix_of_whole_groups(&result.lines), "truncated at {len}");
        // A group is whole with its last seal byte, without the LF after it.
        let groups = usize::from(len >= first_end) + usize::from(len >= second_end);
        assert_eq!(result.groups.len(), groups, "truncated at {len}");
        let is_whole = [header_end, first_end, second_end].iter().any(|&end| len == end || len == end + 1);
        assert_eq!(result.end.tail.is_none(), is_whole, "truncated at {len}");
        assert!(result.end.tail.is_none_or(|tail| !tail.is_corrupt), "truncated at {len}");
        assert_eq!(count(&whole[..len]).0, result.lines.len() as u64);
    }
    assert_eq!(read(whole.as_slice()).lines.len(), lines.len());
}

#[test]
fn truncated_journal_is_torn_under_any_padding() {
    let (segment, _) = three_groups();
    let whole = segment.bare();
    for len in group_starts()[0]..whole.len() {
        for filler in [b' ', 0] {
            let mut torn = whole[..len].to_vec();
            torn.resize(whole.len() + 700, filler);
            let result = read(torn.as_slice());
            assert!(is_prefix_of_whole_groups(&result.lines), "truncated at {len}");
            assert!(
                result.end.tail.is_none_or(|tail| !tail.is_corrupt),
                "truncated at {len}, filled with {filler}"
            );
        }
    }
}

#[test]
fn line_of_spaces_is_torn_tail_without_text() {
    let (segment, lines) = three_groups();
    let data_end = segment.data_end() as u64;
    for spaces in [1, 63, 500, 9000] {
        let mut bytes = segment.clone().ended();
        bytes.resize(bytes.len() + spaces, b' ');
        let result = read(bytes.as_slice());
        assert_eq!(result.lines.len(), lines.len());
        assert_eq!((result.end.data_end, result.end.file_end), (data_end, bytes.len() as u64));
        let tail = result.end.tail.unwrap();
        assert_eq!((tail.offset, tail.line, tail.is_corrupt), (data_end + 1, 6, false));
        assert!(tail.bytes <= 1, "{tail:?}");
    }
}

#[test]
fn any_header_version_is_accepted() {
    let bytes = b"// MINISTORE JOURNAL v12.0-x\n1\n2\n";
    let result = read(&bytes[..]);
    assert_eq!(result.lines, [b"1", b"2"]);
    assert_eq!(SegmentHeader::parse(&bytes[..28]), Ok(SegmentHeader::Plain));
}
