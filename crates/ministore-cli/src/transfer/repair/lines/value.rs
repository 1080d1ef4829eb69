//! Finds the end of a JSON array or object, or the first byte that cannot belong to it. Pure.
//!
//! Only the structure is checked (brackets, strings, commas, colons): whether the value is an accepted record is checked once its
//! end is known. Each byte is read once.

/// White space of JSON, without LF, which ends a line.
pub(super) fn is_blank(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\r')
}

/// Returns the offset of the first byte from `at` on that is not white space.
pub(super) fn skip_blanks(text: &[u8], at: usize) -> usize {
    text[at..].iter().position(|&byte| !is_blank(byte)).map_or(text.len(), |blanks| at + blanks)
}

/// Whether an object with a key starts here. Text inside a JSON string never matches: its quotes are escaped.
pub(super) fn is_object_start(text: &[u8], at: usize) -> bool {
    text.get(at) == Some(&b'{') && text.get(skip_blanks(text, at + 1)) == Some(&b'"')
}

/// The place where a value stops being one.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Interruption {
    /// The first byte that cannot belong to the value; the length of the text if it ended too early.
    pub(super) at: usize,
    /// The start of an object that cannot belong to the value: another record begins there. At `at`, or at the end of the string
    /// before it: a record after a torn string ends that string with its own first quote.
    pub(super) object: Option<usize>,
}

/// What may follow.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Expected {
    FirstElement,
    FirstKey,
    Key,
    Colon,
    Value,
    CommaOrEnd,
}

/// Returns the end of the array or object that starts at `start`.
pub(super) fn end_of_value(text: &[u8], start: usize) -> Result<usize, Interruption> {
    use Expected::{Colon, CommaOrEnd, FirstElement, FirstKey, Key, Value};
    // The open arrays and objects: `true` for an object.
    let mut open: Vec<bool> = Vec::new();
    let (mut at, mut expected) = (start, Value);
    // The last character of the string before `at`, if it is a `{`.
    let mut brace_in_string = None;
    loop {
        at = skip_blanks(text, at);
        let Some(&byte) = text.get(at) else { return Err(Interruption { at, object: None }) };
        let brace = brace_in_string.take();
        let is_in_object = open.last() == Some(&true);
        let next = match (expected, byte) {
            (Value | FirstElement, b'{') => {
                open.push(true);
                (at + 1, FirstKey)
            }
            (Value | FirstElement, b'[') => {
                open.push(false);
                (at + 1, FirstElement)
            }
            (Value | FirstElement | FirstKey | Key, b'"') => {
                let end = end_of_string(text, at + 1)?;
                brace_in_string = final_brace(&text[..end - 1]);
                (end, if matches!(expected, FirstKey | Key) { Colon } else { CommaOrEnd })
            }
            (Value | FirstElement, _) if is_scalar(byte) => {
                let rest = text[at..].iter().position(|&byte| !is_scalar(byte));
                (rest.map_or(text.len(), |rest| at + rest), CommaOrEnd)
            }
            (Colon, b':') => (at + 1, Value),
            (CommaOrEnd, b',') => (at + 1, if is_in_object { Key } else { Value }),
            (CommaOrEnd | FirstKey, b'}') if is_in_object => (at + 1, CommaOrEnd),
            (CommaOrEnd | FirstElement, b']') if !is_in_object => (at + 1, CommaOrEnd),
            _ => {
                let object = if is_object_start(text, at) { Some(at) } else { brace };
                return Err(Interruption { at, object });
            }
        };
        (at, expected) = next;
        if matches!(byte, b'}' | b']') {
            open.pop();
            if open.is_empty() {
                return Ok(at);
            }
        }
    }
}

/// Returns the end of a string after its closing quote; `at` is after the opening one.
fn end_of_string(text: &[u8], mut at: usize) -> Result<usize, Interruption> {
    loop {
        let special = text[at..].iter().position(|&byte| byte < b' ' || byte == b'"' || byte == b'\\');
        at = special.map_or(text.len(), |special| at + special);
        match text.get(at) {
            Some(b'"') => return Ok(at + 1),
            Some(b'\\') => at = end_of_escape(text, at + 1)?,
            _ => return Err(Interruption { at, object: None }),
        }
    }
}

/// Returns the end of an escape; `at` is after the backslash. A record may begin in the middle of a torn one.
fn end_of_escape(text: &[u8], at: usize) -> Result<usize, Interruption> {
    let digits = match text.get(at) {
        Some(b'u') => 4,
        Some(b'"' | b'\\' | b'/' | b'b' | b'f' | b'n' | b'r' | b't') => 0,
        _ => return Err(Interruption { at, object: Some(at).filter(|&at| is_object_start(text, at)) }),
    };
    let valid = text[at + 1..].iter().take(digits).take_while(|byte| byte.is_ascii_hexdigit()).count();
    let end = at + 1 + valid;
    if valid == digits {
        return Ok(end);
    }
    Err(Interruption { at: end, object: Some(end).filter(|&at| is_object_start(text, at)) })
}

/// Returns the offset of a `{` with nothing but white space after it.
fn final_brace(text: &[u8]) -> Option<usize> {
    let last = text.iter().rposition(|&byte| !is_blank(byte))?;
    (text[last] == b'{').then_some(last)
}

/// Whether a byte may be part of a number or a literal.
fn is_scalar(byte: u8) -> bool {
    byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'-' | b'.')
}

#[cfg(test)]
mod tests {
    use super::*;

    fn end(text: &str) -> Result<usize, (usize, Option<usize>)> {
        end_of_value(text.as_bytes(), 0).map_err(|found| (found.at, found.object))
    }

    #[test]
    fn value_ends_at_its_last_bracket() {
        for value in ["{}", "[]", "[ ]", r#"{"a":[1,{"b":null}],"c":-1.5e3}"#, r#"["}]\"",true,"{"]"#] {
            for after in ["", " ", "{", "}", "x", ",1"] {
                assert_eq!(end(&format!("{value}{after}")), Ok(value.len()), "{value}{after}");
            }
        }
    }

    #[test]
    fn incomplete_value_ends_with_the_text() {
        let value = r#"{"a":[1,{"b":"{\"\u00e9"}],"c":tru"#;
        for length in 1..=value.len() {
            assert_eq!(end(&value[..length]), Err((length, None)), "{}", &value[..length]);
        }
    }

    #[test]
    fn first_byte_that_does_not_belong_is_found() {
        for (text, at) in [
            (r#"{"a" 1}"#, 5),
            (r#"{"a":1 2}"#, 7),
            (r#"{"a":1,}"#, 7),
            ("[1}", 2),
            ("{1}", 1),
            ("[,", 1),
            ("[\"a\u{1}\"]", 3),
            (r#"["\x"]"#, 3),
            (r#"["\u00g0"]"#, 6),
        ] {
            assert_eq!(end(text), Err((at, None)), "{text}");
        }
    }

    #[test]
    fn object_after_a_torn_value_is_found() {
        let next = r#"{"id":7}"#;
        for torn in [
            r#"{"a":1"#,
            r#"{"a":{"b":2}"#,
            r#"{"a":tr"#,
            r#"{"a""#,
            "{",
            r#"{"a":1,"#,
            r#"{"a":"te"#,
            r#"{"a":"te {"#,
            r#"{"a":""#,
            r#"{"a":1,"b"#,
            r#"{"a":1,""#,
            r#"{"a":"\"#,
            r#"{"a":"\u"#,
            r#"{"a":"\u00e"#,
            r#"{"a":"note: "#,
            "[1",
            "[\"x",
        ] {
            let found = end(&format!("{torn}{next}")).unwrap_err().1;
            assert_eq!(found, Some(torn.len()), "{torn}");
        }
    }

    /// After a colon, and between the elements of an array, the next record could as well be a part of the torn one.
    #[test]
    fn object_that_may_be_nested_is_not_found() {
        for torn in [r#"{"a":"#, "[", "[1,"] {
            let text = format!("{torn}{{\"id\":7}}");
            assert_eq!(end(&text), Err((text.len(), None)), "{torn}");
        }
    }
}
