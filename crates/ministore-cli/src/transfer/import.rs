//! `ministore import`: creates a journal with checksums from another journal or from JSON lines.

use std::{
    fs::OpenOptions,
    io::{self, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use bytes::{Buf, Bytes};
use ministore_uring::{Header, JournalOptions, MiniStore, RawRecords, maintenance};
use serde_json::json;

use super::{atomic_file::AtomicFile, check_free, is_numbered, repair, verify};
use crate::{
    exit::{CliError, ExitStatus, info, is_quiet, warn},
    ingest::{
        bad_lines::BadLine,
        batch::BatchWriter,
        line::{self, LineError, LinePosition, RawLine},
    },
    input::Input,
    lines::{LineBlock, LineReader},
    output,
    paths::with_suffix,
    reader,
    signals::SignalHandler,
    store, suggest, units,
};

/// The largest record that any journal can contain.
const RECORD_BYTES_MAX: u64 = 1 << 30;

/// Create a journal with checksums from a plain journal or from JSON lines
///
/// SOURCE is a journal (of `ministore` 0.1.7, of `export`, or with checksums; all segments are read) or a file of JSON lines,
/// also compressed with gzip or Zstandard. It is only read. The new journal is created atomically and durably: it is written next to its name,
/// verified, its records are counted, and then it is renamed. The first bad line or damaged byte ends the import, and nothing
/// is left behind.
///
/// Records are numbered from 1. The new journal is one segment; later appends continue with segments of the usual size.
///
/// With `--repair`, SOURCE is a damaged file of JSON lines: records fused on one line, NUL bytes after a power cut, a torn last
/// line, interleaved writers, CR LF, byte order marks. Records are split where one ends and another one begins; everything that
/// is not a complete record is removed and saved with its place in NEW.removed, where NEW is the file that is created. SOURCE is
/// only read. Exits with 1 if anything was wrong.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore import old/journal.jsonl events.jsonl
  ministore import day1.ndjson.zst day1.jsonl && ministore inspect day1.jsonl
  ministore import events.jsonl whole.jsonl --header json
  ministore export events.jsonl plain.jsonl && ministore import plain.jsonl copy.jsonl
  ministore import --repair --dry-run damaged.jsonl
  ministore import --repair damaged.jsonl events.jsonl
  ministore import --repair --in-place damaged.jsonl    # writes damaged.repaired.jsonl

To append to an existing journal, or to read standard input, use ingest.")]
pub(crate) struct Args {
    /// The journal or file to read
    pub(crate) source: PathBuf,

    /// The journal to create; it must not exist
    #[arg(required_unless_present_any = ["dry_run", "in_place"])]
    pub(super) journal: Option<PathBuf>,

    /// Split and remove what is damaged, instead of stopping at the first bad line
    #[arg(long)]
    repair: bool,

    /// With --repair: report the damage, and write nothing
    #[arg(long, short = 'n', requires = "repair")]
    pub(super) dry_run: bool,

    /// With --repair: create a file of JSON lines next to SOURCE (NAME.repaired.EXTENSION) instead of a journal; SOURCE is not changed
    #[arg(long, requires = "repair", conflicts_with = "journal")]
    pub(super) in_place: bool,

    /// The first line of the segments
    #[arg(long, value_parser = store::header_parser(), default_value = "comment")]
    pub(crate) header: Header,

    /// Print the report as one JSON object
    #[arg(long)]
    pub(crate) json: bool,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    if args.source == Path::new("-") {
        let message = "import cannot read standard input";
        return Err(CliError::new(ExitStatus::Usage, message)
            .hint("append lines from standard input with 'ministore ingest JOURNAL'"));
    }
    match &args.journal {
        Some(journal) if !args.repair => copy_to(journal, args),
        _ => repair::run(args),
    }
}

fn copy_to(journal: &Path, args: &Args) -> Result<ExitStatus, CliError> {
    let signals = SignalHandler::listen(|| {})?;
    let mut source = Source::open(&args.source)?;
    check_free(journal, &args.source)?;
    let new_file = AtomicFile::create_next_to(journal, "import")?;
    let copied = fill(&new_file.file(), journal, args.header, |store| copy(store, &mut source, &signals))?;
    let Some(records) = copied else {
        info(format_args!("interrupted: {} was not created", journal.display()));
        return Ok(signals.received().unwrap_or(ExitStatus::Ok));
    };
    verify_copy(&new_file.file(), records, journal)?;
    claim(journal)?;
    new_file.publish()?;
    report(args, journal, &source, records)?;
    Ok(ExitStatus::Ok)
}

/// Creates the lock file of a journal whose name ends in a number: without it, it could be a rotated segment of another one.
pub(super) fn claim(journal: &Path) -> Result<(), CliError> {
    if !is_numbered(journal) {
        return Ok(());
    }
    let lock = with_suffix(journal, "lock");
    // A file that exists is not changed, and a symbolic link to nothing not followed.
    match OpenOptions::new().write(true).create_new(true).mode(0o600).open(&lock) {
        Err(error) if error.kind() == io::ErrorKind::AlreadyExists => Ok(()),
        created => created.map(drop).map_err(|error| CliError::create(&lock, &error)),
    }
}

/// Creates a journal at `path`, calls `copy` to fill it, and closes it. Errors name the requested journal.
pub(super) fn fill<T>(
    path: &Path,
    journal: &Path,
    header: Header,
    copy: impl FnOnce(&MiniStore) -> Result<T, CliError>,
) -> Result<T, CliError> {
    let failed = |error| CliError::store(journal, &error);
    let store = JournalOptions::new()
        .max_segment_bytes(u64::MAX)
        .max_record_bytes(RECORD_BYTES_MAX)
        .max_batch_bytes(RECORD_BYTES_MAX)
        .preallocate(false)
        .header(header)
        .open_blocking(path)
        .map_err(failed)?;
    let copied = copy(&store);
    // The journal must be closed before the directory is removed.
    let closed = store.blocking().close().map_err(failed);
    let copied = copied?;
    closed?;
    Ok(copied)
}

/// Copies all records and returns their number; `None` after a signal.
fn copy(store: &MiniStore, source: &mut Source, signals: &SignalHandler) -> Result<Option<u64>, CliError> {
    let mut writer = BatchWriter::new(store);
    loop {
        let is_more = source.push_next(&mut writer)?;
        // After the read, which may have waited.
        if signals.received().is_some() {
            return writer.flush().map(|()| None);
        }
        if !is_more {
            writer.flush()?;
            return Ok(Some(writer.durable().records));
        }
    }
}

/// Verifies the new journal.
pub(super) fn verify_copy(path: &Path, records: u64, journal: &Path) -> Result<(), CliError> {
    let found = maintenance::verify(path).map_err(|error| CliError::store(journal, &error))?;
    if found.records == records && found.faults.is_empty() && found.torn_tail.is_none() {
        return Ok(());
    }
    let (read, verified) = (units::counted(records, "record"), found.records);
    let reason = format_args!("{read} were read, but {verified} verify in the new journal");
    Err(CliError::about(journal, ExitStatus::Io, reason))
}

fn report(args: &Args, journal: &Path, source: &Source, records: u64) -> Result<(), CliError> {
    if args.json {
        return output::json(&json!({
            "source": args.source.to_string_lossy(),
            "source_first_seq": source.first_seq(),
            "journal": journal.to_string_lossy(),
            "records": records,
        }));
    }
    let (journal, from) = (journal.display(), args.source.display());
    if is_quiet() {
        return Ok(());
    }
    output::lines([format!("{journal}: {} imported from {from}", units::counted(records, "record"))])?;
    if let Some(first) = source.first_seq().filter(|&first| first > 1) {
        warn(format_args!("records are numbered from 1: record {first} of {from} is record 1 of {journal}"));
    }
    Ok(())
}

/// The source of the records.
enum Source {
    Journal { path: PathBuf, records: RawRecords, first_seq: Option<u64> },
    Ndjson(NdjsonRecords),
}

/// The lines of a file of JSON lines.
struct NdjsonRecords {
    input: Input,
    reader: LineReader<Box<dyn Read + Send>>,
    /// Lines that were read and not processed yet.
    block: Bytes,
    position: LinePosition,
    next_start: u64,
}

impl Source {
    /// A file without the header of a journal contains JSON lines.
    fn open(path: &Path) -> Result<Self, CliError> {
        if path.exists() && !suggest::is_journal(path) {
            let input = Input::File(path.to_owned());
            input.check()?;
            let source = input.open(|_| {}).map_err(|error| input.failure(&error))?;
            let reader = LineReader::new(source, line::LINE_BYTES_MAX);
            let position = LinePosition { number: 0, start: 0 };
            let lines = NdjsonRecords { input, reader, block: Bytes::new(), position, next_start: 0 };
            return Ok(Self::Ndjson(lines));
        }
        let found = verify(path)?;
        if let Some(tail) = &found.torn_tail {
            warn(format_args!("{tail} (torn tail, never acknowledged: not imported)"));
        }
        let records = reader::open(path)?.raw_records();
        Ok(Self::Journal { path: path.to_owned(), records, first_seq: found.first_seq() })
    }

    /// Returns the sequence number of its first record, if it is a journal.
    fn first_seq(&self) -> Option<u64> {
        if let Self::Journal { first_seq, .. } = self { *first_seq } else { None }
    }

    /// Adds the next record; returns `false` at the end. A record of a journal is copied as it is, even if a new record like it
    /// would be rejected; a line of JSON is checked as a new record.
    fn push_next(&mut self, writer: &mut BatchWriter<'_>) -> Result<bool, CliError> {
        match self {
            Self::Journal { path, records, .. } => {
                let failed = |error| CliError::store(path, &error);
                let Some(record) = records.next_record().map_err(failed)? else { return Ok(false) };
                writer.push_copy(&record)?.map_err(failed)?;
                Ok(true)
            }
            Self::Ndjson(lines) => lines.push_next(writer),
        }
    }
}

impl NdjsonRecords {
    /// Adds the next line that is not blank; returns `false` at the end.
    fn push_next(&mut self, writer: &mut BatchWriter<'_>) -> Result<bool, CliError> {
        while let Some((bytes, has_lf)) = self.next_line()? {
            let raw = RawLine { bytes: &bytes, number: self.position.number, has_lf };
            let pushed = match line::value(raw) {
                Ok(value) if value.is_empty() => continue,
                Ok(value) => {
                    let start = value.start;
                    writer.push(&bytes[value])?.map_err(|fault| fault.in_line(start))
                }
                Err(fault) => Err(fault),
            };
            return pushed.map(|()| true).map_err(|error| self.bad_line(&error));
        }
        Ok(false)
    }

    /// Returns the next line without its LF, and whether it had one. A line that is too long is an error.
    fn next_line(&mut self) -> Result<Option<(Bytes, bool)>, CliError> {
        self.position = LinePosition { number: self.position.number + 1, start: self.next_start };
        if self.block.is_empty() {
            match self.reader.next_block().map_err(|error| self.input.failure(&error))? {
                Some(LineBlock::Lines(block)) => self.block = block,
                Some(LineBlock::LongLine { .. }) => {
                    return Err(self.bad_line(&LineError::too_long(line::LINE_BYTES_MAX)));
                }
                None => return Ok(None),
            }
        }
        let end = memchr::memchr(b'\n', &self.block);
        let bytes = self.block.split_to(end.unwrap_or(self.block.len()));
        if end.is_some() {
            self.block.advance(1);
        }
        self.next_start += bytes.len() as u64 + u64::from(end.is_some());
        Ok(Some((bytes, end.is_some())))
    }

    fn bad_line(&self, error: &LineError) -> CliError {
        BadLine { input: &self.input, origin: "", position: self.position, error }.failure_of_import()
    }
}
