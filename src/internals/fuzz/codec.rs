//! Headers, seals and lines: decoded as the reference implementation decodes them, and encoded again.

use bytes::Bytes;
use serde_json::value::RawValue;

use super::{
    generator::{self, Generator},
    reference,
};
use crate::{
    MiniStoreError,
    format::encode::{to_line, validate_line},
    format::{
        Chain, ChainLink, LineTrailer, SEAL_LEN, SegmentHeader, header, line::embedded_seals, parse_trailer,
        seal,
    },
};

/// Decodes any bytes as a first line and as a line; then encodes numbers as a header and as a seal.
pub fn codec(data: &[u8]) {
    let line = data.split(|&byte| byte == b'\n').next().unwrap_or_default();
    check_first_line(line);
    check_line(line);
    let mut generator = Generator::new(data);
    let link =
        ChainLink { first_seq: (generator.number() >> 2).max(1), prev_seal: generator.number() as u32 };
    check_encoding(link);
    let segment = generator::segment(&mut generator, link, false);
    check_chain(&segment.bytes);
}

/// JSON text from a caller becomes a line with the same value, or is rejected, exactly by the reference rule.
pub fn encode(data: &[u8]) {
    let is_accepted = reference::is_accepted(data);
    match validate_line(&Bytes::copy_from_slice(data)) {
        Ok(line) => {
            assert!(is_accepted, "accepted, but not readable: {:?}", String::from_utf8_lossy(data));
            assert_same_value(data, &line);
        }
        Err(MiniStoreError::InvalidJson { offset, line, column, reason }) => {
            assert!(offset <= data.len() && (line, column) == (1, offset + 1));
            assert!(
                !is_accepted || data.trim_ascii().contains(&b'\n'),
                "rejected, but readable: {reason}: {:?}",
                String::from_utf8_lossy(data)
            );
        }
        Err(other) => panic!("{other}"),
    }
    if let Ok(raw) = serde_json::from_slice::<&RawValue>(data) {
        match to_line(raw) {
            Ok(line) => {
                assert!(is_accepted);
                assert_same_value(data, &line);
            }
            Err(error) => assert!(!is_accepted, "{error}"),
        }
    }
}

fn assert_same_value(json: &[u8], line: &[u8]) {
    assert!(!line.contains(&b'\n') && line.trim_ascii().len() == line.len() && !line.is_empty());
    assert_eq!(parse_trailer(line), (line.len(), LineTrailer::NoSeal));
    let parse = |json| serde_json::from_slice::<serde_json::Value>(json).unwrap();
    assert_eq!(parse(line), parse(json));
}

fn check_first_line(line: &[u8]) {
    let is_json = line.starts_with(b"{\"$ministore\":{\"journal\":\"");
    let has_magic = is_json || line.starts_with(b"// MINISTORE JOURNAL v");
    match SegmentHeader::parse(line) {
        Ok(parsed) => {
            assert!(has_magic);
            assert_eq!(SegmentHeader::parse(&parsed.encode()), Ok(parsed));
            let object = line.iter().position(|&byte| byte == b'{').map(|at| &line[at..]);
            assert_eq!(parsed.link(), object.map(|object| parse_link(object.trim_ascii_end(), is_json)));
            assert_eq!(matches!(parsed, SegmentHeader::Json(_)), is_json);
        }
        Err(error) => assert_eq!(error == crate::format::HeaderError::BadMagic, !has_magic),
    }
    header::is_torn_header(line);
}

fn parse_link(object: &[u8], is_json: bool) -> ChainLink {
    let object: serde_json::Value = serde_json::from_slice(object).unwrap();
    let object = if is_json { &object["$ministore"] } else { &object };
    let prev = object["prev"].as_str().unwrap();
    assert_eq!((object["seal"].as_str(), prev.len()), (Some("crc32c"), 8));
    ChainLink {
        first_seq: object["first"].as_u64().unwrap(),
        prev_seal: u32::from_str_radix(prev, 16).unwrap(),
    }
}

fn check_line(line: &[u8]) {
    let (value_len, expected) = reference::trailer(line);
    let expected = match expected {
        None => LineTrailer::NoSeal,
        Some((seal, false)) => LineTrailer::Seal(seal),
        Some((seal, true)) => LineTrailer::ClosingSeal(seal),
    };
    assert_eq!(parse_trailer(line), (value_len, expected));
    let is_embedded = |&at: &usize| !line[at - 1].is_ascii_whitespace();
    let expected =
        (1..line.len()).filter(is_embedded).filter_map(|at| Some((at, reference::seal(&line[at..])?)));
    assert!(embedded_seals(line).eq(expected));
    assert_eq!(seal::decode(line), reference::seal(line));
}

fn check_encoding(link: ChainLink) {
    for header in [SegmentHeader::Checksummed(link), SegmentHeader::Json(link)] {
        let text = header.encode();
        assert_eq!(SegmentHeader::parse(&text), Ok(header));
        for len in 0..text.len() {
            let bare = &text[..len] == SegmentHeader::Plain.encode().as_slice();
            assert!(
                header::is_torn_header(&text[..len]) || SegmentHeader::parse(&text[..len]).is_ok(),
                "truncated to {len}"
            );
            assert!(!bare || SegmentHeader::parse(&text[..len]) == Ok(SegmentHeader::Plain));
        }
    }
    assert_eq!(seal::encode(link.prev_seal).as_slice(), reference::seal_bytes(link.prev_seal));
    assert_eq!(seal::decode(&seal::encode(link.prev_seal)), Some(link.prev_seal));
}

/// Checks the engine's incremental seals against those of whole groups.
fn check_chain(bytes: &[u8]) {
    let mut lines = bytes.split(|&byte| byte == b'\n');
    let header = lines.next().unwrap_or_default();
    let mut chain = Chain::from_header(header);
    let mut raw = chain;
    assert_eq!(chain.seal(), Chain::from_seal(reference::crc32c(&[header.trim_ascii_end()])).seal());
    let (mut group, mut prev) = (Vec::new(), reference::crc32c(&[header.trim_ascii_end()]));
    for line in lines {
        let (value_len, sealed) = reference::trailer(line);
        chain.push(&line[..value_len]);
        if !group.is_empty() {
            raw.push_raw(b"\n");
        }
        raw.push_raw(&line[..value_len]);
        group.push(&line[..value_len]);
        let Some((_, _)) = sealed else { continue };
        let expected = reference::crc32c(&[&prev.to_le_bytes(), &group.join(&b'\n')]);
        assert_eq!((chain.seal(), raw.seal()), (expected, expected));
        assert!(line.len() >= value_len + SEAL_LEN);
        (chain, raw) = (Chain::from_seal(expected), Chain::from_seal(expected));
        (prev, group) = (expected, Vec::new());
    }
}
