//! Tests that every command line that the program prints or its documentation shows is one that the program accepts.

use std::{
    fs,
    path::{Path, PathBuf},
};

use clap::{Parser, error::ErrorKind};

use crate::args::Cli;

/// What a reader replaces in a command line, and a value for it.
const PLACEHOLDERS: [(&str, &str); 4] =
    [("COMMAND", "verify"), ("ADDR", "tcp:127.0.0.1:7000"), ("IP:PORT", "127.0.0.1:9100"), ("SHELL", "bash")];

/// Returns why the program does not accept a command line, given as in a shell; more commands may follow in a pipe.
pub(crate) fn rejection(text: &str) -> Option<String> {
    let words = words(text);
    let start = words.iter().position(|word| word == "ministore")?;
    let words = words[start..].iter().map(|word| {
        let value = PLACEHOLDERS.iter().find(|(name, _)| name == word).map_or(&**word, |(_, value)| value);
        value.replace(['…', '{', '}'], "1")
    });
    let error = Cli::try_parse_from(words).err()?;
    // The name of a command alone is no command line.
    let is_name = text.split(' ').count() <= 2;
    match error.kind() {
        ErrorKind::DisplayHelp | ErrorKind::DisplayVersion => None,
        ErrorKind::MissingRequiredArgument if is_name => None,
        _ => Some(format!("{text}: {error}")),
    }
}

/// Splits the first command of a shell line into words.
fn words(text: &str) -> Vec<String> {
    let mut words = vec![String::new()];
    let mut quote = None;
    let mut chars = text.chars().peekable();
    while let Some(c) = chars.next() {
        let is_start = words.last().is_some_and(String::is_empty);
        match (quote, c) {
            (Some(open), _) if c == open => quote = None,
            (None, '\'' | '"') => quote = Some(c),
            (None, '\\') => words.last_mut().unwrap().extend(chars.next()),
            (None, ' ') if !is_start => words.push(String::new()),
            (None, ' ') => {}
            // A pipe, a redirection or a comment; before the command they begin another one.
            (None, '|' | '&' | ';') if !words.iter().any(|word| word == "ministore") => {
                words.push(String::new());
            }
            (None, '|' | '&' | ';' | '>' | '<' | ')') => break,
            (None, '#') if is_start => break,
            _ => words.last_mut().unwrap().push(c),
        }
    }
    words.retain(|word| !word.is_empty());
    words
}

fn files(dir: &Path, extension: &str, found: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            files(&path, extension, found);
        } else if path.extension().is_some_and(|found| found == extension) {
            found.push(path);
        }
    }
}

fn assert_accepted(commands: &[(PathBuf, String)], at_least: usize) {
    let rejected: Vec<_> = commands
        .iter()
        .filter_map(|(path, command)| Some(format!("{}: {}", path.display(), rejection(command)?)))
        .collect();
    assert!(rejected.is_empty(), "{}", rejected.join("\n"));
    assert!(commands.len() >= at_least, "only {} command lines were found", commands.len());
}

/// Returns the parts of a line between two quotes that begin with one of these words.
fn quoted<'a>(line: &'a str, quote: char, beginnings: &[&str]) -> Vec<&'a str> {
    let mut found = Vec::new();
    for beginning in beginnings {
        for (at, _) in line.match_indices(&format!("{quote}{beginning}")) {
            let rest = &line[at + 1..];
            found.extend(rest.find(quote).map(|end| &rest[..end]));
        }
    }
    found
}

#[test]
fn printed_command_lines_are_accepted() {
    let mut sources = Vec::new();
    files(&Path::new(env!("CARGO_MANIFEST_DIR")).join("src"), "rs", &mut sources);
    let mut commands = Vec::new();
    for path in sources {
        let text = fs::read_to_string(&path).unwrap();
        // Messages are continued on the next line.
        let text = text.replace("\\\n", "").replace("\\\"", "\"");
        for line in text.lines().filter(|line| !line.trim_start().starts_with("//")) {
            for quote in ['`', '\''] {
                for found in quoted(line, quote, &["ministore "]) {
                    commands.push((path.clone(), found.split_whitespace().collect::<Vec<_>>().join(" ")));
                }
                for found in quoted(line, quote, &["--"]) {
                    commands.push((path.clone(), format!("ministore serve j -l tcp:h:1 {found}")));
                }
            }
            // An example of a help text.
            if line.starts_with("  ministore ") || line.starts_with("  producer | ministore ") {
                commands.push((path.clone(), line.trim_end_matches("\")]").to_owned()));
            }
        }
    }
    assert_accepted(&commands, 60);
}

#[test]
fn documented_command_lines_are_accepted() {
    let root = Path::new(env!("CARGO_MANIFEST_DIR")).join("../..");
    let mut pages = vec![root.join("README.md"), root.join("crates/ministore-cli/README.md")];
    files(&root.join("docs"), "md", &mut pages);
    files(&root.join("packaging"), "service", &mut pages);
    let mut commands = Vec::new();
    for path in pages {
        let text = fs::read_to_string(&path).unwrap().replace("\\\n", "");
        for line in text.lines() {
            let line = line.trim_start().trim_start_matches("$ ");
            let is_command = line.starts_with("ministore ") && !line.starts_with("ministore = ");
            let is_piped = line.contains("| ministore ") && !line.starts_with('|');
            if is_command || is_piped {
                commands.push((path.clone(), line.to_owned()));
            }
            let found = quoted(line, '`', &["ministore "]).into_iter();
            // Not the dependency in a Cargo.toml.
            let found = found.filter(|found| !found.starts_with("ministore = "));
            commands.extend(found.map(|found| (path.clone(), found.to_owned())));
        }
    }
    assert_accepted(&commands, 60);
}

#[test]
fn wrong_command_lines_are_rejected() {
    for text in ["ministore ingest j --no-write-ahead", "ministore nonsense", "ministore get j x | jq ."] {
        assert!(rejection(text).is_some(), "{text}");
    }
    for text in
        ["ministore get j 1 | jq .a", "A=1 ministore serve j -l 'fifo:a b' # note", "ministore verify"]
    {
        assert_eq!(rejection(text), None, "{text}");
    }
}
