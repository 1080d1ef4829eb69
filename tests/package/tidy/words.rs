//! Words that are not used in names and comments, each with what to write instead.

use super::{
    SourceFile, assert_none, files_with_extension,
    lexer::{Token, tokens},
};

/// A word or phrase, and the suggestion for it.
const FORBIDDEN: &[(&str, &str)] = &[
    ("told", "reported, returned, logged"),
    ("tell", "report, return, log"),
    ("tells", "reports, returns, logs"),
    ("behind", "after"),
    ("stands", "is stored, is"),
    ("stood", "was"),
    ("beside", "concurrently, next to"),
    ("whoever", "the caller, the reader, the writer"),
    ("nobody", "no task, no caller, no process"),
    ("somebody", "another process, a caller"),
    ("anew", "again"),
    ("for ever", "indefinitely"),
    ("mend", "repair"),
    ("mends", "repairs"),
    ("mended", "repaired"),
    ("mending", "repair"),
    ("go on", "continue"),
    ("goes on", "continues"),
    ("going on", "continuing"),
    ("went on", "continued"),
    ("room", "capacity, space"),
    ("settle", "complete"),
    ("settles", "completes"),
    ("settled", "completed"),
    ("settlement", "completion"),
    ("keep house", "run background work"),
    ("housekeeper", "background thread"),
    ("housekeeping", "background work"),
    ("unborn", "unwritten"),
    ("newborn", "new"),
    ("nudge", "wake"),
    ("nudged", "woken"),
    ("hurry", "flush"),
    ("hurried", "flushed"),
    ("look out", "spin, poll"),
    ("looks out", "spins, polls"),
    ("take in", "process"),
    ("takes in", "processes"),
    ("taken in", "processed"),
    ("hand over", "send"),
    ("hands over", "sends"),
    ("handed over", "sent"),
    ("hand out", "yield"),
    ("hands out", "yields"),
    ("handed out", "yielded"),
    ("let go", "drop, release"),
    ("lets go", "drops, releases"),
    ("of no use", "unused"),
    ("is to be", "must be, is"),
    ("are to be", "must be, are"),
    ("passed over", "skipped"),
    ("save for", "except for"),
];

/// Uses that are meant: the file, the word, and why.
const ALLOWED: &[(&str, &str, &str)] = &[
    ("tests/package/tidy/words.rs", "", "this list"),
    ("benches/peers/RESULTS.md", "", "what earlier programs printed"),
    ("benches/peers/src/logs/wal_db.rs", "tell", "a quotation"),
    ("crates/ministore-cli/src/transfer/import.rs", "behind", "nothing is left behind"),
    ("docs/reference/cli.md", "behind", "nothing is left behind"),
];

fn is_allowed(path: &str, word: &str) -> bool {
    ALLOWED.iter().any(|(file, allowed, _)| *file == path && (allowed.is_empty() || *allowed == word))
}

/// The words of a comment or of an identifier, in lower case: `go_on`, `GoOn` and "go on" have the same.
fn split_words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut was_lower = false;
    for c in text.chars() {
        if ",.;:()".contains(c) {
            // No phrase crosses it.
            words.extend(["|".to_owned(), String::new()]);
        } else if !c.is_alphanumeric() || (c.is_uppercase() && was_lower) {
            words.push(String::new());
        }
        was_lower = c.is_lowercase();
        if c.is_alphanumeric() {
            words.last_mut().unwrap().extend(c.to_lowercase());
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

/// Every forbidden word of `text`, with its suggestion.
fn forbidden_words(text: &str) -> Vec<(&'static str, &'static str)> {
    let joined = format!(" {} ", split_words(text).join(" "));
    FORBIDDEN.iter().filter(|(word, _)| joined.contains(&format!(" {word} "))).copied().collect()
}

fn check(file: &SourceFile, line: usize, text: &str, violations: &mut Vec<String>) {
    for (word, suggestion) in forbidden_words(text) {
        if !is_allowed(&file.path, word) {
            violations.push(format!("{}:{line}: \"{word}\": write {suggestion}", file.path));
        }
    }
}

/// Comments that follow each other are one text: a phrase may continue on the next line.
fn joined_comments(file: &SourceFile) -> Vec<(usize, String)> {
    let mut texts: Vec<(usize, usize, String)> = Vec::new();
    for (line, token) in tokens(&file.text) {
        let Token::Comment(text) = token else { continue };
        match texts.last_mut() {
            Some((_, last, joined)) if *last + 1 == line => {
                joined.push_str(text.trim_start_matches('/'));
                *last = line;
            }
            _ => texts.push((line, line, text)),
        }
    }
    texts.into_iter().map(|(first, _, text)| (first, text)).collect()
}

#[test]
fn names_and_comments_use_the_field_words() {
    let mut violations = Vec::new();
    for file in files_with_extension("rs") {
        for (line, text) in joined_comments(&file) {
            check(&file, line, &text, &mut violations);
        }
        for (line, token) in tokens(&file.text) {
            if let Token::Identifier(name) = token {
                check(&file, line, &name, &mut violations);
            }
        }
    }
    violations.dedup();
    assert_none(&violations, "words that are not used here");
}

#[test]
fn documents_use_the_field_words() {
    let mut violations = Vec::new();
    for file in files_with_extension("md") {
        for (index, paragraph) in file.text.split("\n\n").enumerate() {
            check(&file, index + 1, paragraph, &mut violations);
        }
    }
    assert_none(&violations, "words that are not used here (the number is that of the paragraph)");
}

#[test]
fn scripts_use_the_field_words() {
    let mut violations = Vec::new();
    for file in ["toml", "yml", "service"].into_iter().flat_map(files_with_extension) {
        for (index, line) in file.text.lines().enumerate() {
            if let Some((_, comment)) = line.split_once("# ") {
                check(&file, index + 1, comment, &mut violations);
            }
        }
    }
    assert_none(&violations, "words that are not used here");
}

#[test]
fn forbidden_words_are_found_in_every_form() {
    let found = |text| forbidden_words(text).into_iter().map(|(word, _)| word).collect::<Vec<_>>();
    assert_eq!(found("fn go_on()"), ["go on"]);
    assert_eq!(found("struct GoOn"), ["go on"]);
    assert_eq!(found("/// It goes\n/// on for ever."), ["for ever", "goes on"]);
    assert_eq!(found("KEEPS_ROOM"), ["room"]);
    assert_eq!(found("ballroom, storytelling, understands"), [""; 0]);
}
