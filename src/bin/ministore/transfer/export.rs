//! Owns `ministore export`: the records of a journal as a plain journal, which `ministore` 0.1.7 reads and continues, or as
//! lines alone.

use std::{
    fs::{File, OpenOptions},
    io::{self, BufWriter, Write},
    os::unix::fs::OpenOptionsExt,
    path::{Path, PathBuf},
};

use ministore_uring::MiniStore;
use serde_json::{json, value::RawValue};

use super::{check_free, check_no_file, scratch::Scratch};
use crate::{
    exit::{Code, Failure, note, warn},
    output,
    replay::check_there,
    signals::Interrupts,
    units,
};

/// What a plain segment begins with: no numbers, no seals.
const HEADER: &[u8] = b"// MINISTORE JOURNAL v0.1.4\n";

const BUFFER_BYTES: usize = 256 * 1024;

/// Write the records of a journal as a plain journal, or as lines alone
///
/// A plain journal is one file without seals, as `ministore` 0.1.7 writes it: that program reads it and goes on with it. With
/// `--lines` it is the records alone, one JSON line each. Every seal is checked on the way. The file is there whole and
/// durable, or not at all; nothing is written over, and only its owner may read it (0600). The journal may be open for
/// writing: what is durable when its end is reached is what is exported.
///
/// A plain journal has no numbers: its records count from 1, though the oldest of the journal may have been deleted.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore export events.jsonl plain.jsonl
  ministore export events.jsonl --lines events.ndjson
  ministore export events.jsonl - | ssh backup 'cat > events.jsonl'")]
pub(crate) struct Args {
    /// The journal
    journal: PathBuf,

    /// The file to make; it must not exist. `-` is standard output
    file: PathBuf,

    /// The records alone, without the first line that makes a journal of them
    #[arg(long)]
    lines: bool,

    /// The report as one JSON object
    #[arg(long)]
    json: bool,
}

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    check_there(&args.journal)?;
    if args.file == Path::new("-") {
        return to_stdout(args);
    }
    if args.lines {
        check_no_file(&args.file)?
    } else {
        check_free(&args.file, &args.journal)?
    }
    let interrupts = Interrupts::listen(|| {})?;
    let scratch = Scratch::beside(&args.file, "export")?;
    let Some(copied) = to_file(args, &scratch.file(), &interrupts)? else {
        note(format_args!("interrupted: {} was not made", args.file.display()));
        return Ok(interrupts.raised().unwrap_or(Code::Ok));
    };
    scratch.publish()?;
    report(args, copied)?;
    Ok(Code::Ok)
}

/// What was copied.
#[derive(Debug, Clone, Copy, Default)]
struct Copied {
    records: u64,
    first_seq: Option<u64>,
}

fn to_stdout(args: &Args) -> Result<Code, Failure> {
    if args.json {
        let message = "--json: the records themselves go to standard output";
        return Err(Failure::new(Code::Usage, message).hint("name a file, or leave --json out"));
    }
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, io::stdout().lock());
    let copied = copy(args, &mut out, || false, Failure::output);
    // What was read before a fault is written before the fault is told.
    out.flush().map_err(Failure::output)?;
    if let Some(copied) = copied? {
        tell_numbers(args, copied);
    }
    Ok(Code::Ok)
}

/// `None`: a signal came.
fn to_file(args: &Args, path: &Path, interrupts: &Interrupts) -> Result<Option<Copied>, Failure> {
    let failed = |error: io::Error| Failure::file(&args.file, "write", &error);
    let file = OpenOptions::new().write(true).create_new(true).mode(0o600).open(path).map_err(failed)?;
    let mut out = BufWriter::with_capacity(BUFFER_BYTES, file);
    let copied = copy(args, &mut out, || interrupts.raised().is_some(), failed)?;
    let synced =
        out.into_inner().map_err(io::IntoInnerError::into_error).and_then(|file: File| file.sync_all());
    synced.map_err(failed)?;
    Ok(copied)
}

fn copy(
    args: &Args,
    out: &mut impl Write,
    ended: impl Fn() -> bool,
    failed: impl Fn(io::Error) -> Failure,
) -> Result<Option<Copied>, Failure> {
    let unread = |error| Failure::store(&args.journal, &error);
    let mut lines = MiniStore::lines(&args.journal);
    let mut copied = Copied::default();
    if !args.lines {
        out.write_all(HEADER).map_err(&failed)?;
    }
    while let Some(line) = lines.next_line().map_err(unread)? {
        if ended() {
            return Ok(None);
        }
        let record: &RawValue = line.parse().map_err(unread)?;
        out.write_all(record.get().as_bytes()).and_then(|()| out.write_all(b"\n")).map_err(&failed)?;
        copied.records += 1;
        copied.first_seq.get_or_insert(line.seq);
    }
    Ok(Some(copied))
}

fn report(args: &Args, copied: Copied) -> Result<(), Failure> {
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
    output::lines([format!("{file}: {} exported from {journal}", units::counted(copied.records, "record"))])?;
    tell_numbers(args, copied);
    Ok(())
}

/// Whoever keeps a number must know that it is another one now.
fn tell_numbers(args: &Args, copied: Copied) {
    let moved = copied.first_seq.filter(|&first| first > 1 && !args.lines);
    if let Some(first) = moved {
        let (journal, file) = (args.journal.display(), args.file.display());
        warn(format_args!(
            "a plain journal counts from 1: record {first} of {journal} is record 1 of {file}"
        ));
    }
}
