//! Owns `ministore import` and `ministore export`: records between this crate's journals and plain ones.

pub(crate) mod export;
pub(crate) mod import;
mod scratch;

use std::{
    fs, io,
    path::{Path, PathBuf},
};

use ministore_uring::{MiniStoreError, maintenance};

use crate::{
    exit::{Code, Failure},
    hint::quoted,
    nearby,
};

/// Files of a journal beside its segments; `.ingest` is the program's own.
const BESIDE: [&str; 4] = ["next", "holds", "lock", "ingest"];

/// Refuses a target that would take something else's place: a journal is never written over, nor made out of pieces of
/// another one.
fn check_free(target: &Path, source: &Path) -> Result<(), Failure> {
    if is_of(target, source) || is_of(source, target) {
        let message = format_args!("{}: is a file of the journal {}", target.display(), source.display());
        return Err(
            Failure::new(Code::Usage, message).hint("choose a name that does not begin with the other one")
        );
    }
    check_no_file(target)?;
    match maintenance::examine(target) {
        Err(MiniStoreError::Io { source }) if source.kind() == io::ErrorKind::NotFound => {}
        Ok(_) => return Err(taken(target)),
        Err(error) => return Err(Failure::store(target, &error)),
    }
    // Whoever opens the new journal would believe what was left by an old one.
    ["next", "holds"].iter().try_for_each(|suffix| check_no_file(&beside(target, suffix)))
}

/// Refuses the name of something that is there, be it a link to nothing.
fn check_no_file(path: &Path) -> Result<(), Failure> {
    match fs::symlink_metadata(path) {
        Ok(_) => Err(taken(path)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(()),
        Err(error) => Err(Failure::file(path, "look at it", &error)),
    }
}

fn taken(path: &Path) -> Failure {
    let failure = Failure::new(Code::CannotCreate, format_args!("{}: is there already", path.display()));
    failure.hint("nothing is written over: choose a name that is free, or move what has it out of the way")
}

/// `NAME` and a suffix of its own.
fn beside(path: &Path, suffix: &str) -> PathBuf {
    let mut name = path.as_os_str().to_owned();
    name.push(".");
    name.push(suffix);
    name.into()
}

/// Whether a path names a file of this journal, there or to come.
fn is_of(path: &Path, journal: &Path) -> bool {
    let (Some(path), Some(journal)) = (resolved(path), resolved(journal)) else { return false };
    let (Some(name), Some(own)) = (path.file_name(), journal.file_name()) else { return false };
    let [name, own] = [name, own].map(|name| name.to_string_lossy().into_owned());
    let suffix = name.strip_prefix(&own).and_then(|rest| rest.strip_prefix('.'));
    let belongs = suffix.is_some_and(|suffix| {
        BESIDE.contains(&suffix) || (!suffix.is_empty() && suffix.bytes().all(|byte| byte.is_ascii_digit()))
    });
    path.parent() == journal.parent() && (path == journal || belongs)
}

/// As the library finds it: links followed, where they lead anywhere.
fn resolved(path: &Path) -> Option<PathBuf> {
    fs::canonicalize(path)
        .ok()
        .or_else(|| Some(fs::canonicalize(nearby::directory_of(path)).ok()?.join(path.file_name()?)))
}

/// What a journal that is about to be copied has in it. Damage is told before anything is begun.
fn examine(journal: &Path) -> Result<maintenance::Examination, Failure> {
    let found = maintenance::examine(journal).map_err(|error| Failure::store(journal, &error))?;
    match found.faults.first() {
        None => Ok(found),
        Some(fault) => {
            let name = quoted(journal);
            let hint = format!(
                "'ministore verify {name}' lists every fault, and 'ministore salvage {name} NEW' copies what verifies"
            );
            Err(Failure::new(Code::BadData, fault).hint(hint))
        }
    }
}
