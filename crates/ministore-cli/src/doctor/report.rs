//! Prints the report of `doctor` as text and as JSON.

use serde_json::{Value, json};

use super::{
    DoctorReport,
    finding::{self, Finding, Level},
    measure::{Measurement, SIZES},
    recommend::Recommendation,
};
use crate::{
    exit::CliError,
    latency::{self, Percentile},
    output, units,
};

const PERCENTILES: [Percentile; 3] = [("p50", 0.5), ("p99", 0.99), ("max", 1.0)];

/// The width of the longest check name.
const CHECK_WIDTH: usize = 18;

pub(super) fn print(report: &DoctorReport) -> Result<(), CliError> {
    let mut lines: Vec<String> = report.findings.iter().flat_map(finding_lines).collect();
    lines.extend(table(&report.measured));
    lines.extend(recommended(report));
    lines.push(String::new());
    lines.push(verdict(&report.findings));
    output::lines(lines)
}

fn finding_lines(finding: &Finding) -> Vec<String> {
    let indent = " ".repeat(9 + CHECK_WIDTH + 2);
    let mut lines =
        vec![format!("{:7}  {:CHECK_WIDTH$}  {}", finding.level.name(), finding.check, finding.message)];
    lines.extend(finding.detail.iter().map(|detail| format!("{indent}{detail}")));
    lines.extend(finding.remedy.iter().map(|remedy| format!("{indent}remedy: {remedy}")));
    lines
}

fn table(measured: &[Measurement]) -> Vec<String> {
    if measured.is_empty() {
        return Vec::new();
    }
    let heading =
        SIZES.map(|bytes| format!("{:>10}  {:>10}  {:>8}", units::bytes(bytes as u64), "p99", "writes/s"));
    let mut lines = vec![String::new(), format!("{:30}  {}", "method (median)", heading.join("  "))];
    for figures in measured.chunks(SIZES.len()) {
        let Some(first) = figures.first() else { continue };
        let cells: Vec<_> = figures.iter().map(cell).collect();
        lines.push(format!("{:30}  {}", first.method, cells.join("  ")).trim_end().to_owned());
    }
    lines
}

fn cell(one: &Measurement) -> String {
    match (&one.error, one.median()) {
        (None, Some(median)) => {
            let worst = latency::value_at(&one.latency, 0.99);
            let rate = units::count(units::rate(one.latency.len(), one.took.as_secs_f64()));
            format!("{:>10}  {:>10}  {rate:>8}", units::nanos(median), units::nanos(worst))
        }
        (Some(error), _) => format!("{error:>32}"),
        (None, None) => format!("{:>32}", "-"),
    }
}

fn recommended(report: &DoctorReport) -> Vec<String> {
    let line = |one: &Recommendation| match &one.flag {
        Some(flag) => format!("  {flag} (`{}`): {}", one.option, one.reason),
        None => format!("  `{}`: {}", one.option, one.reason),
    };
    let mut lines = Vec::new();
    if !report.recommended.is_empty() {
        lines.extend([String::new(), "recommendations".to_owned()]);
        lines.extend(report.recommended.iter().map(line));
        lines.extend(report.command().map(|command| format!("  all flags together: {command}")));
    }
    lines
}

fn verdict(findings: &[Finding]) -> String {
    let counted = |level| findings.iter().filter(|finding| finding.level == level).count() as u64;
    let [notes, warnings, problems] = [Level::Note, Level::Warning, Level::Problem].map(counted);
    match finding::verdict(findings) {
        Level::Ok => "no problems found".to_owned(),
        Level::Note => format!("no problems found; {}", units::counted(notes, "note")),
        Level::Warning | Level::Problem => {
            let [problems, warnings] =
                [(problems, "problem"), (warnings, "warning")].map(|(n, noun)| units::counted(n, noun));
            format!("{problems}, {warnings}, {}", units::counted(notes, "note"))
        }
    }
}

pub(super) fn print_json(report: &DoctorReport) -> Result<(), CliError> {
    output::json(&json!({
        "directory": report.directory.to_string_lossy(),
        "verdict": finding::verdict(&report.findings),
        "host": report.host,
        "file_system": report.file_system,
        "device": report.device,
        "space": report.space,
        "sync_mode": report.sync_mode,
        "checks": report.findings,
        "measurements": report.measured.iter().map(figures).collect::<Vec<_>>(),
        "recommendations": report.recommended,
        "command": report.command(),
    }))
}

fn figures(one: &Measurement) -> Value {
    json!({
        "method": one.method,
        "durable": one.durable,
        "bytes": one.bytes,
        "writes": one.latency.len(),
        "writes_per_second": units::ratio(one.latency.len(), one.took.as_secs_f64()),
        "latency_us": latency::percentiles(&one.latency, &PERCENTILES, 1e3),
        "error": one.error,
    })
}
