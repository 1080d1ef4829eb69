use proptest::prelude::*;

use super::{
    Chain, ChainLink, DataEnd, GroupLayout, HeaderError, LineTrailer, PADDING, SEAL_LEN, SegmentHeader,
    encode_group, header, line::embedded_seals, parse_trailer, seal,
};

/// The example in the documentation of the format, whose seals are known.
const EXAMPLE: SegmentHeader = SegmentHeader::Checksummed(ChainLink { first_seq: 1, prev_seal: 0 });

/// The example whose header is a JSON object.
const JSON_EXAMPLE: SegmentHeader = SegmentHeader::Json(ChainLink { first_seq: 1, prev_seal: 0 });

#[test]
fn chain_matches_documented_seals() {
    let mut chain = Chain::from_header(&EXAMPLE.encode());
    assert_eq!(chain, Chain::from_seal(0x1240_8318));
    chain.push(b"{\"Set\":{\"value\":10}}\n{\"Inc\":{\"by\":5}}");
    assert_eq!(chain.seal(), 0x5321_4414);
    let mut chain = Chain::from_seal(chain.seal());
    chain.push(b"{\"Inc\":{\"by\":7}}");
    assert_eq!(chain.seal(), 0xbe69_100f);
}

#[test]
fn header_matches_documented_text() {
    let text = br#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":1,"prev":"00000000"}"#;
    assert_eq!(EXAMPLE.encode(), text);
    assert_eq!(SegmentHeader::Plain.encode(), b"// MINISTORE JOURNAL v0.1.4");
    assert_eq!(SegmentHeader::parse(b"// MINISTORE JOURNAL v9.9-rc.1 \r"), Ok(SegmentHeader::Plain));
}

#[test]
fn json_header_matches_documented_text() {
    let text = br#"{"$ministore":{"journal":"0.2.0","seal":"crc32c","first":1,"prev":"00000000"}}"#;
    assert_eq!(JSON_EXAMPLE.encode(), text);
    let later =
        br#"{"$ministore":{"journal":"9.9-rc.1","seal":"crc32c","first":7,"prev":"0000000A","more":[]}}"#;
    let link = ChainLink { first_seq: 7, prev_seal: 10 };
    assert_eq!(SegmentHeader::parse(later), Ok(SegmentHeader::Json(link)));
    let mut chain = Chain::from_header(text);
    assert_eq!(chain, Chain::from_seal(0xbfe9_0dac));
    chain.push(b"{\"Set\":{\"value\":10}}\n{\"Inc\":{\"by\":5}}");
    assert_eq!(chain.seal(), 0xc638_08df);
    let mut chain = Chain::from_seal(chain.seal());
    chain.push(b"{\"Inc\":{\"by\":7}}");
    assert_eq!(chain.seal(), 0xad2f_5d31);
}

#[test]
fn other_json_object_is_no_header() {
    for line in [
        "{}",
        r#"{"$ministore":1}"#,
        r#"{ "$ministore":{"journal":"0.2.0","seal":"crc32c","first":1,"prev":"00000000"}}"#,
        r#"{"$ministore":{"seal":"crc32c","first":1,"prev":"00000000","journal":"0.2.0"}}"#,
    ] {
        assert_eq!(SegmentHeader::parse(line.as_bytes()), Err(HeaderError::BadMagic), "{line}");
    }
    for line in [
        r#"{"$ministore":{"journal":"0.2.0"}}"#,
        r#"{"$ministore":{"journal":"0 2","seal":"crc32c","first":1,"prev":"00000000"}}"#,
        r#"{"$ministore":{"journal":"0.2.0","seal":"md5","first":1,"prev":"00000000"}}"#,
        r#"{"$ministore":{"journal":"0.2.0","seal":"crc32c","first":0,"prev":"00000000"}}"#,
        r#"{"$ministore":{"journal":"0.2.0","seal":"crc32c","first":1,"prev":"0"}}"#,
        r#"{"$ministore":{"journal":"0.2.0","seal":"crc32c","first":1,"prev":"00000000"},"a":{"b":1}}"#,
        r#"{"$ministore":{"journal":"0.2.0","seal":"crc32c","first":1,"prev":"00000000"}"#,
    ] {
        assert!(matches!(SegmentHeader::parse(line.as_bytes()), Err(HeaderError::Corrupt(_))), "{line}");
    }
}

#[test]
fn changed_header_byte_is_rejected_or_changes_chain() {
    for original in [EXAMPLE.encode(), JSON_EXAMPLE.encode()] {
        let start = Chain::from_header(&original);
        for at in 0..original.len() {
            for flip in 1..=255u8 {
                let mut changed = original.clone();
                changed[at] ^= flip;
                if SegmentHeader::parse(&changed).is_ok_and(|header| header.link().is_some()) {
                    assert_ne!(Chain::from_header(&changed), start, "byte {at} flipped by {flip:#x}");
                }
            }
        }
    }
}

#[test]
fn missing_header_differs_from_corrupt_header() {
    assert_eq!(SegmentHeader::parse(b"{\"a\":1}"), Err(HeaderError::BadMagic));
    assert!(matches!(
        SegmentHeader::parse(b"// MINISTORE JOURNAL v0.1.4 {\"seal\":"),
        Err(HeaderError::Corrupt(_))
    ));
    assert!(header::is_torn_header(b"// MINIST"));
    assert!(header::is_torn_header(b"// MINISTORE JOURNAL v0.1.4 {\"se   "));
    assert!(!header::is_torn_header(&EXAMPLE.encode()));
    assert!(!header::is_torn_header(b"[1]"));
    let json = JSON_EXAMPLE.encode();
    assert!((0..json.len()).all(|len| header::is_torn_header(&json[..len])));
    assert!(!header::is_torn_header(&json) && !header::is_torn_header(b"{}"));
}

#[test]
fn header_with_first_seq_out_of_range_is_rejected() {
    for (first, is_valid) in
        [("0", false), ("1", true), ("4611686018427387904", true), ("18446744073709551615", false)]
    {
        let line =
            format!(r#"// MINISTORE JOURNAL v0.1.4 {{"seal":"crc32c","first":{first},"prev":"00000000"}}"#);
        assert_eq!(SegmentHeader::parse(line.as_bytes()).is_ok(), is_valid, "{first}");
    }
}

#[test]
fn seal_inside_line_is_found() {
    let mut line = b"{\"a\":1}".to_vec();
    line.extend_from_slice(&seal::encode(7));
    line.extend_from_slice(b"   {\"b\":2}");
    assert_eq!(embedded_seals(&line).collect::<Vec<_>>(), [(7, 7)]);
}

#[test]
fn seal_with_other_byte_does_not_decode() {
    for value in [0, u32::MAX, 0x5321_4414] {
        for at in 0..SEAL_LEN {
            for byte in 0..=255 {
                let mut bytes = seal::encode(value);
                let other = bytes[at] != byte;
                bytes[at] = byte;
                let flipped = (at > 0 && b" \t".contains(&byte)).then(|| value ^ 1 << (32 - at));
                let expected = if other { flipped } else { Some(value) };
                assert_eq!(seal::decode(&bytes), expected, "{byte:#x} at {at}");
            }
        }
    }
}

proptest! {
    #[test]
    fn seal_round_trips(value: u32) {
        prop_assert_eq!(seal::decode(&seal::encode(value)), Some(value));
    }

    #[test]
    fn header_round_trips(first_seq in 1u64..=1 << 62, prev_seal: u32) {
        let link = ChainLink { first_seq, prev_seal };
        for header in [SegmentHeader::Checksummed(link), SegmentHeader::Json(link)] {
            let text = header.encode();
            prop_assert_eq!(SegmentHeader::parse(&text), Ok(header));
            prop_assert_eq!(header::object_end(&[&text[..], b"  \0"].concat()), Some(text.len()));
        }
    }

    #[test]
    fn trailer_of_any_line_is_parsed(text in "[!-~]{1,40}", value: u32, padding in 0usize..100) {
        let plain = text.as_bytes();
        prop_assert_eq!(parse_trailer(plain), (plain.len(), LineTrailer::NoSeal));
        let mut with_seal = plain.to_vec();
        with_seal.extend_from_slice(&seal::encode(value));
        prop_assert_eq!(with_seal.len(), plain.len() + SEAL_LEN);
        let mut closed = with_seal.clone();
        closed.push(super::CLOSE_MARKER);
        prop_assert_eq!(parse_trailer(&closed), (plain.len(), LineTrailer::ClosingSeal(value)));
        with_seal.resize(with_seal.len() + padding, PADDING);
        prop_assert_eq!(parse_trailer(&with_seal), (plain.len(), LineTrailer::Seal(value)));
    }

    #[test]
    fn parsing_any_bytes_never_panics(bytes: Vec<u8>) {
        let (value_len, _) = parse_trailer(&bytes);
        prop_assert!(value_len <= bytes.len());
        let _ = SegmentHeader::parse(&bytes);
        let _ = embedded_seals(&bytes).count();
    }

    #[test]
    fn changed_byte_changes_seal(lines in "[ -~]{1,80}", at: prop::sample::Index, flip in 1u8..) {
        let mut bytes = lines.into_bytes();
        let seal = |bytes: &[u8]| { let mut chain = Chain::from_seal(1); chain.push(bytes); chain.seal() };
        let before = seal(&bytes);
        let at = at.index(bytes.len());
        bytes[at] ^= flip;
        prop_assert_ne!(seal(&bytes), before);
    }
}

#[test]
fn encoded_group_is_lines_seal_and_padding() {
    let header = SegmentHeader::Plain.encode();
    let (mut bytes, start) = (header.clone(), DataEnd::after_header(&header));
    let layout = GroupLayout { checksummed: true, padded_to: Some(64) };
    let encoded = encode_group(&mut bytes, start, layout, [&b"1\n2"[..], b"3"].into_iter());
    let mut expected = [&header[..], b"\n1\n2\n3"].concat();
    let mut chain = Chain::from_header(&header);
    chain.push(b"1\n2\n3");
    expected.extend_from_slice(&seal::encode(chain.seal()));
    assert_eq!(encoded.data_end.offset, expected.len() as u64);
    assert_eq!((encoded.data_end.last_seal, encoded.end % 64), (Some(chain.seal()), 0));
    assert_eq!(encoded.data_end.chain, Chain::from_seal(chain.seal()));
    expected.resize(encoded.end as usize, PADDING);
    assert_eq!(bytes, expected);
}

#[test]
fn group_without_lines_adds_no_seal() {
    let header = SegmentHeader::Plain.encode();
    let (mut bytes, start) = (header.clone(), DataEnd::after_header(&header));
    let layout = GroupLayout { checksummed: true, padded_to: None };
    let encoded = encode_group(&mut bytes, start, layout, std::iter::empty());
    assert_eq!((encoded.data_end, encoded.end), (start, start.offset + 1));
    assert_eq!(bytes, [&header[..], b"\n"].concat());
}
