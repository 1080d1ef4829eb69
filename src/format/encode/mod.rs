//! A record becomes a line: exactly one JSON value, no line feed in it, no white space around it, and one that the rule
//! of [`validate`] accepts.

use std::{cell::Cell, ops::Range};

use bytes::Bytes;
use serde::Serialize;

use crate::{
    MiniStoreError, Result,
    format::LF,
    format::validate::{self, NESTING_LEVELS_MAX, Rejection},
};

mod formatter;

use formatter::{Watch, Watched};

/// No more is reserved for a line that is not there yet.
const LINE_BYTES_MAX: usize = 16 << 10;

thread_local! {
    /// How long the last line of this thread was: the next is likely to be as long, and is allocated once.
    static LINE_BYTES: Cell<usize> = const { Cell::new(0) };
}

/// Serializes a record.
///
/// A [`RawValue`](serde_json::value::RawValue) can contain line breaks. In valid JSON they occur only between tokens
/// (a string must escape them), where a space means the same.
pub(crate) fn to_line<R: Serialize + ?Sized>(record: &R) -> Result<Vec<u8>> {
    let mut line = Vec::with_capacity(LINE_BYTES.get());
    append_line(&mut line, record)?;
    LINE_BYTES.set(line.len().min(LINE_BYTES_MAX));
    Ok(line)
}

/// Serializes a record after the lines in `lines`; returns the length of its line.
pub(crate) fn append_line<R: Serialize + ?Sized>(lines: &mut Vec<u8>, record: &R) -> Result<usize> {
    let start = lines.len();
    let mut watched = Watched::default();
    record.serialize(&mut serde_json::Serializer::with_formatter(&mut *lines, Watch(&mut watched)))?;
    let line = &mut lines[start..];
    if watched.is_valid() && !validate::may_have_reserved_key(line) {
        return Ok(line.len());
    }
    line.iter_mut().filter(|byte| **byte == LF).for_each(|byte| *byte = b' ');
    let value = trimmed(line);
    validate::check(&line[value.clone()], NESTING_LEVELS_MAX).map_err(|rejection| invalid(rejection, 0))?;
    lines.truncate(start + value.end);
    lines.drain(start..start + value.start);
    Ok(value.len())
}

/// Serializes records as lines with LFs between them; returns the lines and their number. `check` gets the length of each.
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

pub(crate) fn check_size(what: &'static str, bytes: usize, bytes_max: u64) -> Result<()> {
    let bytes = bytes as u64;
    if bytes > bytes_max {
        return Err(MiniStoreError::TooLarge { what, bytes, bytes_max });
    }
    Ok(())
}

/// Checks JSON text from a caller; returns it without the white space around it.
pub(crate) fn validate_line(json: &Bytes) -> Result<Bytes> {
    validate_value(json).map(|value| json.slice(value))
}

/// Checks JSON text from a caller; returns the range of the value in it.
pub(crate) fn validate_value(json: &[u8]) -> Result<Range<usize>> {
    let value = trimmed(json);
    validate::check(&json[value.clone()], NESTING_LEVELS_MAX)
        .map_err(|rejection| invalid(rejection, value.start))?;
    Ok(value)
}

/// Of a record that is not part of a batch. `lead`: the white space before the value.
fn invalid(Rejection { offset, reason }: Rejection, lead: usize) -> MiniStoreError {
    let offset = lead + offset;
    MiniStoreError::InvalidJson { offset, line: 1, column: offset + 1, reason: reason.into_owned() }
}

/// The error of the record at `index` of a batch, counted from 0.
pub(crate) fn in_batch(error: MiniStoreError, index: u64) -> MiniStoreError {
    match error {
        MiniStoreError::InvalidJson { offset, column, reason, .. } => {
            MiniStoreError::InvalidJson { offset, line: index + 1, column, reason }
        }
        other => other,
    }
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
        assert_eq!(validate_line(&Bytes::from_static(b" \t{\"a\": 1} \r\n")).unwrap(), "{\"a\": 1}");
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
            let refused = validate_line(&Bytes::copy_from_slice(json));
            let Err(MiniStoreError::InvalidJson { offset, .. }) = refused else {
                panic!("{json:?}: {refused:?}");
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
