//! Chooses the hint of an error: what to do about it.

use std::{borrow::Cow, fs, io, path::Path};

use ministore_uring::MiniStoreError;

use crate::{
    exit::ExitStatus,
    paths::directory_of,
    printable::{is_unprintable, printable_json},
    suggest,
};

const DISK_FULL: &str =
    "acknowledged records are kept: free disk space and run this again (ingest: with --resume)";

/// The content of the active file while a journal is being restored.
const BEING_RESTORED: &[u8] = b"this journal is being restored";

const NAME_THE_FILE: &str = "name the file of the journal, not a directory or a device";

/// The hint if only the exit status is known.
pub(crate) fn of_status(status: ExitStatus) -> Option<&'static str> {
    match status {
        ExitStatus::Usage => Some("see 'ministore help COMMAND' for examples"),
        ExitStatus::Io => Some("check the kernel log ('dmesg') for disk errors"),
        ExitStatus::CannotCreate => Some("choose a writable location"),
        ExitStatus::Temporary => Some("try again"),
        ExitStatus::Internal => Some("this is a bug: please report it with the output of --verbose"),
        _ => None,
    }
}

/// The hint for an error of the operating system about any file.
pub(crate) fn of_io(path: &Path, error: &io::Error) -> Option<String> {
    match error.kind() {
        io::ErrorKind::NotFound => Some(missing(path, &|_| true)),
        _ => os_hint(error).map(str::to_owned),
    }
}

/// The hint for an error of the library about a journal.
pub(crate) fn of_store(journal: &Path, error: &MiniStoreError) -> Option<String> {
    use MiniStoreError as E;
    let name = quoted(journal);
    if let (E::Io { .. }, Some(path)) = (error, error.path())
        && let Some(hint) = in_the_way(journal, path)
    {
        return Some(hint);
    }
    match error {
        E::Io { source } if source.kind() == io::ErrorKind::NotFound => {
            Some(missing(journal, &suggest::is_journal))
        }
        E::Io { .. } if is_not_regular_file(journal) => Some(NAME_THE_FILE.to_owned()),
        E::Io { source } => os_hint(source).map(str::to_owned),
        E::Corrupt { segment, .. } if segment.extension().is_some_and(|extension| extension == "holds") => {
            Some("restore that file, or delete it to release all holds".to_owned())
        }
        E::Corrupt { .. } => Some(format!(
            "'ministore verify {name}' lists all damage; 'ministore salvage {name} NEW' copies the intact records; \
             'ministore repair {name} --dry-run' shows what can be repaired in place"
        )),
        E::Record { .. } | E::Deserialize { .. } => {
            Some(format!("a line is not JSON: 'ministore verify {name}' shows which one"))
        }
        E::MissingInitialState if fs::read(journal).is_ok_and(|bytes| bytes.starts_with(BEING_RESTORED)) => {
            Some(format!("a restoration was interrupted: run 'ministore restore BACKUP {name}' again"))
        }
        E::MissingInitialState => Some(format!(
            "this is not a journal; if its lines are JSON, 'ministore import {name} NEW' creates a journal from them"
        )),
        E::Locked { pid, .. } => Some(format!(
            "only one process can write to a journal: {}; replay, get, inspect and verify work in the meantime",
            pid.map_or_else(
                || "wait until the other process exits".to_owned(),
                |pid| format!("wait until process {pid} exits, or stop it ('kill {pid}')")
            )
        )),
        E::NotOwned { path, .. } if path == journal || is_same_file(path, journal) => {
            Some("nothing was changed: open the journal that is named, or choose a name that no other journal uses".to_owned())
        }
        E::NotOwned { path, .. } => Some(format!(
            "nothing was changed: move {} away, or choose another name for the journal",
            quoted(path)
        )),
        E::StorageFull { .. } => Some(DISK_FULL.to_owned()),
        E::Poisoned { source, .. } if source.to_string().contains("no longer at") => Some(format!(
            "acknowledged records are kept in the file that was moved: put it back at {name}, then run this again"
        )),
        E::Poisoned { .. } => Some(
            "acknowledged records are kept: check the kernel log ('dmesg') for disk errors, then run this again"
                .to_owned(),
        ),
        E::PathIsNotFile { .. } => Some(NAME_THE_FILE.to_owned()),
        E::Trimmed { first_seq, .. } => Some(format!("the oldest record that is left is {first_seq}: start there")),
        E::BackendUnavailable { .. } => Some(
            "'--backend auto' falls back to blocking system calls; 'ministore doctor' shows what this machine supports"
                .to_owned(),
        ),
        _ => None,
    }
}

/// The hint for a file that has the name of a file of the journal and is something else.
fn in_the_way(journal: &Path, path: &Path) -> Option<String> {
    let name = quoted(path);
    let kind = fs::symlink_metadata(path).ok()?.file_type();
    if kind.is_symlink() && fs::canonicalize(path).is_err() {
        return Some(format!(
            "{name} is a symbolic link that leads to no file: restore that file, or remove the link"
        ));
    }
    let is_of_journal = path.file_name() != journal.file_name();
    (is_of_journal && is_not_regular_file(path) && !kind.is_symlink()).then(|| {
        let kind = if kind.is_dir() { "a directory" } else { "not a regular file" };
        format!("the journal needs the name {name}, and it is {kind}: move it away, or choose another name for the journal")
    })
}

fn is_same_file(one: &Path, other: &Path) -> bool {
    matches!((fs::canonicalize(one), fs::canonicalize(other)), (Ok(one), Ok(other)) if one == other)
}

fn os_hint(error: &io::Error) -> Option<&'static str> {
    match error.kind() {
        io::ErrorKind::PermissionDenied => {
            Some("run this as the owner of the file, or change its permissions (see 'ls -l')")
        }
        io::ErrorKind::AlreadyExists => Some("choose another name, or move the existing file"),
        io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded | io::ErrorKind::FileTooLarge => {
            Some(DISK_FULL)
        }
        io::ErrorKind::InvalidFilename => Some("choose a shorter name"),
        io::ErrorKind::ReadOnlyFilesystem => Some("choose a directory on a writable file system"),
        io::ErrorKind::IsADirectory | io::ErrorKind::NotADirectory => Some("name a file, not a directory"),
        _ => of_status(ExitStatus::of_io(error)),
    }
}

/// Whether the path exists and is not a regular file.
pub(crate) fn is_not_regular_file(path: &Path) -> bool {
    fs::metadata(path).is_ok_and(|found| !found.is_file())
}

/// The hint for a file whose directory does not exist.
pub(crate) fn make_directory_of(path: &Path) -> String {
    format!("create the directory first ('mkdir -p {}')", quoted(directory_of(path)))
}

/// Suggests a similar name for a file that does not exist.
fn missing(path: &Path, fits: &dyn Fn(&Path) -> bool) -> String {
    let directory = directory_of(path);
    if !directory.is_dir() {
        return format!("the directory {} does not exist", quoted(directory));
    }
    match suggest::closest_name(path, fits) {
        Some(near) => format!("did you mean {}?", quoted(&near)),
        None => match fs::canonicalize(directory) {
            Ok(directory) => format!("no file in {} has a similar name", quoted(&directory)),
            Err(_) => "check the name".to_owned(),
        },
    }
}

/// Quotes a path for a shell, so that it is no option either.
pub(crate) fn quoted(path: &Path) -> String {
    let text = path.to_string_lossy();
    let prefix = if text.starts_with('-') { "./" } else { "" };
    quoted_word(&format!("{prefix}{text}")).into_owned()
}

/// Quotes a word for a shell.
pub(crate) fn quoted_word(text: &str) -> Cow<'_, str> {
    let plain = |c: char| c.is_alphanumeric() || "/._-+:,@%=".contains(c);
    if !text.is_empty() && text.chars().all(plain) {
        return text.into();
    }
    if text.contains(is_unprintable) {
        // As it is printed, so that it can be pasted.
        let escaped = text.replace('\\', r"\\").replace('\'', r"\'");
        return format!("$'{}'", printable_json(&escaped)).into();
    }
    format!("'{}'", text.replace('\'', r"'\''")).into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn path_with_special_characters_is_quoted() {
        let shown = ["/d/j.jsonl", "a b", "it's", "", "ä.jsonl", "-x", "-- y", "a\n\u{9b}'"]
            .map(|text| quoted(Path::new(text)));
        let expected =
            ["/d/j.jsonl", "'a b'", r"'it'\''s'", "''", "ä.jsonl", "./-x", "'./-- y'", r"$'a\u000a\u009b\''"];
        assert_eq!(shown, expected);
    }
}
