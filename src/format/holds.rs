//! The file of holds: JSON Lines with a checksum. A whole file is written or none, and nothing else verifies.
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
struct Hold {
    name: String,
    seq: u64,
}

#[derive(Debug, Serialize, Deserialize)]
struct FileFooter {
    holds: usize,
    /// Of everything before this line.
    crc32c: String,
}

/// What does not hold of a file of holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct HoldsError {
    /// Counted from 1.
    pub(crate) line: u64,
    /// Where it begins, in bytes.
    pub(crate) offset: u64,
    pub(crate) reason: &'static str,
}

/// The file's bytes, for these holds: name and sequence number.
pub(crate) fn encode(holds: &BTreeMap<String, u64>) -> Vec<u8> {
    let mut bytes = line(&FileHeader { ministore: KIND, version: VERSION });
    for (name, &seq) in holds {
        bytes.extend(line(&Hold { name: name.clone(), seq }));
    }
    let crc32c = format!("{:08x}", crc32c::crc32c(&bytes));
    bytes.extend(line(&FileFooter { holds: holds.len(), crc32c }));
    bytes
}

/// The holds in a file.
///
/// # Errors
///
/// Anything that [`encode`] would not have written.
pub(crate) fn decode(bytes: &[u8]) -> Result<BTreeMap<String, u64>, HoldsError> {
    let at = |line, offset: usize, reason| HoldsError { line, offset: offset as u64, reason };
    let lines: Vec<&[u8]> = bytes.split_inclusive(|&byte| byte == LF).collect();
    let [head, holds @ .., foot] = lines.as_slice() else {
        return Err(at(1, 0, "it is not a whole file of holds"));
    };
    match serde_json::from_slice::<FileHeader<'_>>(head) {
        Ok(FileHeader { ministore: KIND, version: VERSION }) => {}
        Ok(FileHeader { ministore: KIND, .. }) => return Err(at(1, 0, "its version is not known here")),
        _ => return Err(at(1, 0, "it does not begin as a file of holds")),
    }
    let (mut found, mut offset) = (BTreeMap::new(), head.len());
    for (number, hold) in (2..).zip(holds) {
        match serde_json::from_slice(hold) {
            Ok(Hold { name, seq }) => found.insert(name, seq),
            Err(_) => return Err(at(number, offset, "a line is not a hold")),
        };
        offset += hold.len();
    }
    // Also where the foot is damaged, a line repeated, or white space added.
    if serde_json::from_slice::<FileFooter>(foot).is_err() || encode(&found) != bytes {
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
    fn the_file_is_what_the_format_says() {
        let text = String::from_utf8(encode(&[("billing".to_owned(), 17)].into())).unwrap();
        let body = "{\"ministore\":\"holds\",\"version\":1}\n{\"name\":\"billing\",\"seq\":17}\n";
        let crc = crc32c::crc32c(body.as_bytes());
        assert_eq!(text, format!("{body}{{\"holds\":1,\"crc32c\":\"{crc:08x}\"}}\n"));
    }

    #[test]
    fn holds_read_back() {
        for holds in [BTreeMap::new(), two()] {
            assert_eq!(decode(&encode(&holds)), Ok(holds));
        }
    }

    #[test]
    fn every_truncation_and_bit_flip_is_detected() {
        let bytes = encode(&two());
        for end in 0..bytes.len() {
            assert!(decode(&bytes[..end]).is_err(), "cut at {end}");
        }
        for bit in 0..bytes.len() * 8 {
            let mut damaged = bytes.clone();
            damaged[bit / 8] ^= 1 << (bit % 8);
            assert!(decode(&damaged).is_err(), "bit {bit}");
        }
    }

    #[test]
    fn fault_is_reported_with_its_offset() {
        let fault = |bytes: &[u8]| decode(bytes).map_err(|fault| (fault.line, fault.reason)).unwrap_err();
        assert_eq!(fault(b""), (1, "it is not a whole file of holds"));
        assert_eq!(fault(b"{}\n{}\n"), (1, "it does not begin as a file of holds"));
        let newer = String::from_utf8(encode(&two())).unwrap().replace("\"version\":1", "\"version\":2");
        assert_eq!(fault(newer.as_bytes()), (1, "its version is not known here"));
        let twice = String::from_utf8(encode(&two())).unwrap().replace("17}\n", "17}\n{\"seq\":1}\n");
        assert_eq!(fault(twice.as_bytes()).1, "a line is not a hold");
        let other = String::from_utf8(encode(&two())).unwrap().replace("17}", "18}");
        assert_eq!(fault(other.as_bytes()), (4, "its checksum does not match"));
    }

    proptest! {
        #[test]
        fn nothing_else_than_what_was_encoded_decodes(bytes: Vec<u8>) {
            if let Ok(holds) = decode(&bytes) {
                prop_assert_eq!(encode(&holds), bytes);
            }
        }

        #[test]
        fn any_names_read_back(holds: BTreeMap<String, u64>) {
            prop_assert_eq!(decode(&encode(&holds)), Ok(holds));
        }
    }
}
