//! Short test names and small files.

use super::{
    assert_none, files_with_extension,
    lexer::{Token, tokens},
};

/// The longest name of a function, in characters: a test name that says more is two tests.
const NAME_CHARS_MAX: usize = 50;

/// The most lines of a source file.
const FILE_LINES_MAX: usize = 350;

#[test]
fn function_names_are_at_most_50_characters() {
    let mut violations = Vec::new();
    for file in files_with_extension("rs") {
        let found = tokens(&file.text);
        for pair in found.windows(2) {
            if let [(_, Token::Identifier(keyword)), (line, Token::Identifier(name))] = pair
                && keyword == "fn"
                && name.chars().count() > NAME_CHARS_MAX
            {
                violations.push(format!("{}:{line}: {name}: {}", file.path, name.chars().count()));
            }
        }
    }
    assert_none(&violations, "names longer than 50 characters");
}

#[test]
fn source_files_have_at_most_350_lines() {
    let mut violations = Vec::new();
    for file in files_with_extension("rs") {
        let lines = file.text.lines().count();
        if lines > FILE_LINES_MAX {
            violations.push(format!("{}: {lines} lines", file.path));
        }
    }
    assert_none(&violations, "files longer than 350 lines");
}
