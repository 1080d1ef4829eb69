//! What a fault did to each contestant, as a table and as JSON. Counts and the contestants' own words, nothing else.

use std::fmt::Write;

use serde::Serialize;

use crate::{contestant::Kind, versions};

/// One contestant's row.
#[derive(Debug, Clone, Serialize)]
pub struct Row {
    /// Who.
    pub contestant: Kind,
    /// One cell a column of the table.
    pub cells: Vec<String>,
}

/// What one fault did.
#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// The letter and name on the command line.
    pub id: &'static str,
    /// What was done to the logs.
    pub fault: String,
    /// What the cells say, without the contestant's.
    pub columns: Vec<&'static str>,
    /// One row a contestant.
    pub rows: Vec<Row>,
    /// What a reader has to know to judge: what is not promised, and by whom.
    pub notes: Vec<String>,
    /// Why it was not run here, if it was not.
    pub not_tested: Option<String>,
    /// What `ministore-uring` did that it must not do.
    pub ours_broken: Vec<String>,
}

impl Table {
    /// An empty one.
    #[must_use]
    pub fn new(id: &'static str, fault: impl Into<String>, columns: &[&'static str]) -> Self {
        Self {
            id,
            fault: fault.into(),
            columns: columns.to_vec(),
            rows: Vec::new(),
            notes: Vec::new(),
            not_tested: None,
            ours_broken: Vec::new(),
        }
    }

    /// Adds a contestant's row.
    pub fn row(&mut self, contestant: Kind, cells: Vec<String>) {
        debug_assert_eq!(cells.len(), self.columns.len(), "a cell a column");
        self.rows.push(Row { contestant, cells });
    }

    /// Notes what `kind` must not do, if it is ours.
    pub fn blame(&mut self, kind: Kind, what: impl Into<String>) {
        if kind == Kind::Ours {
            self.ours_broken.push(what.into());
        }
    }

    /// As Markdown.
    #[must_use]
    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n{}\n\n", self.id, self.fault);
        if let Some(why) = &self.not_tested {
            // Writing to a string cannot fail; so below.
            let _ = writeln!(text, "SKIPPED: {why}\n");
            return text;
        }
        let _ = writeln!(text, "| | {} |", self.columns.join(" | "));
        let _ = writeln!(text, "| --- |{}", " --- |".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: Vec<String> = row.cells.iter().map(|cell| escaped(cell)).collect();
            let _ = writeln!(text, "| {} | {} |", row.contestant.name(), cells.join(" | "));
        }
        for note in &self.notes {
            let _ = write!(text, "\n* {note}");
        }
        text.push_str(if self.notes.is_empty() { "\n" } else { "\n\n" });
        text
    }
}

/// A cell may hold a contestant's error, which may hold anything.
fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|").replace('\n', " ")
}

/// A contestant's words, cut to what a cell can hold; of a path, the last part.
#[must_use]
pub fn words(text: &str) -> String {
    const MAX: usize = 120;
    let mut plain = String::new();
    for word in text.split_inclusive(|letter: char| letter.is_whitespace() || "[]()\"'`,".contains(letter)) {
        // Where this program keeps its logs, or a crate its source, is no news.
        let shown = if word.starts_with('/') { word.rsplit('/').next().unwrap_or(word) } else { word };
        plain.extend(
            shown.chars().map(|letter| if letter.is_control() || letter == '`' { ' ' } else { letter }),
        );
    }
    let short: String = plain.chars().take(MAX).collect();
    if plain.chars().count() > MAX { format!("`{short}…`") } else { format!("`{short}`") }
}

/// As [`words`], every number told as N: the same error at another place is the same.
#[must_use]
pub fn kind_of_words(text: &str) -> String {
    let mut kind = String::new();
    for letter in text.chars() {
        match letter {
            '0'..='9' if kind.ends_with('N') => {}
            '0'..='9' => kind.push('N'),
            other => kind.push(other),
        }
    }
    words(&kind)
}

/// The versions, as the first lines of every report.
#[must_use]
pub fn versions_line(kinds: &[Kind]) -> String {
    let mut packages: Vec<&str> = kinds.iter().map(|kind| kind.package()).collect();
    packages.dedup();
    let named: Vec<String> =
        packages.iter().map(|package| format!("{package} {}", versions::of(package))).collect();
    named.join(", ")
}

/// Counts the same answers.
#[derive(Debug, Default)]
pub struct Tally(std::collections::BTreeMap<String, u64>);

impl Tally {
    /// Counts one.
    pub fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// All of them, the most frequent first; a dash for none.
    #[must_use]
    pub fn told(&self) -> String {
        let mut counts: Vec<(&String, &u64)> = self.0.iter().collect();
        counts.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), (*what).clone()));
        let named: Vec<String> = counts.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        if named.is_empty() { "-".to_string() } else { named.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::{kind_of_words, words};

    #[test]
    fn path_is_shown_by_file_name_and_errors_by_kind() {
        assert_eq!(words("/tmp/x/journal: damaged at 7"), "`journal: damaged at 7`");
        assert_eq!(kind_of_words("bad byte 170 of 2"), "`bad byte N of N`");
        assert_eq!(words("error [/home/a/src/util.rs:12]: no"), "`error [util.rs:12]: no`");
    }
}
