//! `ministore backup`: copies a journal, which may be open for writing, to a directory.

use std::path::{Path, PathBuf};

use ministore_uring::{
    MiniStoreError,
    maintenance::{self, BackupMode, BackupReport},
};
use serde_json::json;

use crate::{
    exit::{CliError, ExitStatus, is_quiet},
    json::JournalReport,
    output, ownership, units,
};

/// Back up a journal, also while it is open for writing, to a directory
///
/// DIRECTORY then contains a journal of the same name: sound, closed, with all records that were durable at the start, their numbers,
/// and the holds. Rotated segments, which never change, become hard links on the same file system, otherwise reflinks or copies;
/// the active segment is always a copy. Every file is synced and verified before it gets its name.
///
/// The same command again adds what is new; it also continues after an interruption, which loses nothing of the backup that is
/// there. Segments that the journal has deleted stay in the backup. Segments that are there are not read again: check them with
/// `verify`. A damaged journal is not backed up.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore backup events.jsonl /backup/events
  ministore backup events.jsonl /backup/events --json | jq .last_seq
  ministore verify /backup/events/events.jsonl
  ministore restore /backup/events/events.jsonl events.jsonl")]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// The directory of the backup; created if it is missing
    directory: PathBuf,

    /// Copy every segment: no hard links and no reflinks, which share the bytes on the disk with the journal
    #[arg(long)]
    copy: bool,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let mode = if args.copy { BackupMode::Copy } else { BackupMode::Share };
    ownership::check_journal_name(&args.directory.join(args.journal.file_name().unwrap_or_default()))?;
    let report = maintenance::backup(&args.journal, &args.directory, mode).map_err(|error| {
        let failure = CliError::store(&args.journal, &error);
        match error {
            MiniStoreError::NotOwned { .. } => {
                failure.hint("nothing in the directory was changed: name another directory")
            }
            _ => failure,
        }
    })?;
    print(&args.journal, "backed up", &report, args.json)?;
    Ok(ExitStatus::Ok)
}

/// Prints the report of a backup or a restoration.
pub(crate) fn print(source: &Path, verb: &str, report: &BackupReport, is_json: bool) -> Result<(), CliError> {
    if is_json {
        let counts = json!({ "records": report.records(), "segments": report.segments() });
        return output::json(&JournalReport::new(source, counts, report));
    }
    if is_quiet() {
        return Ok(());
    }
    let records = match report.records() {
        0 => "no records".to_owned(),
        1 => format!("record {}", report.last_seq),
        _ => format!("records {}–{}", report.first_seq, report.last_seq),
    };
    let methods = [
        (report.linked, "linked"),
        (report.reflinked, "reflinked"),
        (report.copied, "copied"),
        (report.kept, "there already"),
    ];
    let methods = methods.into_iter().filter(|(count, _)| *count > 0);
    let methods: Vec<_> = methods.map(|(count, how)| format!("{} {how}", units::count(count))).collect();
    let segments = units::counted(report.segments(), "segment");
    output::lines([format!(
        "{}: {records} {verb} from {}; {segments}: {}",
        report.path.display(),
        source.display(),
        methods.join(", ")
    )])
}
