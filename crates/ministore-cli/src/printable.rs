//! Makes text safe to print. Names of files and clients may contain control characters, which would change the terminal, or make
//! one line look like several. Everything that the program prints passes through here, except records.

use std::borrow::Cow;

/// Escapes control characters, and characters that change the direction of text.
pub(crate) fn printable(text: &str) -> Cow<'_, str> {
    escaped(text, |out, c| match c {
        '\n' => out.push_str("\\n"),
        '\r' => out.push_str("\\r"),
        '\t' => out.push_str("\\t"),
        c if c.is_ascii() => *out += &format!("\\x{:02x}", u32::from(c)),
        c => *out += &format!("\\u{{{:x}}}", u32::from(c)),
    })
}

/// The same for JSON on one line: it keeps its meaning, because such characters occur in its strings only.
pub(crate) fn printable_json(json: &str) -> Cow<'_, str> {
    escaped(json, |out, c| *out += &format!("\\u{:04x}", u32::from(c)))
}

fn escaped(text: &str, escape: impl Fn(&mut String, char)) -> Cow<'_, str> {
    if !text.contains(is_unprintable) {
        return text.into();
    }
    let mut out = String::with_capacity(text.len());
    for c in text.chars() {
        if is_unprintable(c) { escape(&mut out, c) } else { out.push(c) }
    }
    out.into()
}

pub(crate) fn is_unprintable(c: char) -> bool {
    let is_direction =
        matches!(c, '\u{200e}' | '\u{200f}' | '\u{202a}'..='\u{202e}' | '\u{2066}'..='\u{2069}');
    c.is_control() || is_direction || matches!(c, '\u{2028}' | '\u{2029}')
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn control_characters_are_escaped() {
        assert_eq!(
            printable("a\n\x1b[31mb\u{7f}\u{9b}1m\u{202e}ä"),
            "a\\n\\x1b[31mb\\x7f\\u{9b}1m\\u{202e}ä"
        );
        assert!(matches!(printable("plain ä–█ text"), Cow::Borrowed(_)));
    }

    #[test]
    fn json_keeps_its_meaning() {
        let name = "a\u{9b}\u{7f}\u{1b}\u{202e}";
        let json = serde_json::to_string(name).unwrap();
        let shown = printable_json(&json);
        assert!(!shown.contains(is_unprintable), "{shown:?}");
        assert_eq!(serde_json::from_str::<String>(&shown).unwrap(), name);
    }
}
