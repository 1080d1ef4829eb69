//! `ministore import` and `ministore export`: conversion between journals with checksums, plain journals and JSON lines.

mod atomic_file;
pub(crate) mod export;
pub(crate) mod import;
mod repair;

use std::{fs, io, path::Path};

use ministore_uring::{MiniStoreError, maintenance};

use crate::{
    exit::{CliError, ExitStatus},
    hint::quoted,
    ownership::{Ownership, is_of},
    paths::{resolved, with_suffix},
};

/// Rejects a target that exists or belongs to another journal.
fn check_free(target: &Path, source: &Path) -> Result<(), CliError> {
    let (full, full_source) = (resolved(target), resolved(source));
    if is_of(&full, &full_source) || is_of(&full_source, &full) {
        let reason = format_args!("belongs to the journal {}", source.display());
        return Err(CliError::about(target, ExitStatus::Usage, reason).hint("choose another name"));
    }
    check_no_file(target)?;
    check_not_side_file(target)?;
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
    CliError::about(path, ExitStatus::CannotCreate, "already exists")
        .hint("nothing is overwritten: choose another name, or move the existing file")
}

/// Rejects the name of a file of another journal. Only a segment's name may be that of a journal, too.
fn check_not_side_file(target: &Path) -> Result<(), CliError> {
    if is_numbered(target) { Ok(()) } else { Ownership::default().check_output(target) }
}

/// Whether a name ends in a number, as that of a rotated segment does.
fn is_numbered(path: &Path) -> bool {
    path.extension().is_some_and(|extension| extension.as_encoded_bytes().iter().all(u8::is_ascii_digit))
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
