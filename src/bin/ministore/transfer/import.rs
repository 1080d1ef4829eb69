//! Owns `ministore import`: a journal of another make, or lines of JSON, as a new journal with seals.

use std::{
    ffi::OsStr,
    fs::OpenOptions,
    io::{BufRead, BufReader, Read},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ministore_uring::{JournalOptions, Lines, MiniStore, maintenance};
use serde_json::json;

use super::{check_free, examine, scratch::Scratch};
use crate::{
    exit::{Code, Failure, note, warn},
    ingest::{batch::Batches, input::Input, line},
    nearby, output,
    signals::Interrupts,
    units,
};

/// As large as a record can be in any journal: what was written elsewhere is taken as it is.
const RECORD_BYTES_MAX: u64 = 1 << 30;

/// Make a new journal, with seals, of a plain journal or of lines of JSON
///
/// SOURCE is a journal (of `ministore` 0.1.7, of `export`, one with seals: all its segments are read) or a file of JSON
/// lines, `.gz` and `.zst` too. It is only read. The new journal is there whole and durable, or not at all: it is made
/// beside its name, every seal in it is checked, its records are counted, and only then does it get the name.
/// Whatever is wrong with the source, the first bad line or damaged byte ends the import, and leaves nothing behind.
///
/// Records are numbered from 1. The journal begins as one segment; whoever appends to it goes on with segments of the
/// usual size.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore import old/journal.jsonl events.jsonl
  ministore import day1.ndjson.zst day1.jsonl && ministore inspect day1.jsonl
  ministore export events.jsonl plain.jsonl && ministore import plain.jsonl copy.jsonl

To add lines to a journal that is there, or from standard input, use ingest.")]
pub(crate) struct Args {
    /// What to read
    source: PathBuf,

    /// The journal to make; it must not exist
    journal: PathBuf,

    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    if args.source == Path::new("-") {
        let message = "-: an import reads a file, from its start to its end";
        return Err(Failure::new(Code::Usage, message)
            .hint("lines from standard input go where 'ministore ingest' is told"));
    }
    let interrupts = Interrupts::listen(|| {})?;
    let mut source = Source::open(&args.source)?;
    check_free(&args.journal, &args.source)?;
    let scratch = Scratch::beside(&args.journal, "import")?;
    let Some(records) = fill(&scratch.file(), &mut source, &interrupts, args)? else {
        note(format_args!("interrupted: {} was not made", args.journal.display()));
        return Ok(interrupts.raised().unwrap_or(Code::Ok));
    };
    verify(&scratch.file(), records, args)?;
    claim(&args.journal)?;
    scratch.publish()?;
    report(args, &source, records)?;
    Ok(Code::Ok)
}

/// A journal whose name ends in a number could be a rotated segment of another one: its lock file says that it is not.
fn claim(journal: &Path) -> Result<(), Failure> {
    let is_number = |extension: &OsStr| extension.as_encoded_bytes().iter().all(u8::is_ascii_digit);
    if !journal.extension().is_some_and(is_number) {
        return Ok(());
    }
    let mut lock = journal.as_os_str().to_os_string();
    lock.push(".lock");
    let lock = PathBuf::from(lock);
    let created = OpenOptions::new().write(true).create(true).truncate(false).mode(0o600).open(&lock);
    created.map(drop).map_err(|error| Failure::create(&lock, &error))
}

/// Copies everything into a journal at `path` and closes it; how many records that were. `None`: a signal came.
fn fill(
    path: &Path,
    source: &mut Source,
    interrupts: &Interrupts,
    args: &Args,
) -> Result<Option<u64>, Failure> {
    // Files that are in the way, or full disks, are told under the name that was asked for.
    let failed = |error| Failure::store(&args.journal, &error);
    let store = JournalOptions::new()
        .max_bytes_per_segment(u64::MAX)
        .max_record_bytes(RECORD_BYTES_MAX)
        .max_batch_bytes(RECORD_BYTES_MAX)
        .write_ahead(false)
        .open_blocking(path)
        .map_err(failed)?;
    let copied = copy(&store, source, interrupts);
    // Whatever happened, nothing is at work in the directory any more when it is removed.
    let closed = store.blocking().close().map_err(failed);
    let copied = copied?;
    closed?;
    Ok(copied)
}

fn copy(store: &MiniStore, source: &mut Source, interrupts: &Interrupts) -> Result<Option<u64>, Failure> {
    let mut batches = Batches::new(store);
    loop {
        let is_more = source.push_next(&mut batches)?;
        // After the read, too: it may have waited.
        if interrupts.raised().is_some() {
            return batches.flush().map(|()| None);
        }
        if !is_more {
            batches.flush()?;
            return Ok(Some(batches.durable().records));
        }
    }
}

/// The new journal is read once more, from the disk's point of view a journal like any other.
fn verify(path: &Path, records: u64, args: &Args) -> Result<(), Failure> {
    let found = maintenance::examine(path).map_err(|error| Failure::store(&args.journal, &error))?;
    if found.records == records && found.faults.is_empty() && found.torn_tail.is_none() {
        return Ok(());
    }
    let journal = args.journal.display();
    let message = format!(
        "{journal}: {} were read, and {} verify in what was written",
        units::counted(records, "record"),
        found.records
    );
    Err(Failure::new(Code::Io, message))
}

fn report(args: &Args, source: &Source, records: u64) -> Result<(), Failure> {
    if args.json {
        return output::json(&json!({
            "source": args.source.to_string_lossy(),
            "source_first_seq": source.first_seq,
            "journal": args.journal.to_string_lossy(),
            "records": records,
        }));
    }
    let (journal, from) = (args.journal.display(), args.source.display());
    output::lines([format!("{journal}: {} imported from {from}", units::counted(records, "record"))])?;
    if let Some(first) = source.first_seq.filter(|&first| first > 1) {
        warn(format_args!("records are numbered from 1: record {first} of {from} is record 1 of {journal}"));
    }
    Ok(())
}

/// What is read.
struct Source {
    records: Records,
    /// The number of its first record, where records have numbers.
    first_seq: Option<u64>,
}

enum Records {
    Journal { path: PathBuf, lines: Lines },
    Ndjson { input: Input, lines: BufReader<Box<dyn Read + Send>>, number: u64 },
}

impl Source {
    /// What does not begin as a journal does holds lines.
    fn open(path: &Path) -> Result<Self, Failure> {
        if path.exists() && !nearby::is_journal(path) {
            let input = Input::File(path.to_owned());
            Input::check_file(path)?;
            let lines = input.open(|_| {}).map_err(|error| input.failure(&error))?;
            let lines = BufReader::with_capacity(256 * 1024, lines);
            return Ok(Self { records: Records::Ndjson { input, lines, number: 0 }, first_seq: None });
        }
        let found = examine(path)?;
        if let Some(tail) = &found.torn_tail {
            warn(format_args!("{tail} (a torn tail, never acknowledged: it is left out)"));
        }
        let records = Records::Journal { path: path.to_owned(), lines: MiniStore::lines(path) };
        Ok(Self { records, first_seq: found.first_seq() })
    }

    /// Adds the next record to the batch; `false` at the end. A record of a journal is copied as it is, whatever journals
    /// accept today; a line of JSON becomes a new record, and is checked as one.
    fn push_next(&mut self, batches: &mut Batches<'_>) -> Result<bool, Failure> {
        match &mut self.records {
            Records::Journal { path, lines } => {
                let failed = |error| Failure::store(path, &error);
                let Some(record) = lines.next_line().map_err(failed)? else { return Ok(false) };
                batches.push_copy(&record)?.map_err(failed)?;
                Ok(true)
            }
            Records::Ndjson { input, lines, number } => push_next_line(input, lines, number, batches),
        }
    }
}

/// Adds the next line that is not blank. No more of a line is kept than a record may be long.
fn push_next_line(
    input: &Input,
    lines: &mut impl BufRead,
    number: &mut u64,
    batches: &mut Batches<'_>,
) -> Result<bool, Failure> {
    let limit = line::LINE_BYTES_MAX as u64 + "\r\n".len() as u64;
    loop {
        let mut text = Vec::new();
        let read = lines.take(limit).read_until(b'\n', &mut text).map_err(|error| input.failure(&error))?;
        if read == 0 {
            return Ok(false);
        }
        *number += 1;
        let raw = text.strip_suffix(b"\n").unwrap_or(&text);
        let pushed = match line::value(raw) {
            Ok(value) if value.is_empty() => continue,
            Ok(value) => {
                let lead = value.start;
                let pushed = batches.push(&raw[value])?;
                pushed.map_err(|fault| line::Fault { offset: lead + fault.offset, ..fault })
            }
            Err(fault) => Err(fault),
        };
        match pushed {
            Ok(()) => return Ok(true),
            Err(line::Fault { offset, reason }) => {
                let place = format!("{}:{number}:{}: {reason}", input.name(), offset + 1);
                return Err(Failure::at_place(place).hint(
                    "mend the line, or leave it out: 'ministore ingest' does, with --on-error skip or quarantine=FILE",
                ));
            }
        }
    }
}
