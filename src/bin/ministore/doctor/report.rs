//! Owns what `doctor` tells: for people, and as JSON.

use serde_json::{Value, json};

use super::{
    Examined,
    finding::{self, Finding, Level},
    measure::{Measured, SIZES},
    recommend::Recommendation,
};
use crate::{
    exit::Failure,
    latency::{self, Point},
    output, units,
};

const POINTS: [Point; 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];

/// As wide as the longest check is named.
const CHECK_WIDTH: usize = 18;

pub(super) fn print(examined: &Examined) -> Result<(), Failure> {
    let mut lines: Vec<String> = examined.findings.iter().flat_map(finding_lines).collect();
    lines.extend(table(&examined.measured));
    lines.extend(recommended(&examined.recommended));
    lines.push(String::new());
    lines.push(verdict(&examined.findings));
    // Names come from the file system: none of them may move the cursor of a terminal.
    output::lines(lines.iter().map(|line| line.replace(char::is_control, "\u{fffd}")))
}

fn finding_lines(finding: &Finding) -> Vec<String> {
    let indent = " ".repeat(9 + CHECK_WIDTH + 2);
    let mut lines =
        vec![format!("{:7}  {:CHECK_WIDTH$}  {}", finding.level.name(), finding.check, finding.found)];
    lines.extend(finding.why.iter().map(|why| format!("{indent}why: {why}")));
    lines.extend(finding.advice.iter().map(|advice| format!("{indent}do: {advice}")));
    lines
}

fn table(measured: &[Measured]) -> Vec<String> {
    if measured.is_empty() {
        return Vec::new();
    }
    let heading =
        SIZES.map(|bytes| format!("{:>10}  {:>10}  {:>8}", units::bytes(bytes as u64), "p99", "a second"));
    let mut lines = vec![String::new(), format!("{:30}  {}", "a write of (median)", heading.join("  "))];
    for figures in measured.chunks(SIZES.len()) {
        let Some(first) = figures.first() else { continue };
        let cells: Vec<_> = figures.iter().map(cell).collect();
        lines.push(format!("{:30}  {}", first.way, cells.join("  ")).trim_end().to_owned());
    }
    lines
}

fn cell(one: &Measured) -> String {
    match (&one.refused, one.median()) {
        (None, Some(median)) => {
            let worst = one.latency.value_at_quantile(0.99).min(one.latency.max());
            let rate = units::count(units::rate(one.latency.len(), one.took.as_secs_f64()));
            format!("{:>10}  {:>10}  {rate:>8}", units::nanos(median), units::nanos(worst))
        }
        (Some(refused), _) => format!("{refused:>32}"),
        (None, None) => format!("{:>32}", "-"),
    }
}

fn recommended(recommended: &[Recommendation]) -> Vec<String> {
    let line = |one: &Recommendation| match &one.flag {
        Some(flag) => format!("  {flag} (`{}`): {}", one.option, one.why),
        None => format!("  `{}`: {}", one.option, one.why),
    };
    let mut lines = Vec::new();
    if !recommended.is_empty() {
        lines.extend([String::new(), "recommended".to_owned()]);
        lines.extend(recommended.iter().map(line));
    }
    lines
}

fn verdict(findings: &[Finding]) -> String {
    let counted = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let [notes, warnings, problems] = [Level::Note, Level::Warning, Level::Problem].map(counted);
    match finding::verdict(findings) {
        Level::Ok => "all is well".to_owned(),
        Level::Note => format!("all is well; {}", units::counted(notes, "note")),
        Level::Warning | Level::Problem => {
            let [problems, warnings] =
                [(problems, "problem"), (warnings, "warning")].map(|(n, noun)| units::counted(n, noun));
            format!("{problems}, {warnings}, {}", units::counted(notes, "note"))
        }
    }
}

pub(super) fn print_json(examined: &Examined) -> Result<(), Failure> {
    output::json(&json!({
        "directory": examined.directory.to_string_lossy(),
        "verdict": finding::verdict(&examined.findings),
        "machine": examined.machine,
        "file_system": examined.file_system,
        "device": examined.device,
        "room": examined.room,
        "sync_mode": examined.sync_mode.map(|mode| mode.to_string()),
        "checks": examined.findings,
        "measured": examined.measured.iter().map(figures).collect::<Vec<_>>(),
        "recommended": examined.recommended,
    }))
}

fn figures(one: &Measured) -> Value {
    json!({
        "way": one.way,
        "durable": one.durable,
        "bytes": one.bytes,
        "writes": one.latency.len(),
        "writes_per_second": units::ratio(one.latency.len(), one.took.as_secs_f64()),
        "latency_us": latency::json(&one.latency, &POINTS),
        "refused": one.refused,
    })
}
