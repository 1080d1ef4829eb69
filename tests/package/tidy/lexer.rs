//! Splits Rust source into the parts that people read: identifiers and comments. Strings are left out.

/// A part of a source file.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Token {
    Identifier(String),
    Comment(String),
}

/// The identifiers and comments of `text`, each with its line, counted from 1.
pub(super) fn tokens(text: &str) -> Vec<(usize, Token)> {
    let (mut rest, mut line, mut found) = (text, 1, Vec::new());
    while let Some(first) = rest.chars().next() {
        let length = if rest.starts_with("//") {
            let length = rest.find('\n').unwrap_or(rest.len());
            found.push((line, Token::Comment(rest[..length].to_owned())));
            length
        } else if rest.starts_with("/*") {
            let length = rest.find("*/").map_or(rest.len(), |end| end + 2);
            found.push((line, Token::Comment(rest[..length].to_owned())));
            length
        } else if let Some(length) = raw_string_length(rest) {
            length
        } else if first == '"' {
            string_length(rest)
        } else if first == '\'' {
            char_length(rest)
        } else if first.is_alphabetic() || first == '_' {
            let length = rest.find(|c: char| !c.is_alphanumeric() && c != '_').unwrap_or(rest.len());
            found.push((line, Token::Identifier(rest[..length].to_owned())));
            length
        } else {
            first.len_utf8()
        };
        line += rest[..length].matches('\n').count();
        rest = &rest[length..];
    }
    found
}

/// `r"..."` and `r#"..."#`, with or without a `b` or `c` before it.
fn raw_string_length(rest: &str) -> Option<usize> {
    let prefix = ["r", "br", "cr"].into_iter().find(|prefix| {
        rest.strip_prefix(prefix).is_some_and(|after| after.trim_start_matches('#').starts_with('"'))
    })?;
    let after = &rest[prefix.len()..];
    let hashes = after.len() - after.trim_start_matches('#').len();
    let end = format!("\"{}", "#".repeat(hashes));
    let body = prefix.len() + hashes + 1;
    Some(rest[body..].find(&end).map_or(rest.len(), |at| body + at + end.len()))
}

fn string_length(rest: &str) -> usize {
    let mut escaped = false;
    for (at, c) in rest.char_indices().skip(1) {
        match c {
            _ if escaped => escaped = false,
            '\\' => escaped = true,
            '"' => return at + 1,
            _ => {}
        }
    }
    rest.len()
}

/// A character literal, or the quote of a lifetime.
fn char_length(rest: &str) -> usize {
    let mut chars = rest.char_indices().skip(1);
    match (chars.next(), chars.next()) {
        (Some((_, '\\')), Some(_)) => rest[3..].find('\'').map_or(rest.len(), |at| 3 + at + 1),
        (Some(_), Some((at, '\''))) => at + 1,
        _ => 1,
    }
}

#[test]
fn lexer_finds_identifiers_and_comments_only() {
    let text =
        "fn a<'b>() { // one \"x\n  let c = ('\"', '\\'', \"d \\\" e\", r#\"f \" g\"#); /* two\n */ h }";
    let comment = |text: &str| Token::Comment(text.to_owned());
    let identifier = |text: &str| Token::Identifier(text.to_owned());
    let expected = [
        (1, identifier("fn")),
        (1, identifier("a")),
        (1, identifier("b")),
        (1, comment("// one \"x")),
        (2, identifier("let")),
        (2, identifier("c")),
        (2, comment("/* two\n */")),
        (3, identifier("h")),
    ];
    assert_eq!(tokens(text), expected);
}
