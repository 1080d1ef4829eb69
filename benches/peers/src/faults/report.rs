//! The outcomes of one fault, as a table and as JSON. Contains counts and the logs' own error messages only.

use std::fmt::Write;

use serde::Serialize;

use super::{Context, Fault};
use crate::{log_under_test::LogKind, versions};

#[derive(Debug, Clone, Serialize)]
pub struct TableRow {
    #[serde(rename = "contestant")]
    pub log: LogKind,
    pub cells: Vec<String>,
}

#[derive(Debug, Clone, Serialize)]
pub struct Table {
    /// The name on the command line.
    pub id: &'static str,
    pub fault: String,
    /// The headings of the cells, without the one of the log.
    pub columns: Vec<&'static str>,
    pub rows: Vec<TableRow>,
    /// Context for the reader: which behaviour is not promised, and by which log.
    pub notes: &'static [&'static str],
    pub not_tested: Option<String>,
    pub ours_broken: Vec<String>,
}

impl Table {
    pub fn new(fault: &Fault, context: &Context) -> Self {
        Self {
            id: fault.id,
            fault: (fault.description)(context),
            columns: Vec::new(),
            rows: Vec::new(),
            notes: &[],
            not_tested: None,
            ours_broken: Vec::new(),
        }
    }

    /// Adds the row of one log: the heading and the text of each cell. All rows have the same headings.
    pub fn row(&mut self, log: LogKind, cells: impl IntoIterator<Item = (&'static str, String)>) {
        let (columns, cells) = cells.into_iter().unzip();
        self.columns = columns;
        self.rows.push(TableRow { log, cells });
    }

    /// Records a violation if `kind` is ministore-uring.
    pub fn record_violation(&mut self, kind: LogKind, what: impl Into<String>) {
        if kind == LogKind::Ours {
            self.ours_broken.push(what.into());
        }
    }

    pub fn markdown(&self) -> String {
        let mut text = format!("### {}\n\n{}\n\n", self.id, self.fault);
        if let Some(why) = &self.not_tested {
            // Writing to a string cannot fail, neither here nor below.
            let _ = writeln!(text, "SKIPPED: {why}\n");
            return text;
        }
        let _ = writeln!(text, "| | {} |", self.columns.join(" | "));
        let _ = writeln!(text, "| --- |{}", " --- |".repeat(self.columns.len()));
        for row in &self.rows {
            let cells: Vec<String> = row.cells.iter().map(|cell| escaped(cell)).collect();
            let _ = writeln!(text, "| {} | {} |", row.log.name(), cells.join(" | "));
        }
        for note in self.notes {
            let _ = write!(text, "\n* {note}");
        }
        text.push_str(if self.notes.is_empty() { "\n" } else { "\n\n" });
        text
    }
}

/// Escapes a cell: it may contain an error message with any characters.
fn escaped(cell: &str) -> String {
    cell.replace('|', "\\|").replace('\n', " ")
}

/// Shortens an error message to the size of a cell; a path is reduced to its last part.
pub fn words(text: &str) -> String {
    const MAX: usize = 120;
    let mut plain = String::new();
    for word in text.split_inclusive(|letter: char| letter.is_whitespace() || "[]()\"'`,".contains(letter)) {
        // The directories of this program's logs and of a crate's sources are irrelevant.
        let shown = if word.starts_with('/') { word.rsplit('/').next().unwrap_or(word) } else { word };
        plain.extend(
            shown.chars().map(|letter| if letter.is_control() || letter == '`' { ' ' } else { letter }),
        );
    }
    let short: String = plain.chars().take(MAX).collect();
    if plain.chars().count() > MAX { format!("`{short}…`") } else { format!("`{short}`") }
}

/// Formats a message as [`words`] does, with every number, also a hexadecimal one, replaced by N, so that the same error
/// at another position is equal.
pub fn normalized_words(text: &str) -> String {
    let mut kind = String::new();
    for part in text.split_inclusive(|letter: char| !letter.is_alphanumeric()) {
        let word = part.trim_end_matches(|letter: char| !letter.is_alphanumeric());
        let is_hexadecimal = word.chars().all(|letter| letter.is_ascii_hexdigit());
        if is_hexadecimal && word.contains(|letter: char| letter.is_ascii_digit()) {
            kind.push('N');
            kind.push_str(&part[word.len()..]);
            continue;
        }
        for letter in part.chars() {
            match letter {
                '0'..='9' if kind.ends_with('N') => {}
                '0'..='9' => kind.push('N'),
                other => kind.push(other),
            }
        }
    }
    words(&kind)
}

/// Returns the versions, for the first lines of every report.
pub fn versions_line(kinds: &[LogKind]) -> String {
    let mut packages: Vec<&str> = kinds.iter().map(|kind| kind.package()).collect();
    packages.dedup();
    let named: Vec<String> =
        packages.iter().map(|package| format!("{package} {}", versions::of(package))).collect();
    named.join(", ")
}

/// Counts equal outcomes.
#[derive(Debug, Default)]
pub struct OutcomeCounts(std::collections::BTreeMap<String, u64>);

impl OutcomeCounts {
    pub fn add(&mut self, what: impl Into<String>) {
        *self.0.entry(what.into()).or_default() += 1;
    }

    /// Lists all outcomes, the most frequent first; a dash for none.
    pub fn summary(&self) -> String {
        let mut counts: Vec<(&String, &u64)> = self.0.iter().collect();
        counts.sort_by_key(|(what, count)| (std::cmp::Reverse(**count), (*what).clone()));
        let named: Vec<String> = counts.iter().map(|(what, count)| format!("{count} × {what}")).collect();
        if named.is_empty() { "-".to_string() } else { named.join("; ") }
    }
}

#[cfg(test)]
mod tests {
    use super::{normalized_words, words};

    #[test]
    fn path_is_shown_by_file_name_and_errors_by_kind() {
        assert_eq!(words("/tmp/x/journal: damaged at 7"), "`journal: damaged at 7`");
        assert_eq!(normalized_words("bad byte 170 of 2"), "`bad byte N of N`");
        assert_eq!(normalized_words("crc32: expected 1f00a, got bad7"), "`crcN: expected N, got N`");
        assert_eq!(words("error [/home/a/src/util.rs:12]: no"), "`error [util.rs:12]: no`");
    }
}
