//! `ministore import` and `ministore export`: conversion between journals with checksums, plain journals and JSON lines.

mod atomic_file;
pub(crate) mod export;
pub(crate) mod import;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ministore_uring::{MiniStoreError, maintenance};

use crate::{
    exit::{CliError, ExitStatus},
    hint::quoted,
    paths::{directory_of, with_suffix},
};

/// The side files of a journal; the checkpoint is the program's own.
const SIDE_FILES: [&str; 4] = ["next", "holds", "lock", "ingest-checkpoint"];

/// Rejects a target that exists or belongs to another journal.
fn check_free(target: &Path, source: &Path) -> Result<(), CliError> {
    if is_of(target, source) || is_of(source, target) {
        let message = format_args!("{}: belongs to the journal {}", target.display(), source.display());
        return Err(CliError::new(ExitStatus::Usage, message).path(target).hint("choose another name"));
    }
    check_no_file(target)?;
    match maintenance::verify(target) {
        Err(MiniStoreError::Io { source }) if source.kind() == io::ErrorKind::NotFound => {}
        Ok(_) => return Err(already_exists(target)),
        Err(error) => return Err(CliError::store(target, &error)),
    }
    // Side files of an old journal would be used by the new one.
    ["next", "holds"].iter().try_for_each(|suffix| check_no_file(&with_suffix(target, suffix)))
}

/// Rejects the name of something that exists, even a dangling link.
fn check_no_file(path: &Path) -> Result<(), CliError> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(already_exists(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(CliError::file(path, "read", &error)),
    }
}

fn already_exists(path: &Path) -> CliError {
    let failure = CliError::new(ExitStatus::CannotCreate, format_args!("{}: already exists", path.display()))
        .path(path);
    failure.hint("nothing is overwritten: choose another name, or move the existing file")
}

/// Whether a path is the name of a file of this journal, even if it does not exist yet.
fn is_of(path: &Path, journal: &Path) -> bool {
    let (Some(path), Some(journal)) = (resolved(path), resolved(journal)) else { return false };
    let (Some(name), Some(own)) = (path.file_name(), journal.file_name()) else { return false };
    let [name, own] = [name, own].map(|name| name.to_string_lossy().into_owned());
    let suffix = name.strip_prefix(&own).and_then(|rest| rest.strip_prefix('.'));
    let belongs = suffix.is_some_and(|suffix| {
        SIDE_FILES.contains(&suffix)
            || (!suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
    });
    path.parent() == journal.parent() && (path == journal || belongs)
}

/// Resolves links, as the library does.
fn resolved(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path)
        .ok()
        .or_else(|| Some(fs::canonicalize(directory_of(path)).ok()?.join(path.file_name()?)))
}

/// Checks a journal before it is copied. Damage is an error.
fn verify(journal: &Path) -> Result<maintenance::VerifyReport, CliError> {
    let found = maintenance::verify(journal).map_err(|error| CliError::store(journal, &error))?;
    match found.faults.first() {
        None => Ok(found),
        Some(fault) => {
            let name = quoted(journal);
            let hint = format!(
                "'ministore verify {name}' lists all damage; 'ministore salvage {name} NEW' copies the intact records"
            );
            Err(CliError::corrupt(fault).hint(hint))
        }
    }
}
