//! Owns `ministore inspect`: a table of a journal's segments.

use std::path::PathBuf;

use ministore_uring::maintenance::{self, Examination, Segment};
use serde_json::json;

use crate::{
    exit::{Code, Failure},
    json, output, units,
};

/// Show the segments of a journal: what each holds, how large it is, and in what state
///
/// Reads the whole journal and writes nothing. The last row is the active segment, the one that is written to.
/// `groups` is the number of commits that made the records durable. `state` is: closed (complete), open (in use,
/// or cut off while in use), torn tail (ends in a group that was never acknowledged), damaged (see `verify`). Below it
/// stand the holds: the records that retention keeps for somebody.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore inspect events.jsonl
  ministore inspect events.jsonl --json | jq '.segments[] | select(.state == \"damaged\") | .file'")]
pub(crate) struct Args {
    /// The journal
    journal: PathBuf,

    /// One JSON object instead of a table
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let found = maintenance::examine(&args.journal).map_err(|error| Failure::store(&args.journal, &error))?;
    if args.json {
        output::json(&as_json(args, &found))?
    } else {
        output::lines(table(&found).into_iter().chain(holds(&found)))?
    }
    Ok(Code::Ok)
}

fn as_json(args: &Args, found: &Examination) -> serde_json::Value {
    json!({
        "journal": args.journal.to_string_lossy(),
        "records": found.records,
        "groups": found.groups,
        "file_bytes": file_bytes(found),
        "first_seq": found.first_seq(),
        "holds": found.holds,
        "segments": found.segments.iter().map(json::segment).collect::<Vec<_>>(),
        "faults": json::faults(&found.faults),
        "torn_tail": found.torn_tail.as_ref().map(json::fault),
    })
}

fn file_bytes(found: &Examination) -> u64 {
    found.segments.iter().map(|segment| segment.file_bytes).sum()
}

/// Below the table: who holds which records.
fn holds(found: &Examination) -> impl Iterator<Item = String> {
    let hold = |(name, seq): (&String, &u64)| format!("hold {name}: from record {}", units::count(*seq));
    found.holds.iter().map(hold)
}

const HEADINGS: [&str; 7] = ["segment", "records", "sequence", "groups", "bytes", "seals", "state"];

fn table(found: &Examination) -> Vec<String> {
    let mut rows = vec![HEADINGS.map(str::to_owned)];
    rows.extend(found.segments.iter().map(row));
    rows.push(totals(found));
    let width = |column: usize| rows.iter().map(|row| row[column].chars().count()).max().unwrap_or(0);
    let widths: [usize; 7] = std::array::from_fn(width);
    rows.iter().map(|row| align(row, &widths)).collect()
}

fn row(segment: &Segment) -> [String; 7] {
    let name = segment.path.file_name().unwrap_or(segment.path.as_os_str());
    let sequence = match (segment.first_seq, segment.last_seq) {
        (Some(first), Some(last)) => format!("{first}–{last}"),
        _ => "-".to_owned(),
    };
    [
        name.to_string_lossy().into_owned(),
        units::count(segment.records),
        sequence,
        units::count(segment.groups),
        units::count(segment.file_bytes),
        if segment.sealed { "sealed" } else { "plain" }.to_owned(),
        segment.state.to_string(),
    ]
}

fn totals(found: &Examination) -> [String; 7] {
    [
        "total".to_owned(),
        units::count(found.records),
        String::new(),
        units::count(found.groups),
        units::count(file_bytes(found)),
        String::new(),
        String::new(),
    ]
}

/// Numbers to the right, words to the left.
fn align(row: &[String; 7], widths: &[usize; 7]) -> String {
    let numeric = [false, true, true, true, true, false, false];
    let cells = row.iter().zip(widths).zip(numeric).map(|((cell, &width), numeric)| {
        if numeric { format!("{cell:>width$}") } else { format!("{cell:width$}") }
    });
    cells.collect::<Vec<_>>().join("  ").trim_end().to_owned()
}
