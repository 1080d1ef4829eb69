//! `ministore import --repair`: creates a journal, or a file of JSON lines, from damaged JSON lines. What is removed is saved in
//! a file next to the created one, which gets its name first.

mod lines;
mod output;
mod report;

use std::{
    fs,
    io::{self, Read},
    path::{Path, PathBuf},
};

use super::{
    atomic_file::AtomicFile,
    check_free, check_no_file,
    import::{self, Args},
};
use crate::{
    exit::{CliError, ExitStatus, info},
    hint::quoted,
    ingest::line::{self, LINE_BYTES_MAX},
    input::Input,
    ownership::Ownership,
    paths::with_suffix,
    signals::SignalHandler,
    suggest,
};
use lines::{Damage, LineRepair};
use output::{NewFile, RecordOutput, RepairOutput};
use report::RepairReport;

/// The size of a read.
const READ_BYTES: usize = 256 * 1024;

/// The suffix of the file with the removed bytes.
const REMOVED_SUFFIX: &str = "removed";

pub(super) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let source = &*args.source;
    if suggest::is_journal(source) {
        let name = quoted(source);
        let hint = format!(
            "'ministore repair {name}' repairs a journal; 'ministore salvage {name} NEW' copies its intact records"
        );
        return Err(CliError::about(source, ExitStatus::Usage, "is a journal").hint(hint));
    }
    let input = Input::File(source.to_owned());
    input.check()?;
    let signals = SignalHandler::listen(|| {})?;
    let target = target(args);
    if let Some(target) = &target {
        check_target(target, args)?;
    }
    let target = target.filter(|_| !args.dry_run);
    let repaired = match &target {
        None => scan(&input, &signals, &mut RepairOutput::none())?.map(|damage| (damage, false)),
        Some(target) => create(target, args, &input, &signals)?,
    };
    let Some((damage, has_target)) = repaired else {
        info(match &target {
            Some(target) => format!("interrupted: {} was not created", target.display()),
            None => "interrupted".to_owned(),
        });
        return Ok(signals.received().unwrap_or(ExitStatus::Ok));
    };
    RepairReport { args, target: target.filter(|_| has_target), damage: &damage }.write()?;
    Ok(if damage.is_none() { ExitStatus::Ok } else { ExitStatus::ProblemFound })
}

/// The file to create.
fn target(args: &Args) -> Option<PathBuf> {
    if args.in_place { Some(repaired_name(&args.source)) } else { args.journal.clone() }
}

/// Returns `NAME.repaired.EXTENSION` for `NAME.EXTENSION`. The new file is not compressed.
fn repaired_name(source: &Path) -> PathBuf {
    let is_compressed = source.extension().is_some_and(|extension| extension == "gz" || extension == "zst");
    let name = if is_compressed { source.with_extension("") } else { source.to_owned() };
    match name.extension() {
        None => with_suffix(&name, "repaired"),
        Some(extension) => {
            with_suffix(&with_suffix(&name.with_extension(""), "repaired"), &extension.to_string_lossy())
        }
    }
}

/// Rejects a target that exists, and one whose removed bytes would have the name of another file.
fn check_target(target: &Path, args: &Args) -> Result<(), CliError> {
    let removed = with_suffix(target, REMOVED_SUFFIX);
    let others = match args.in_place {
        false => {
            check_free(target, &args.source)?;
            vec![removed]
        }
        true => vec![target.to_owned(), removed],
    };
    others.iter().try_for_each(|path| {
        check_no_file(path)?;
        Ownership::default().check_name(path)
    })
}

/// Creates the target and the file of removed bytes, if there is anything to write to them: a file of JSON lines without damage
/// is not copied. Returns the damage, and whether the target was created; `None` after a signal.
fn create(
    target: &Path,
    args: &Args,
    input: &Input,
    signals: &SignalHandler,
) -> Result<Option<(Damage, bool)>, CliError> {
    let new_file = AtomicFile::create_next_to(target, "import")?;
    let removed = with_suffix(target, REMOVED_SUFFIX);
    let removed_file = AtomicFile::create_next_to(&removed, "import")?;
    let path = new_file.file();
    let write = |records: RecordOutput<'_>| {
        let mut output = RepairOutput::new(records, NewFile::create(&removed_file.file(), &removed)?, input);
        let damage = scan(input, signals, &mut output)?;
        output.finish().map(|()| damage)
    };
    let damage = match args.in_place {
        true => write(RecordOutput::lines(&path, target)?)?,
        false => import::fill(&path, target, args.header, |store| write(RecordOutput::journal(store)))?,
    };
    let Some(damage) = damage else { return Ok(None) };
    if args.in_place && damage.is_none() {
        return Ok(Some((damage, false)));
    }
    if !args.in_place {
        import::verify_copy(&path, damage.records, target)?;
        import::claim(target)?;
    }
    // A record is never removed without its bytes being saved.
    let is_removed = !damage.removed.is_empty();
    if is_removed {
        removed_file.publish()?;
    }
    new_file.publish().inspect_err(|_| {
        if is_removed {
            drop(fs::remove_file(&removed));
        }
    })?;
    Ok(Some((damage, true)))
}

/// Reads the whole input. Returns `None` after a signal.
fn scan(
    input: &Input,
    signals: &SignalHandler,
    output: &mut RepairOutput<'_>,
) -> Result<Option<Damage>, CliError> {
    let failed = |error: io::Error| input.failure(&error);
    let mut source = input.open_damaged().map_err(failed)?;
    let is_record = |value: &[u8]| value.len() <= LINE_BYTES_MAX && line::check(value).is_ok();
    let mut repair = LineRepair::new(LINE_BYTES_MAX, is_record);
    let mut report = |event: lines::RepairEvent<'_>| output.add(event);
    let mut chunk = vec![0; READ_BYTES];
    loop {
        match source.read(&mut chunk) {
            Ok(0) => return repair.finish(&mut report).map(Some),
            Ok(length) => repair.push(&chunk[..length], &mut report)?,
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(failed(error)),
        }
        // After the read, which may have waited.
        if signals.received().is_some() {
            return Ok(None);
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn repaired_file_is_named_after_its_source() {
        for (source, expected) in [
            ("a/events.jsonl", "a/events.repaired.jsonl"),
            ("events", "events.repaired"),
            ("a.b/events", "a.b/events.repaired"),
            ("day.1.ndjson.gz", "day.1.repaired.ndjson"),
            (".jsonl", ".jsonl.repaired"),
        ] {
            assert_eq!(repaired_name(Path::new(source)), Path::new(expected));
        }
    }
}
