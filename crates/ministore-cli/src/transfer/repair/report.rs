//! The report of a repair, for people and as JSON.

use std::path::PathBuf;

use serde_json::{Map, Value, json};

use super::{
    REMOVED_SUFFIX,
    lines::{Damage, Reason, RemovedTotals},
};
use crate::{
    exit::{CliError, is_quiet, warn},
    output,
    paths::with_suffix,
    transfer::import::Args,
    units,
};

impl Reason {
    /// The name in the file of removed bytes and in JSON.
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::ByteOrderMark => "byte_order_mark",
            Self::NulBytes => "nul_bytes",
            Self::Fragment => "fragment",
            Self::NotARecord => "not_a_record",
            Self::TooLong => "too_long",
        }
    }

    /// The name of one removed part, and of several.
    fn nouns(self) -> [&'static str; 2] {
        match self {
            Self::ByteOrderMark => ["byte order mark", "byte order marks"],
            Self::NulBytes => ["hole of NUL bytes", "holes of NUL bytes"],
            Self::Fragment => ["fragment", "fragments"],
            Self::NotARecord => ["value that no journal accepts", "values that no journal accepts"],
            Self::TooLong => ["too long line", "too long lines"],
        }
    }
}

/// What a repair found and did.
pub(super) struct RepairReport<'a> {
    pub(super) args: &'a Args,
    /// The file that was created.
    pub(super) target: Option<PathBuf>,
    pub(super) damage: &'a Damage,
}

impl RepairReport<'_> {
    pub(super) fn write(&self) -> Result<(), CliError> {
        if self.args.json {
            return output::json(&self.json());
        }
        if is_quiet() {
            return Ok(());
        }
        output::lines(self.lines())?;
        let fragments = self.damage.removed.get(&Reason::Fragment).map_or(0, |totals| totals.parts);
        if fragments > self.damage.records {
            let source = self.args.source.display();
            warn(format_args!(
                "{source}: more fragments than records: check that it contains one value per line ('jq -c' writes that)"
            ));
        }
        Ok(())
    }

    fn removed_file(&self) -> Option<PathBuf> {
        let target = self.target.as_ref().filter(|_| !self.damage.removed.is_empty());
        target.map(|target| with_suffix(target, REMOVED_SUFFIX))
    }

    fn lines(&self) -> Vec<String> {
        let damage = self.damage;
        let source = self.args.source.display();
        let records = units::counted(damage.records, "record");
        let first = match &self.target {
            Some(file) if self.args.in_place => {
                format!("{}: {records} repaired from {source}", file.display())
            }
            Some(journal) => format!("{}: {records} imported from {source}", journal.display()),
            None => format!("{source}: {records} in {}", units::counted(damage.lines, "line")),
        };
        let mut lines = vec![first];
        if damage.is_none() {
            lines.push("nothing to repair".to_owned());
        }
        let line_counts =
            [(damage.split_lines, "with more than one record"), (damage.crlf_lines, "ending in CR LF")];
        for (count, text) in line_counts.iter().filter(|(count, _)| *count > 0) {
            lines.push(format!("found: {} {text}", units::counted(*count, "line")));
        }
        for (reason, RemovedTotals { parts, bytes }) in &damage.removed {
            let noun = reason.nouns()[usize::from(*parts != 1)];
            let (parts, bytes) = (units::count(*parts), units::counted(*bytes, "byte"));
            lines.push(format!("found: {parts} {noun} ({bytes})"));
        }
        lines.extend(self.removed_file().map(|file| format!("removed bytes: {}", file.display())));
        lines
    }

    fn json(&self) -> Value {
        let Damage { lines, records, crlf_lines, split_lines, removed } = self.damage;
        let text = |path: &Option<PathBuf>| path.as_ref().map(|path| path.to_string_lossy().into_owned());
        let created = text(&self.target);
        let (journal, file) = if self.args.in_place { (None, created) } else { (created, None) };
        let all =
            [Reason::ByteOrderMark, Reason::NulBytes, Reason::Fragment, Reason::NotARecord, Reason::TooLong];
        let removed: Map<String, Value> = all
            .iter()
            .map(|reason| {
                let RemovedTotals { parts, bytes } = removed.get(reason).copied().unwrap_or_default();
                (reason.name().to_owned(), json!({ "parts": parts, "bytes": bytes }))
            })
            .collect();
        json!({
            "source": self.args.source.to_string_lossy(),
            "dry_run": self.args.dry_run,
            "sound": self.damage.is_none(),
            "journal": journal,
            "repaired_file": file,
            "removed_file": text(&self.removed_file()),
            "lines": lines,
            "records": records,
            "split_lines": split_lines,
            "crlf_lines": crlf_lines,
            "removed": removed,
        })
    }
}
