//! Classifies a line of the input: blank, a record, or bad. Pure, so that a second reading gives the same result.

use std::ops::Range;

use ministore_uring::{JsonBatch, MiniStoreError};

pub(crate) use super::LINE_BYTES_MAX;

/// Why a line is not a record: the offset in bytes, from 0, and the reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineError {
    pub(crate) offset: usize,
    pub(crate) reason: String,
}

impl LineError {
    pub(crate) fn too_long() -> Self {
        let reason = format!("longer than max_record_bytes ({LINE_BYTES_MAX} bytes)");
        Self { offset: LINE_BYTES_MAX, reason }
    }
}

/// Returns the range of the value in a line: without the CR of a CR LF and surrounding white space. Empty for a blank line.
pub(crate) fn value(raw: &[u8]) -> Result<Range<usize>, LineError> {
    let line = raw.strip_suffix(b"\r").unwrap_or(raw);
    if line.len() > LINE_BYTES_MAX {
        return Err(LineError::too_long());
    }
    let is_text = |byte: &u8| !b" \t\r".contains(byte);
    let start = line.iter().position(is_text).unwrap_or(line.len());
    let end = line.iter().rposition(is_text).map_or(start, |last| last + 1);
    Ok(start..end)
}

/// Adds a value to a batch, byte for byte, unless it cannot be a record.
pub(crate) fn push(batch: &mut JsonBatch, value: &[u8]) -> Result<(), LineError> {
    batch.push(value).map_err(|error| match error {
        MiniStoreError::InvalidJson { offset, reason, .. } => LineError { offset, reason },
        other => LineError { offset: 0, reason: other.to_string() },
    })
}

/// Checks whether a value can be a record.
pub(super) fn check(value: &[u8]) -> Result<(), LineError> {
    push(&mut JsonBatch::new(), value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn text(raw: &str) -> &str {
        &raw[value(raw.as_bytes()).unwrap()]
    }

    #[test]
    fn surrounding_white_space_is_removed() {
        assert_eq!(["1", " \t[1, 2]\t \r", "\"a b\"\r"].map(text), ["1", "[1, 2]", "\"a b\""]);
    }

    #[test]
    fn line_of_white_space_is_blank() {
        assert_eq!(["", "\r", " \t ", "\r\r"].map(text), [""; 4]);
    }

    #[test]
    fn invalid_json_is_rejected_with_its_offset() {
        let cases = [
            ("{\"a\":}", 5),
            ("1 2", 2),
            ("[1,x]", 3),
            ("\u{c}1", 0),
            ("{} ]", 3),
            ("nul", 2),
            ("[\"\\ud83d\"]", 2),
            ("[1e400]", 1),
        ];
        for (json, offset) in cases {
            let line_error = check(json.as_bytes()).unwrap_err();
            assert_eq!(line_error.offset, offset, "{json}");
            assert!(!line_error.reason.contains(" line "), "{line_error:?}");
        }
        assert_eq!(
            check(b"\"ab\xff\"").unwrap_err(),
            LineError { offset: 3, reason: "not UTF-8".to_owned() }
        );
    }
}
