//! Owns what a line of the input is: nothing, a record, or bad. Pure; the same for a first reading and a second.

use std::ops::Range;

use serde_json::value::RawValue;

pub(crate) use super::LINE_BYTES_MAX;

/// Why a line is not a record: where in it, in bytes from 0, and what is wrong.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct Fault {
    pub(crate) offset: usize,
    pub(crate) reason: String,
}

impl Fault {
    pub(crate) fn too_long() -> Self {
        let reason = format!("longer than a record may be ({LINE_BYTES_MAX} bytes)");
        Self { offset: LINE_BYTES_MAX, reason }
    }
}

/// Where the value in a line stands: without the CR of a CR LF and the white space that JSON allows around it. Empty
/// for a blank line.
pub(crate) fn value(raw: &[u8]) -> Result<Range<usize>, Fault> {
    let line = raw.strip_suffix(b"\r").unwrap_or(raw);
    if line.len() > LINE_BYTES_MAX {
        return Err(Fault::too_long());
    }
    let is_text = |byte: &u8| !b" \t\r".contains(byte);
    let start = line.iter().position(is_text).unwrap_or(line.len());
    let end = line.iter().rposition(is_text).map_or(start, |last| last + 1);
    Ok(start..end)
}

/// Exactly one JSON value, its bytes kept as they are.
pub(crate) fn record(value: &[u8]) -> Result<Box<RawValue>, Fault> {
    lent(value).map(ToOwned::to_owned)
}

/// The same without a copy.
pub(super) fn lent(value: &[u8]) -> Result<&RawValue, Fault> {
    let text = std::str::from_utf8(value)
        .map_err(|error| Fault { offset: error.valid_up_to(), reason: "not UTF-8".to_owned() })?;
    serde_json::from_str(text).map_err(|error| fault(&error))
}

/// The parser names a place in its message, in a line of its own count: the place in the file is told instead.
fn fault(error: &serde_json::Error) -> Fault {
    let reason = error.to_string();
    let reason = reason.rsplit_once(" at line ").map_or(&*reason, |(reason, _)| reason);
    Fault { offset: error.column().saturating_sub(1), reason: reason.to_owned() }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &str) -> &str {
        &raw[value(raw.as_bytes()).unwrap()]
    }

    #[test]
    fn white_space_around_a_value_is_not_part_of_it() {
        assert_eq!(["1", " \t[1, 2]\t \r", "\"a b\"\r"].map(text), ["1", "[1, 2]", "\"a b\""]);
    }

    #[test]
    fn a_line_of_white_space_is_blank() {
        assert_eq!(["", "\r", " \t ", "\r\r"].map(text), [""; 4]);
    }

    #[test]
    fn a_record_keeps_its_bytes() {
        let json = "{ \"b\":1.0 , \"a\":\"\\u00e4\" }";
        assert_eq!(record(json.as_bytes()).unwrap().get(), json);
    }

    #[test]
    fn what_is_not_one_value_is_refused_at_its_place() {
        let cases = [("{\"a\":}", 5), ("1 2", 2), ("[1,x]", 3), ("\u{c}1", 0), ("{} ]", 3), ("nul", 2)];
        for (json, offset) in cases {
            let fault = record(json.as_bytes()).unwrap_err();
            assert_eq!(fault.offset, offset, "{json}");
            assert!(!fault.reason.contains("line"), "{fault:?}");
        }
        assert_eq!(record(b"\"ab\xff\"").unwrap_err(), Fault { offset: 3, reason: "not UTF-8".to_owned() });
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let deep = [vec![b'['; 1 << 20], vec![b']'; 1 << 20]].concat();
        assert_eq!(record(&deep).unwrap().get().len(), 2 << 20);
    }
}
