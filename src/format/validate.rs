//! Checks whether JSON text is accepted as a new record. Pure: bytes in, a result out.
//!
//! The rule is `docs/reference/format.md`, "Accepted records". Only new records are checked, and only here: readers, recovery and
//! copies between journals accept every record that a journal contains.
//!
//! The check has its own [`parser`] instead of `serde_json::from_slice::<Value>` for two reasons. It allocates nothing. And its
//! result does not depend on the features of `serde_json` that other crates of the program enable (`arbitrary_precision` would
//! accept `1e400`, which no other build can read).

mod parser;

use std::borrow::Cow;

use parser::Parser;

/// The most arrays and objects of a record that can be open at the same time. `serde_json` parses 127 levels (its recursion limit
/// is 128); a caller that wraps a record in further levels subtracts them.
pub(crate) const NESTING_LEVELS_MAX: u32 = 127;

/// Keys that `serde_json` uses internally. A program that enables the feature of such a key reads an object with it as its
/// first key as something different, or fails to read it.
const RESERVED_KEYS: [&str; 2] = ["$serde_json::private::RawValue", "$serde_json::private::Number"];

/// The reason why a text is not accepted.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Rejection {
    /// The offset of the first invalid byte, from 0. If the text ends too early, the offset of its last byte.
    pub(crate) offset: usize,
    pub(crate) reason: Cow<'static, str>,
}

type CheckResult<T> = Result<T, Rejection>;

/// Checks that `json` is exactly one JSON value that can be a record, without white space around it.
///
/// `levels_max` is at most [`NESTING_LEVELS_MAX`].
pub(crate) fn check(json: &[u8], levels_max: u32) -> CheckResult<()> {
    debug_assert!(levels_max <= NESTING_LEVELS_MAX);
    if json.is_empty() {
        return Err(Rejection { offset: 0, reason: "empty: there is no JSON value".into() });
    }
    if let Err(error) = std::str::from_utf8(json) {
        return Err(Rejection { offset: error.valid_up_to(), reason: "not UTF-8".into() });
    }
    Parser::new(json).parse(levels_max)
}

/// Returns whether a line that `serde_json` serialized (so that `$` is never escaped) may contain a reserved key.
#[inline]
pub(crate) fn may_have_reserved_key(line: &[u8]) -> bool {
    memchr::memchr(b'$', line).is_some_and(|at| has_reserved_key(&line[at..]))
}

#[cold]
fn has_reserved_key(text: &[u8]) -> bool {
    RESERVED_KEYS.iter().any(|name| memchr::memmem::find(text, name.as_bytes()).is_some())
}

#[cfg(test)]
mod tests;
