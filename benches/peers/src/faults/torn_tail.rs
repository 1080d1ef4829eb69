//! The last bytes of a killed writer's log are missing, zero, or garbage.

use std::{fs::OpenOptions, io, path::Path};

use fastrand::Rng;

use super::{
    Context, Fault, ONE_FILE,
    integrity::{IntegrityReport, SubmittedRecords},
    log_files::{self, LogFile},
    report::{OutcomeCounts, Table, normalized_words},
    template::{self, ReopenOutcome, WriterExit},
    wire::{Command, Reply},
};
use crate::log_under_test::LogKind;

const RECORDS: u64 = 30;

/// The longest damaged tail in bytes: the last records, and some earlier ones.
const MAX_TAIL_BYTES: u64 = 420;

#[derive(Debug, Clone, Copy)]
enum TailDamage {
    Removed,
    Zeroed,
    Garbage,
}

#[derive(Default)]
struct TornTailCounts {
    reopened: OutcomeCounts,
    error_messages: OutcomeCounts,
    earlier_lost: u64,
    earlier_lost_max: u64,
    invented: u64,
    later_append: OutcomeCounts,
}

pub const FAULT: Fault = Fault {
    id: "torn-tail",
    description: |context| {
        format!(
            "{RECORDS} acknowledged records, the writer killed; then the last N bytes of the log's data removed (the file \
             ends there), set to zero, or to random bytes (seed {}), for N from 1 to {MAX_TAIL_BYTES} in steps of {}. \
             *Earlier* records end before the tail. Then one more record is appended, acknowledged, and the log \
             opened once more.",
            context.seed,
            step(context)
        )
    },
    requirement: || Ok(()),
    test,
    notes: &[
        "The tail was acknowledged: losing it is caused by the damage, and no log promises to detect that its newest \
         records are missing as a whole. \"told\": the API of opening reports truncated or skipped data.",
    ],
};

fn test(context: &Context, kind: LogKind, table: &mut Table) -> io::Result<()> {
    let dir = context.create_dir("torn-tail", kind)?;
    let (whole, torn) = (dir.join("whole"), dir.join("torn"));
    template::write(kind, &whole, ONE_FILE, 1, RECORDS, WriterExit::Killed)?;
    let files = log_files::files_with_records(&whole, &template::records(1..=RECORDS))?;
    let newest = files.last().ok_or_else(|| io::Error::other("no file holds the records"))?;
    let mut counts = TornTailCounts::default();
    let mut random = Rng::with_seed(context.seed);
    let mut logs = 0;
    for tail in (1..=MAX_TAIL_BYTES).step_by(step(context)) {
        for damage in [TailDamage::Removed, TailDamage::Zeroed, TailDamage::Garbage] {
            super::remove(&torn)?;
            log_files::copy(&whole, &torn)?;
            let cut = newest.data_end.saturating_sub(tail);
            tear(&torn.join(&newest.name), cut, newest.data_end, damage, &mut random)?;
            let what = format!("tail of {tail} bytes {damage:?}");
            check_copy(kind, &torn, &submitted(newest, cut), &mut counts, table, &what)?;
            logs += 1;
        }
    }
    table.row(
        kind,
        [
            ("logs", logs.to_string()),
            ("opening and reading", counts.reopened.summary()),
            (
                "earlier records missing: logs (most in one)",
                format!("{} ({})", counts.earlier_lost, counts.earlier_lost_max),
            ),
            ("invented records", counts.invented.to_string()),
            ("after one more acknowledged append", counts.later_append.summary()),
            ("refused with", counts.error_messages.summary()),
        ],
    );
    Ok(())
}

fn step(context: &Context) -> usize {
    (MAX_TAIL_BYTES as usize / context.rounds.max(1) as usize).clamp(1, 20)
}

fn tear(path: &Path, cut: u64, end: u64, damage: TailDamage, random: &mut Rng) -> io::Result<()> {
    let bytes = usize::try_from(end - cut).map_err(io::Error::other)?;
    match damage {
        TailDamage::Removed => OpenOptions::new().write(true).open(path)?.set_len(cut),
        TailDamage::Zeroed => log_files::overwrite(path, cut, &vec![0; bytes]),
        TailDamage::Garbage => {
            let mut garbage = vec![0; bytes];
            random.fill(&mut garbage);
            log_files::overwrite(path, cut, &garbage)
        }
    }
}

/// Returns all records as submitted, and those as acknowledged whose successor starts before the cut.
fn submitted(newest: &LogFile, cut: u64) -> SubmittedRecords {
    let mut submitted = SubmittedRecords::default();
    submitted.all.extend((1..=RECORDS).map(|number| (0, number)));
    for pair in newest.places.windows(2) {
        if pair[1].start <= cut {
            submitted.add_acked(0, pair[0].number);
        }
    }
    submitted
}

fn check_copy(
    kind: LogKind,
    dir: &Path,
    submitted: &SubmittedRecords,
    counts: &mut TornTailCounts,
    table: &mut Table,
    what: &str,
) -> io::Result<()> {
    let (mut process, outcome) = template::open_and_read(kind, dir, ONE_FILE, submitted)?;
    counts.reopened.add(outcome.label());
    match outcome {
        ReopenOutcome::Read(_, report) => {
            count_violations(kind, &report, counts, table, what);
            let later_append = Command::Append { appender: 1, from: 1, count: 1, fill_bytes: 0 };
            let acked = process
                .execute(&later_append)
                .iter()
                .any(|event| matches!(event, super::child_process::ChildEvent::Reply(Reply::Acked(..))));
            drop(process.kill());
            counts.later_append.add(if acked {
                check_later_append(kind, dir, submitted, table, what)?
            } else {
                "not acknowledged"
            });
        }
        ReopenOutcome::Failed(error) => counts.error_messages.add(normalized_words(&error)),
        ReopenOutcome::Crashed(how) => table.record_violation(kind, format!("torn-tail: {what}: {how}")),
    }
    Ok(())
}

fn count_violations(
    kind: LogKind,
    report: &IntegrityReport,
    counts: &mut TornTailCounts,
    table: &mut Table,
    what: &str,
) {
    counts.earlier_lost += u64::from(report.missing > 0);
    counts.earlier_lost_max = counts.earlier_lost_max.max(report.missing);
    counts.invented += report.invented;
    if report.has_violations() {
        table.record_violation(kind, format!("torn-tail: {what}: {report:?}"));
    }
}

/// Checks the record that was acknowledged after the damaged log had been opened.
fn check_later_append(
    kind: LogKind,
    dir: &Path,
    submitted: &SubmittedRecords,
    table: &mut Table,
    what: &str,
) -> io::Result<&'static str> {
    let mut submitted = submitted.clone();
    submitted.add_acked(1, 1);
    let (_process, outcome) = template::open_and_read(kind, dir, ONE_FILE, &submitted)?;
    Ok(match outcome {
        ReopenOutcome::Read(_, report) if !report.has_violations() => "all there",
        ReopenOutcome::Read(_, report) => {
            table.record_violation(kind, format!("torn-tail: {what}, after another append: {report:?}"));
            if report.missing > 0 { "acknowledged records missing" } else { "invented records" }
        }
        ReopenOutcome::Failed(_) => {
            table.record_violation(kind, format!("torn-tail: {what}, after another append: refused"));
            "refused"
        }
        ReopenOutcome::Crashed(_) => "broke",
    })
}
