//! Classifies a line of the input: blank, a record, or bad. Pure, so that a second reading gives the same result.

use std::ops::Range;

use ministore_uring::{JsonBatch, MiniStoreError};
use serde::de::IgnoredAny;

pub(crate) use super::LINE_BYTES_MAX;

/// Accepted at the start of an input.
pub(crate) const BYTE_ORDER_MARK: &[u8] = b"\xef\xbb\xbf";

/// A line without its LF.
#[derive(Debug, Clone, Copy)]
pub(crate) struct RawLine<'a> {
    pub(crate) bytes: &'a [u8],
    /// Counted from 1.
    pub(crate) number: u64,
    /// Only the last line of an input may lack it.
    pub(crate) has_lf: bool,
}

/// The place of a line in its input, decompressed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct LinePosition {
    /// Counted from 1.
    pub(crate) number: u64,
    /// The offset of its first byte.
    pub(crate) start: u64,
}

/// Why a line is not a record: the offset in bytes, from 0, and the reason.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct LineError {
    pub(crate) offset: usize,
    pub(crate) reason: String,
    pub(crate) kind: LineErrorKind,
}

/// What a bad line says about the other lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LineErrorKind {
    /// Nothing: only this line is bad.
    Single,
    /// The value continues on the next line. `is_opened`: with a bracket or a comma at the end, as pretty-printed JSON does.
    MultiLine { is_opened: bool, is_array: bool },
    /// A comma follows the value, as between the elements of an array.
    TrailingComma,
    /// The last line may be incomplete.
    Unterminated,
}

impl LineError {
    fn new(offset: usize, reason: impl Into<String>) -> Self {
        Self { offset, reason: reason.into(), kind: LineErrorKind::Single }
    }

    /// The same error of a value that starts at `start` of its line.
    pub(crate) fn in_line(self, start: usize) -> Self {
        Self { offset: start + self.offset, ..self }
    }

    pub(crate) fn too_long(max_bytes: usize) -> Self {
        Self::new(max_bytes, format!("longer than max_record_bytes ({max_bytes} bytes)"))
    }

    /// A line of a stream that ended before the LF.
    pub(crate) fn unterminated(offset: usize) -> Self {
        let kind = LineErrorKind::Unterminated;
        Self { kind, ..Self::new(offset, "incomplete line: LF is missing") }
    }
}

/// Returns the range of the value in a line: without a byte order mark in line 1, the CR of a CR LF, and surrounding white
/// space. Empty for a blank line.
pub(crate) fn value(line: RawLine<'_>) -> Result<Range<usize>, LineError> {
    let raw = line.bytes.strip_suffix(b"\r").unwrap_or(line.bytes);
    let has_mark = line.number == 1 && raw.starts_with(BYTE_ORDER_MARK);
    let start = if has_mark { BYTE_ORDER_MARK.len() } else { 0 };
    let text = &raw[start..];
    if text.len() > LINE_BYTES_MAX {
        return Err(LineError::too_long(LINE_BYTES_MAX));
    }
    let is_text = |byte: &u8| !b" \t\r".contains(byte);
    let Some(first) = text.iter().position(is_text) else { return Ok(start..start) };
    let last = text.iter().rposition(is_text).unwrap_or(first);
    // `12` may be the beginning of `123`. Every other value has an end.
    if !line.has_lf && (text[first].is_ascii_digit() || text[first] == b'-') {
        return Err(LineError::unterminated(line.bytes.len()));
    }
    Ok(start + first..start + last + 1)
}

/// Adds a value to a batch, byte for byte, unless it cannot be a record.
pub(crate) fn push(batch: &mut JsonBatch, value: &[u8]) -> Result<(), LineError> {
    batch.push(value).map_err(|error| match error {
        MiniStoreError::InvalidJson { offset, reason, .. } => explain(value, offset, reason),
        other => LineError::new(0, other.to_string()),
    })
}

/// Checks whether a value can be a record.
pub(crate) fn check(value: &[u8]) -> Result<(), LineError> {
    push(&mut JsonBatch::new(), value)
}

/// Recognises values that span several lines, or are elements of an array.
fn explain(value: &[u8], offset: usize, reason: String) -> LineError {
    let ends_early = serde_json::from_slice::<IgnoredAny>(value).is_err_and(|error| error.is_eof());
    if let Some(container) = open_container(value).filter(|_| ends_early) {
        let is_opened = value.last().is_some_and(|last| b"{[,".contains(last));
        let kind = LineErrorKind::MultiLine { is_opened, is_array: value.starts_with(b"[") };
        let reason = format!("the line ends inside an {container}: one value per line (jq -c)");
        return LineError { kind, ..LineError::new(value.len(), reason) };
    }
    if value.get(offset..) == Some(b",") {
        let kind = LineErrorKind::TrailingComma;
        return LineError { kind, ..LineError::new(offset, "a comma follows the value") };
    }
    LineError::new(offset, reason)
}

/// Returns the innermost container that is open at the end, unless a string is.
fn open_container(value: &[u8]) -> Option<&'static str> {
    let (mut open, mut in_string, mut bytes) = (Vec::new(), false, value.iter());
    while let Some(byte) = bytes.next() {
        match (byte, in_string) {
            (b'"', _) => in_string = !in_string,
            (b'\\', true) => drop(bytes.next()),
            (b'{', false) => open.push("object"),
            (b'[', false) => open.push("array"),
            (b'}' | b']', false) => drop(open.pop()),
            _ => {}
        }
    }
    open.pop().filter(|_| !in_string)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn line(text: &str, number: u64, has_lf: bool) -> Result<&str, LineError> {
        value(RawLine { bytes: text.as_bytes(), number, has_lf }).map(|range| &text[range])
    }

    fn text(raw: &str) -> &str {
        line(raw, 2, true).unwrap()
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
    fn bom_is_removed_from_line_1_only() {
        assert_eq!(line("\u{feff}{}\r", 1, true).unwrap(), "{}");
        assert_eq!(line("\u{feff}", 1, true).unwrap(), "");
        assert_eq!(line("\u{feff} 1", 1, true).unwrap(), "1");
        assert!(check(line("\u{feff}1", 2, true).unwrap().as_bytes()).is_err());
    }

    #[test]
    fn unterminated_number_is_rejected() {
        for number in ["12", " -1\r", "1.5 "] {
            assert_eq!(line(number, 2, false).unwrap_err().kind, LineErrorKind::Unterminated, "{number}");
        }
        for value in ["{\"a\":1}", "[1]", "\"1\"", "true", "null", ""] {
            assert_eq!(line(value, 2, false).unwrap(), value);
        }
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
            assert_eq!((line_error.offset, line_error.kind), (offset, LineErrorKind::Single), "{json}");
            assert!(!line_error.reason.contains(" line "), "{line_error:?}");
        }
        assert_eq!(check(b"\"ab\xff\"").unwrap_err(), LineError::new(3, "not UTF-8"));
    }

    #[test]
    fn value_over_several_lines_is_recognised() {
        for (json, container, is_opened) in [
            ("{", "object", true),
            ("[", "array", true),
            ("{\"a\": [", "array", true),
            ("{\"a\": 1,", "object", true),
            ("[\"}\\\"\", {\"a\": 1}", "array", false),
        ] {
            let error = check(json.as_bytes()).unwrap_err();
            assert!(error.reason.contains(&format!("ends inside an {container}")), "{json}: {error:?}");
            let is_array = json.starts_with('[');
            assert_eq!(error.kind, LineErrorKind::MultiLine { is_opened, is_array }, "{json}");
        }
        for json in ["\"a\": 1,", "]", "{\"a\": \"b", "[x"] {
            assert_eq!(check(json.as_bytes()).unwrap_err().kind, LineErrorKind::Single, "{json}");
        }
        assert_eq!(check(b"{\"a\":1},").unwrap_err().kind, LineErrorKind::TrailingComma);
    }
}
