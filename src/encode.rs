//! A record becomes a line: exactly one JSON value, no line feed in it, no white space around it.

use std::{cell::Cell, ops::Range};

use bytes::Bytes;
use serde::{Serialize, de::IgnoredAny};

use crate::{MiniStoreError, Result, format::LF};

/// No more is reserved for a line that is not there yet.
const LINE_BYTES_MAX: usize = 16 << 10;

thread_local! {
    /// How long the last line of this thread was: the next is likely to be as long, and is allocated once.
    static LINE_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Serializes a record.
///
/// A [`RawValue`](serde_json::value::RawValue) can smuggle line breaks in. Inside valid JSON they can only stand
/// between tokens (a string must escape them), so that a space does as well.
pub(crate) fn to_line<R: Serialize + ?Sized>(record: &R) -> Result<Vec<u8>> {
    let mut line = Vec::with_capacity(LINE_BYTES.get());
    append_line(&mut line, record)?;
    LINE_BYTES.set(line.len().min(LINE_BYTES_MAX));
    Ok(line)
}

/// Serializes a record behind what is in `lines`; says how long its line is.
pub(crate) fn append_line<R: Serialize + ?Sized>(lines: &mut Vec<u8>, record: &R) -> Result<usize> {
    let start = lines.len();
    serde_json::to_writer(&mut *lines, record)?;
    let line = &mut lines[start..];
    if memchr::memchr(LF, line).is_some() {
        line.iter_mut().filter(|byte| **byte == LF).for_each(|byte| *byte = b' ');
    }
    let value = trimmed(line);
    if value.len() != line.len() {
        lines.truncate(start + value.end);
        lines.drain(start..start + value.start);
    }
    Ok(value.len())
}

/// Checks a line that somebody else serialized; gives it back without white space around it.
pub(crate) fn checked_line(json: &Bytes) -> Result<Bytes> {
    let Range { start, end } = trimmed(json);
    let value = json.slice(start..end);
    let invalid = |at: usize, reason: String| MiniStoreError::InvalidJson { offset: start + at, reason };
    if let Some(at) = memchr::memchr(LF, &value) {
        return Err(invalid(at, "a line feed inside the value".into()));
    }
    let text =
        std::str::from_utf8(&value).map_err(|error| invalid(error.valid_up_to(), error.to_string()))?;
    serde_json::from_str::<IgnoredAny>(text).map_err(|error| {
        // One line, so that the column counts bytes from 1.
        invalid(error.column().saturating_sub(1), error.to_string())
    })?;
    Ok(value)
}

/// Without the white space that JSON allows around a value (RFC 8259, section 2).
fn trimmed(json: &[u8]) -> Range<usize> {
    let is_text = |byte: &u8| !b" \t\n\r".contains(byte);
    let start = json.iter().position(is_text).unwrap_or(json.len());
    let end = json.iter().rposition(is_text).map_or(start, |last| last + 1);
    start..end
}

#[cfg(test)]
mod tests {
    use serde_json::value::RawValue;

    use super::*;

    #[test]
    fn line_breaks_in_raw_values_never_reach_a_line() {
        let raw = RawValue::from_string("{\n \"a\": [1,\r\n2]\n}".into()).unwrap();
        let line = to_line(&raw).unwrap();
        assert_eq!(line, b"{  \"a\": [1,\r 2] }");
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, 2]}));
    }

    #[test]
    fn white_space_around_a_value_is_trimmed() {
        assert_eq!(checked_line(&Bytes::from_static(b" \t{\"a\": 1} \r\n")).unwrap(), "{\"a\": 1}");
    }

    #[test]
    fn what_is_not_one_value_on_one_line_is_refused_with_its_place() {
        for (json, at) in [
            (&b""[..], 0),
            (b"  ", 2),
            (b"{\"a\":1} {}", 8),
            (b"{\"a\":\n1}", 5),
            (b" {\"a\":nope}", 7),
            (b"\"\xff\"", 1),
            (b"\x0c1", 0),
            (b"1,", 1),
        ] {
            let refused = checked_line(&Bytes::copy_from_slice(json));
            let Err(MiniStoreError::InvalidJson { offset, .. }) = refused else {
                panic!("{json:?}: {refused:?}");
            };
            assert_eq!(offset, at, "{json:?}");
        }
    }

    #[test]
    fn deep_nesting_is_no_stack_overflow() {
        let deep = [vec![b'['; 1 << 20], vec![b']'; 1 << 20]].concat();
        assert_eq!(checked_line(&Bytes::from(deep)).unwrap().len(), 2 << 20);
    }
}
