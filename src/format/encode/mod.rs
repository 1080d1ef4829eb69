//! Encodes records as lines. A line is exactly one JSON value that [`validate`] accepts, without a line feed in it or white space
//! around it.

use std::{cell::Cell, ops::Range};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    MiniStoreError, Result,
    format::LF,
    format::validate::{self, NESTING_LEVELS_MAX, Rejection},
};

mod formatter;

use formatter::{LineState, TrackingFormatter};

/// The most bytes reserved for a new line.
const MAX_RESERVED_BYTES: usize = 16 << 10;

thread_local! {
    /// The length of the last line of this thread, reserved for the next one: similar lines need one allocation.
    static LAST_LINE_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Serializes a record.
///
/// A line break in a [`RawValue`](serde_json::value::RawValue) becomes a space, which means the same: in valid JSON line breaks
/// occur only between tokens, because a string must escape them.
pub(crate) fn to_line<R: Serialize + ?Sized>(record: &R) -> Result<Vec<u8>> {
    let mut line = Vec::with_capacity(LAST_LINE_BYTES.get());
    append_line(&mut line, record)?;
    LAST_LINE_BYTES.set(line.len().min(MAX_RESERVED_BYTES));
    Ok(line)
}

/// Serializes a record after the lines in `lines`; returns the length of its line.
pub(crate) fn append_line<R: Serialize + ?Sized>(lines: &mut Vec<u8>, record: &R) -> Result<usize> {
    let start = lines.len();
    let mut state = LineState::default();
    record
        .serialize(&mut serde_json::Serializer::with_formatter(&mut *lines, TrackingFormatter(&mut state)))?;
    let line = &mut lines[start..];
    if state.is_valid() && !validate::may_have_reserved_key(line) {
        return Ok(line.len());
    }
    line.iter_mut().filter(|byte| **byte == LF).for_each(|byte| *byte = b' ');
    let value = trimmed(line);
    validate::check(&line[value.clone()], NESTING_LEVELS_MAX).map_err(|rejection| invalid(rejection, 0))?;
    lines.truncate(start + value.end);
    lines.drain(start..start + value.start);
    Ok(value.len())
}

/// Serializes records as lines with LFs between them; returns the lines and their number. `check` is called with the length of each
/// line, and rejects the batch by an error.
pub(crate) fn batch_lines<R: Serialize>(
    records: impl IntoIterator<Item = R>,
    bytes_max: u64,
    mut check: impl FnMut(usize) -> Result<()>,
) -> Result<(Vec<u8>, u64)> {
    let (mut lines, mut count) = (Vec::new(), 0);
    for record in records {
        if count > 0 {
            lines.push(LF);
        }
        let bytes = append_line(&mut lines, &record);
        check(bytes.map_err(|error| in_batch(error, count))?)?;
        count += 1;
        check_size("a batch", lines.len(), bytes_max)?;
    }
    Ok((lines, count))
}

/// Returns `TooLarge` if `bytes` exceeds `bytes_max`.
pub(crate) fn check_size(what: &'static str, bytes: usize, bytes_max: u64) -> Result<()> {
    let bytes = bytes as u64;
    if bytes > bytes_max {
        return Err(MiniStoreError::TooLarge { what, bytes, bytes_max });
    }
    Ok(())
}

/// Checks JSON text from the caller; returns it without the white space around it.
pub(crate) fn validate_line(json: &Bytes) -> Result<Bytes> {
    validate_value(json).map(|value| json.slice(value))
}

/// Checks JSON text from the caller; returns the range of the value in it.
pub(crate) fn validate_value(json: &[u8]) -> Result<Range<usize>> {
    let value = trimmed(json);
    validate::check(&json[value.clone()], NESTING_LEVELS_MAX)
        .map_err(|rejection| invalid(rejection, value.start))?;
    Ok(value)
}

/// Returns the error of a record that is not part of a batch. `value_start` is the length of the white space before the value.
fn invalid(Rejection { offset, reason }: Rejection, value_start: usize) -> MiniStoreError {
    let offset = value_start + offset;
    MiniStoreError::InvalidJson { offset, line: 1, column: offset + 1, reason: reason.into_owned() }
}

/// Returns the error with the line of the record in its batch; `index` is counted from 0.
pub(crate) fn in_batch(error: MiniStoreError, index: u64) -> MiniStoreError {
    match error {
        MiniStoreError::InvalidJson { offset, column, reason, .. } => {
            MiniStoreError::InvalidJson { offset, line: index + 1, column, reason }
        }
        other => other,
    }
}

/// Returns the range without the white space that JSON allows around a value (RFC 8259, section 2).
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
    fn raw_value_line_breaks_become_spaces() {
        let raw = RawValue::from_string("{\n \"a\": [1,\r\n2]\n}".into()).unwrap();
        let line = to_line(&raw).unwrap();
        assert_eq!(line, b"{  \"a\": [1,\r 2] }");
        let value: serde_json::Value = serde_json::from_slice(&line).unwrap();
        assert_eq!(value, serde_json::json!({"a": [1, 2]}));
    }

    #[test]
    fn white_space_around_value_is_trimmed() {
        assert_eq!(validate_line(&Bytes::from_static(b" \t{\"a\": 1} \r\n")).unwrap(), "{\"a\": 1}");
    }

    #[test]
    fn invalid_json_is_rejected_with_offset() {
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
            let rejected = validate_line(&Bytes::copy_from_slice(json));
            let Err(MiniStoreError::InvalidJson { offset, .. }) = rejected else {
                panic!("{json:?}: {rejected:?}");
            };
            assert_eq!(offset, at, "{json:?}");
        }
    }

    #[test]
    fn deep_nesting_is_rejected_without_overflow() {
        let deep = [vec![b'['; 1 << 20], vec![b']'; 1 << 20]].concat();
        let rejected = validate_line(&Bytes::from(deep));
        assert!(matches!(rejected, Err(MiniStoreError::InvalidJson { offset: 127, .. })), "{rejected:?}");
    }
}
