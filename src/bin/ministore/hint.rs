//! Owns the second line of an error: what to do about it.

use std::{borrow::Cow, fs, io, path::Path};

use ministore_uring::MiniStoreError;

use crate::{exit::Code, nearby};

const NAME_THE_FILE: &str = "name the file of the journal, not a directory or a device";

/// Where nothing more is known than how the program ends.
pub(crate) fn of_code(code: Code) -> Option<&'static str> {
    match code {
        Code::Usage => Some("'ministore help COMMAND' teaches each subcommand by example"),
        Code::Io => Some("what the kernel has to say about the disk is in its log ('dmesg')"),
        Code::CannotCreate => Some("choose a place that can be written to"),
        Code::Temporary => Some("try again"),
        Code::Internal => Some("this is a fault of the program: please report it, with what --verbose says"),
        _ => None,
    }
}

/// For what the operating system refused about a file of whatever kind.
pub(crate) fn of_io(path: &Path, error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::NotFound => Some(missing(path, &|_| true)),
        _ => refused(error).map(str::to_owned),
    }
}

/// For what the library said about a journal.
pub(crate) fn of_store(journal: &Path, error: &MiniStoreError) -> Option<String> {
    use MiniStoreError as E;
    let name = quoted(journal);
    match error {
        E::Io { source } if source.kind() == io::ErrorKind::NotFound => {
            Some(missing(journal, &nearby::is_journal))
        }
        E::Io { .. } if is_no_file(journal) => Some(NAME_THE_FILE.to_owned()),
        E::Io { source } => refused(source).map(str::to_owned),
        E::Corrupt { segment, .. } if segment.extension().is_some_and(|extension| extension == "holds") => {
            Some("restore that file, or remove it to give up the holds in it".to_owned())
        }
        E::Corrupt { .. } => Some(format!(
            "'ministore verify {name}' lists every fault; 'ministore repair {name} --dry-run' says what can be \
             mended in place, 'ministore salvage {name} NEW' copies what verifies"
        )),
        E::Record { .. } | E::Deserialize { .. } => {
            Some(format!("a line of it is no JSON: 'ministore verify {name}' tells which"))
        }
        E::MissingInitialState => Some(format!(
            "this is no journal; if its lines are JSON, 'ministore import {name} NEW' makes a journal of them"
        )),
        E::Locked { pid, .. } => Some(format!(
            "one process writes a journal at a time: {}; replay, get, inspect and verify work meanwhile",
            pid.map_or_else(
                || "wait until the other is done".to_owned(),
                |pid| format!("wait until process {pid} is done, or end it ('kill {pid}')")
            )
        )),
        E::NotOwned { path, .. } if path == journal || same_file(path, journal) => {
            Some("nothing was changed: open the journal that is named, or choose a name that no other journal uses".to_owned())
        }
        E::NotOwned { path, .. } => Some(format!(
            "nothing was changed: move {} away, or choose another name for the journal",
            quoted(path)
        )),
        E::StorageFull { .. } => Some(no_room().to_owned()),
        E::Poisoned { source, .. } if source.to_string().contains("no longer at") => Some(format!(
            "what was acknowledged before is kept in the file that was moved: put it back at {name}, then run this again"
        )),
        E::Poisoned { .. } => Some(
            "what was acknowledged before is kept: see what the kernel's log ('dmesg') says about the disk, then run \
             this again"
                .to_owned(),
        ),
        E::PathIsNotFile { .. } => Some(NAME_THE_FILE.to_owned()),
        E::Released { first_seq, .. } => Some(format!("the oldest record that is left is {first_seq}: begin there")),
        E::BackendUnavailable { .. } => Some(
            "'--backend auto' falls back to blocking calls; 'ministore doctor' tells what this machine allows"
                .to_owned(),
        ),
        _ => None,
    }
}

/// Both paths lead to one file.
fn same_file(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

fn refused(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Some("run this as the user who owns the file, or let this one read and write it ('ls -l' tells)")
        }
        io::ErrorKind::AlreadyExists => {
            Some("choose a name that is free, or move what has it out of the way")
        }
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Some(no_room())
        }
        io::ErrorKind::ReadOnlyFilesystem => {
            Some("choose a directory on a file system that can be written to")
        }
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => Some("name a file, not a directory"),
        _ => of_code(Code::of_io(error)),
    }
}

fn no_room() -> &'static str {
    "nothing acknowledged is lost: make room on the file system and run it again (an ingest with --resume)"
}

/// There is something of this name, and it can be no journal.
pub(crate) fn is_no_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// For a file that cannot be made where there is no place for it.
pub(crate) fn make_directory_of(path: &Path) -> String {
    format!("make its directory first ('mkdir -p {}')", quoted(nearby::directory_of(path)))
}

/// What may have been meant by a name that there is not.
fn missing(path: &Path, fits: &dyn Fn(&Path) -> bool) -> String {
    let directory = nearby::directory_of(path);
    if !directory.is_dir() {
        return format!("there is no directory {}", quoted(directory));
    }
    match nearby::nearest(path, fits) {
        Some(near) => format!("did you mean {}?", quoted(&near)),
        None => match fs::canonicalize(directory) {
            Ok(directory) => format!("nothing in {} has a name like it", quoted(&directory)),
            Err(_) => "check the name".to_owned(),
        },
    }
}

/// A path as it can be given to a shell.
pub(crate) fn quoted(path: &Path) -> Cow<'_, str> {
    let text = path.to_string_lossy();
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text;
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_path_is_quoted_where_a_shell_would_take_it_apart() {
        let shown =
            ["/d/j.jsonl", "a b", "it's", "", "ä.jsonl"].map(|text| quoted(Path::new(text)).into_owned());
        assert_eq!(shown, ["/d/j.jsonl", "'a b'", r"'it'\''s'", "''", "ä.jsonl"]);
    }
}
