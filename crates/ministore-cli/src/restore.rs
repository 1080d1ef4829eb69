//! `ministore restore`: creates a journal from a backup.

use std::path::PathBuf;

use ministore_uring::maintenance;

use crate::{
    backup,
    exit::{CliError, ExitStatus},
    ownership,
};

/// Restore a journal from a backup
///
/// BACKUP is the journal in the directory that `backup` wrote, or any other journal that is not open for writing. It is verified and
/// only read. The new journal has its records, their numbers and its holds; its files are copies (reflinks where the file
/// system can), never hard links.
///
/// Until the last file has its name, JOURNAL cannot be opened for writing, reading it ends with an error, and the same command
/// again continues. An existing journal is never changed.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore restore /backup/events/events.jsonl events.jsonl
  ministore restore /backup/events/events.jsonl new.jsonl && ministore tail new.jsonl")]
pub(crate) struct Args {
    /// The journal to copy
    pub(crate) backup: PathBuf,

    /// The journal to create; it must not exist
    journal: PathBuf,

    /// Print one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    ownership::check_journal_name(&args.journal)?;
    let report = maintenance::restore(&args.backup, &args.journal)
        .map_err(|error| CliError::store(&args.backup, &error))?;
    backup::print(&args.backup, "restored", &report, args.json)?;
    Ok(ExitStatus::Ok)
}
