//! `ministore export`: writes the records of a journal as a plain journal, which `ministore` 0.1.7 reads and appends to, or as
//! JSON lines.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ministore_uring::Reader;
use serde_json::{json, value::RawValue};

use super::{atomic_file::AtomicFile, check_free, check_no_file};
use crate::{
    exit::{CliError, ExitStatus, info, is_quiet, warn},
    output,
    ownership::Ownership,
    reader,
    signals::SignalHandler,
    units,
};

/// The header of a plain journal, without sequence numbers and seals.
const HEADER: &[u8] = b"// MINISTORE JOURNAL v0.1.4\n";

const BUFFER_BYTES: usize = 256 * 1024;

/// Write the records of a journal to a plain journal or to a file of JSON lines
///
/// A plain journal is one file without checksums, in the format of `ministore` 0.1.7, which can read it and append to it. With
/// `--lines` the file contains only the records, one JSON line each. Every checksum is verified on the way. The file is created
/// atomically and durably, readable by its owner only (0600), and never replaces another file. The journal may be open for
/// writing: all records that are durable when its end is reached are exported.
///
/// A plain journal stores no sequence numbers: its records are numbered from 1, even if the oldest records of the journal were
/// deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore export events.jsonl plain.jsonl
  ministore export events.jsonl --lines events.ndjson
  ministore export events.jsonl - | ssh backup 'cat > events.jsonl'")]
pub(crate) struct Args {
    /// The journal
    pub(crate) journal: PathBuf,

    /// The file to create; it must not exist. `-`: standard output
    file: PathBuf,

    /// Write only the records, without the header line of a journal
    #[arg(long)]
    lines: bool,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let reader = reader::open_existing(&args.journal)?;
    if args.file == Path::new("-") {
        return to_stdout(args, &reader);
    }
    // A file next to another journal would become one of its segments.
    Ownership::of_journal(&args.journal).check_name(&args.file)?;
    if args.lines {
        check_no_file(&args.file)?
    } else {
        check_free(&args.file, &args.journal)?
    }
    let signals = SignalHandler::listen(|| {})?;
    let new_file = AtomicFile::create_next_to(&args.file, "export")?;
    let Some(copied) = to_file(args, &reader, &new_file.file(), &signals)? else {
        info(format_args!("interrupted: {} was not created", args.file.display()));
        return Ok(signals.received().unwrap_or(ExitStatus::Ok));
    };
    new_file.publish()?;
    report(args, copied)?;
    Ok(ExitStatus::Ok)
}

/// The records that were copied.
#[derive(Debug, Clone, Copy, Default)]
struct CopyTotals {
    records: u64,
    first_seq: Option<u64>,
}

fn to_stdout(args: &Args, reader: &Reader) -> Result<ExitStatus, CliError> {
    if args.json {
        let message = "--json cannot be combined with records on standard output";
        return Err(CliError::new(ExitStatus::Usage, message).hint("name a file, or leave out --json"));
    }
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let copied = copy(args, reader, &mut out, || false, CliError::output);
    // Records before an error are written before the error is reported.
    out.flush().map_err(CliError::output)?;
    if let Some(copied) = copied? {
        warn_about_numbers(args, copied);
    }
    Ok(ExitStatus::Ok)
}

/// Returns `None` after a signal.
fn to_file(
    args: &Args,
    reader: &Reader,
    path: &Path,
    signals: &SignalHandler,
) -> Result<Option<CopyTotals>, CliError> {
    let failed = |error: io::Error| CliError::file(&args.file, "write", &error);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let copied = copy(args, reader, &mut out, || signals.received().is_some(), failed)?;
    let synced =
        out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file: File| file.sync_all());
    synced.map_err(failed)?;
    Ok(copied)
}

fn copy(
    args: &Args,
    reader: &Reader,
    out: &mut impl Write,
    ended: impl Fn() -> bool,
    failed: impl Fn(io::Error) -> CliError,
) -> Result<Option<CopyTotals>, CliError> {
    let unread = |error| CliError::store(&args.journal, &error);
    let mut records = reader.raw_records();
    let mut copied = CopyTotals::default();
    if !args.lines {
        out.write_all(HEADER).map_err(&failed)?;
    }
    while let Some(raw) = records.next_record().map_err(unread)? {
        if ended() {
            return Ok(None);
        }
        let record: &RawValue = raw.parse().map_err(unread)?;
        out.write_all(record.get().as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(&failed)?;
        copied.records += 1;
        copied.first_seq.get_or_insert(raw.seq);
    }
    Ok(Some(copied))
}

fn report(args: &Args, copied: CopyTotals) -> Result<(), CliError> {
    if args.json {
        return output::json(&json!({
            "journal": args.journal.to_string_lossy(),
            "journal_first_seq": copied.first_seq,
            "file": args.file.to_string_lossy(),
            "format": if args.lines { "lines" } else { "plain" },
            "records": copied.records,
        }));
    }
    let (file, journal) = (args.file.display(), args.journal.display());
    if is_quiet() {
        return Ok(());
    }
    output::lines([format!("{file}: {} exported from {journal}", units::counted(copied.records, "record"))])?;
    warn_about_numbers(args, copied);
    Ok(())
}

/// Warns if the sequence numbers changed.
fn warn_about_numbers(args: &Args, copied: CopyTotals) {
    let moved = copied.first_seq.filter(|&first| first > 1 && !args.lines);
    if let Some(first) = moved {
        let (journal, file) = (args.journal.display(), args.file.display());
        warn(format_args!(
            "records of a plain journal are numbered from 1: record {first} of {journal} is record 1 of {file}"
        ));
    }
}
