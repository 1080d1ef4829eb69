//! The holds file: JSON Lines with a checksum. The file is replaced as a whole; [`decode`] accepts only what [`encode`] writes.
//!
//! ```text
//! {"ministore":"holds","version":1}
//! {"name":"billing","seq":17}
//! {"holds":1,"crc32c":"c43c8da0"}
//! ```

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};

use super::LF;

const KIND: &str = "holds";
const VERSION: u32 = 1;

#[derive(Debug, Serialize, Deserialize)]
struct FileHeader<'a> {
    ministore: &'a str,
    version: u32,
}

#[derive(Debug, Serialize, Deserialize)]
struct HoldLine {
    name: String,
    seq: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileFooter {
    holds: usize,
    /// The checksum of everything before this line: 8 hex digits.
    crc32c: String,
}

/// The first violation of the format in a holds file.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HoldsError {
    /// The line, counted from 1.
    pub(crate) line: u64,
    /// The offset of the line, in bytes.
    pub(crate) offset: u64,
    pub(crate) reason: &'static str,
}

/// Encodes holds: sequence numbers by name.
pub(crate) fn encode(holds: &BTreeMap<String, u64>) -> Vec<u8> {
    let mut bytes = line(&FileHeader { ministore: KIND, version: VERSION });
    for (name, &seq) in holds {
        bytes.extend(line(&HoldLine { name: name.clone(), seq }));
    }
    let crc32c = format!("{:08x}", crc32c::crc32c(&bytes));
    bytes.extend(line(&FileFooter { holds: holds.len(), crc32c }));
    bytes
}

/// Decodes a holds file.
///
/// # Errors
///
/// The bytes differ from what [`encode`] writes.
pub(crate) fn decode(bytes: &[u8]) -> Result<BTreeMap<String, u64>, HoldsError> {
    let at = |line, offset: usize, reason| HoldsError { line, offset: offset as u64, reason };
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == LF).collect();
    let [header, holds @ .., footer] = lines.as_slice() else {
        return Err(at(1, 0, "it is not a whole file of holds"));
    };
    match serde_json::from_slice::<FileHeader<'_>>(header) {
        Ok(FileHeader { ministore: KIND, version: VERSION }) => {}
        Ok(FileHeader { ministore: KIND, .. }) => return Err(at(1, 0, "its version is not known here")),
        _ => return Err(at(1, 0, "it does not begin as a file of holds")),
    }
    let (mut found, mut offset) = (BTreeMap::new(), header.len());
    for (number, hold) in (2..).zip(holds) {
        match serde_json::from_slice(hold) {
            Ok(HoldLine { name, seq }) => found.insert(name, seq),
            Err(_) => return Err(at(number, offset, "a line is not a hold")),
        };
        offset += hold.len();
    }
    // The comparison also detects a changed footer, a repeated line and added white space.
    if serde_json::from_slice::<FileFooter>(footer).is_err() || encode(&found) != bytes {
        return Err(at(lines.len() as u64, offset, "its checksum does not match"));
    }
    Ok(found)
}

fn line(value: &impl Serialize) -> Vec<u8> {
    // Strings and numbers always serialize.
    let mut line = serde_json::to_vec(value).unwrap_or_default();
    line.push(LF);
    line
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn two() -> BTreeMap<String, u64> {
        [("billing".to_owned(), 17), ("a \"name\", ü".to_owned(), u64::MAX)].into()
    }

    #[test]
    fn encoded_holds_match_documented_format() {
        let text = String::from_utf8(encode(&[("billing".to_owned(), 17)].into())).unwrap();
        let body = "{\"ministore\":\"holds\",\"version\":1}\n{\"name\":\"billing\",\"seq\":17}\n";
        let crc = crc32c::crc32c(body.as_bytes());
        assert_eq!(text, format!("{body}{{\"holds\":1,\"crc32c\":\"{crc:08x}\"}}\n"));
    }

    #[test]
    fn holds_round_trip() {
        for holds in [BTreeMap::new(), two()] {
            assert_eq!(decode(&encode(&holds)), Ok(holds));
        }
    }

    #[test]
    fn every_truncation_and_bit_flip_is_detected() {
        let bytes = encode(&two());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "truncated at {end}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut changed = bytes.clone();
            changed[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&changed).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn error_names_line_and_reason() {
        let error = |bytes: &[u8]| decode(bytes).map_err(|error| (error.line, error.reason)).unwrap_err();
        assert_eq!(error(b""), (1, "it is not a whole file of holds"));
        assert_eq!(error(b"{}\n{}\n"), (1, "it does not begin as a file of holds"));
        let newer = String::from_utf8(encode(&two())).unwrap().replace("\"version\":1", "\"version\":2");
        assert_eq!(error(newer.as_bytes()), (1, "its version is not known here"));
        let twice = String::from_utf8(encode(&two())).unwrap().replace("17}\n", "17}\n{\"seq\":1}\n");
        assert_eq!(error(twice.as_bytes()).1, "a line is not a hold");
        let other = String::from_utf8(encode(&two())).unwrap().replace("17}", "18}");
        assert_eq!(error(other.as_bytes()), (4, "its checksum does not match"));
    }

    proptest! {
        #[test]
        fn only_encoded_bytes_decode(bytes: Vec<u8>) {
            if let Ok(holds) = decode(&bytes) {
                prop_assert_eq!(encode(&holds), bytes);
            }
        }

        #[test]
        fn any_hold_names_round_trip(holds: BTreeMap<String, u64>) {
            prop_assert_eq!(decode(&encode(&holds)), Ok(holds));
        }
    }
}
