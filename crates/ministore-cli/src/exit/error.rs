//! The errors of subcommands: one line with the error and its location, and a hint about the next step; with `--json`, one JSON
//! object.

use std::{fmt::Display, io, path::Path};

use ministore_uring::{ErrorKind, MiniStoreError, maintenance::Corruption};
use serde::Serialize;
use serde_json::{Map, Value};
use tracing::Level;

use super::{
    log,
    status::{ErrorClass, ExitStatus},
    stderr::{is_json, write},
};
use crate::{
    hint,
    ingest::line::LinePosition,
    printable::{printable, printable_json},
    style::{Colors, ERROR, HINT},
};

/// An error that ends a subcommand: an exit status and a message. Its JSON is what `--json` prints.
#[derive(Debug, Serialize)]
pub(crate) struct CliError {
    kind: ErrorClass,
    /// One line for standard error. Empty: nothing is printed.
    message: String,
    /// The message begins with the location in a file, and is printed without the program's name.
    #[serde(skip)]
    begins_with_location: bool,
    /// The same command may succeed later.
    #[serde(rename = "retryable")]
    is_retryable: bool,
    /// Boxed, so that a `Result` stays small.
    #[serde(flatten)]
    at: Box<Location>,
    /// The suggested next step.
    #[serde(skip_serializing_if = "Option::is_none")]
    hint: Option<String>,
    #[serde(rename = "exit_code")]
    status: ExitStatus,
}

/// The location of an error, as far as it is known.
#[derive(Debug, Default, Serialize)]
struct Location {
    #[serde(skip_serializing_if = "Option::is_none")]
    path: Option<String>,
    /// Bytes from the start of the file.
    #[serde(skip_serializing_if = "Option::is_none")]
    offset: Option<u64>,
    /// Counted from 1.
    #[serde(skip_serializing_if = "Option::is_none")]
    line: Option<u64>,
    /// Counted from 1, in bytes.
    #[serde(skip_serializing_if = "Option::is_none")]
    column: Option<u64>,
    #[serde(skip_serializing_if = "Option::is_none")]
    seq: Option<u64>,
}

impl CliError {
    pub(crate) fn new(status: ExitStatus, message: impl Display) -> Self {
        Self {
            status,
            kind: status.kind(),
            is_retryable: status == ExitStatus::Temporary,
            message: message.to_string(),
            begins_with_location: false,
            at: Box::default(),
            hint: hint::of_status(status).map(str::to_owned),
        }
    }

    /// An error about a file: `PATH: reason`.
    pub(crate) fn about(path: &Path, status: ExitStatus, reason: impl Display) -> Self {
        Self::new(status, format_args!("{}: {reason}", path.display())).path(path)
    }

    /// An invalid line of an input, printed as `INPUT:LINE:COLUMN: reason (byte OFFSET)`; the beginning is the form that editors
    /// and compilers share. `offset`: in the line, from 0.
    pub(crate) fn bad_line(input: &str, line: LinePosition, offset: usize, reason: impl Display) -> Self {
        let column = offset as u64 + 1;
        let byte = line.start + offset as u64;
        let number = line.number;
        let message = format_args!("{input}:{number}:{column}: {reason} (byte {byte})");
        Self {
            kind: ErrorClass::Program("invalid_line"),
            begins_with_location: true,
            at: Box::new(Location {
                path: Some(input.into()),
                offset: Some(byte),
                line: Some(number),
                column: Some(column),
                ..Location::default()
            }),
            ..Self::new(ExitStatus::BadData, message)
        }
    }

    /// The same error with this hint.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// The same error about this file.
    pub(crate) fn path(mut self, path: &Path) -> Self {
        self.at.path = Some(path.to_string_lossy().into_owned());
        self
    }

    /// The same error about this record.
    pub(crate) fn seq(mut self, seq: u64) -> Self {
        self.at.seq = Some(seq);
        self
    }

    /// An operation on a file of the program's own (not the journal's) failed.
    pub(crate) fn file(path: &Path, action: &str, error: &io::Error) -> Self {
        let status = ExitStatus::of_io(error);
        let failure = Self::about(path, status, format_args!("cannot {action}: {error}"));
        let failure = Self { hint: hint::of_io(path, error), ..failure };
        if !is_disk_full(error) {
            return failure;
        }
        Self { kind: ErrorClass::Library(ErrorKind::StorageFull), is_retryable: true, ..failure }
    }

    /// Damage in a journal.
    pub(crate) fn corrupt(fault: &Corruption) -> Self {
        let at = Location {
            path: Some(fault.segment.to_string_lossy().into_owned()),
            offset: Some(fault.offset),
            line: Some(fault.line),
            seq: fault.seq,
            ..Location::default()
        };
        Self { at: Box::new(at), ..Self::new(ExitStatus::BadData, fault) }
    }

    /// A new file cannot be created.
    pub(crate) fn create(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::file(path, "create", error),
            kind => {
                let hint = hint::of_io(path, error).filter(|_| kind != io::ErrorKind::NotFound);
                Self::about(path, ExitStatus::CannotCreate, format_args!("cannot create: {error}"))
                    .hint(hint.unwrap_or_else(|| hint::make_directory_of(path)))
            }
        }
    }

    /// Standard output cannot be written. A reader that closed the pipe (`head`) is not a failure.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self::new(ExitStatus::Ok, "");
        }
        Self::new(ExitStatus::Io, format_args!("standard output: {error}"))
            .hint("free disk space for the output, or redirect it")
    }

    /// An error of the library. Several name no file of their own: `path` makes every message name one.
    pub(crate) fn store(path: &Path, error: &MiniStoreError) -> Self {
        use MiniStoreError as E;
        let code = match error {
            // Every subcommand reports a directory or a device the same way.
            E::Io { .. } if hint::is_not_regular_file(path) => ExitStatus::NoInput,
            _ => ExitStatus::of_store(error),
        };
        let failure = match error {
            // The library's message about an I/O error, with the file, is inside it.
            E::Io { source } if source.get_ref().is_some() => Self::new(code, source),
            // The library's text is that of `ministore` 0.1.7.
            E::PathIsNotFile { path } => Self::about(path, code, "not a regular file"),
            _ if error.path().is_some() => Self::new(code, error),
            _ => Self::about(path, code, error),
        };
        let kind = match error.kind() {
            // A file of the journal fails as any other file does.
            ErrorKind::Io => code.kind(),
            kind => ErrorClass::Library(kind),
        };
        let at = Box::new(Location::of_store(path, error));
        let hint = hint::of_store(path, error).or(failure.hint);
        Self { kind, is_retryable: error.is_retryable(), at, hint, ..failure }
    }

    /// Returns the message, as it was composed.
    pub(crate) fn message(&self) -> &str {
        &self.message
    }

    /// Prints it to standard error and returns the exit status. A standard error that cannot be written is ignored.
    pub(crate) fn print(self) -> ExitStatus {
        let text = &*self.message;
        if text.is_empty() {
            return self.status;
        }
        if log::is_json() {
            let fields = match serde_json::to_value(&self) {
                Ok(Value::Object(fields)) => fields,
                _ => Map::new(),
            };
            write(&log::object(Level::ERROR, text, fields));
            return self.status;
        }
        if is_json() {
            if let Ok(json) = serde_json::to_string(&self) {
                write(&printable_json(&json));
            }
            return self.status;
        }
        let colors = Colors::of_stderr();
        let text = printable(text);
        let line = match self.begins_with_location {
            true => text.into_owned(),
            false => format!("{} {text}", colors.with(ERROR, "ministore:")),
        };
        let hint =
            self.hint.as_ref().map(|hint| format!("\n{} {}", colors.with(HINT, "hint:"), printable(hint)));
        write(&log::plain(Level::ERROR, &(line + &hint.unwrap_or_default())));
        self.status
    }
}

impl Location {
    fn of_store(path: &Path, error: &MiniStoreError) -> Self {
        use MiniStoreError as E;
        let path = Some(error.path().unwrap_or(path).to_string_lossy().into_owned());
        let (offset, line, seq) = match error {
            E::Corrupt { offset, line, seq, .. } => (Some(*offset), Some(*line), *seq),
            E::Record { offset, line, seq, .. } => (Some(*offset), Some(*line), Some(*seq)),
            E::Deserialize { line, .. } => (None, Some(*line as u64), None),
            _ => (None, None, None),
        };
        Self { path, offset, line, column: None, seq }
    }
}

fn is_disk_full(error: &io::Error) -> bool {
    use io::ErrorKind as Kind;
    matches!(error.kind(), Kind::StorageFull | Kind::QuotaExceeded | Kind::FileTooLarge)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Tested here, because a test of the program cannot cause these errors.
    #[test]
    fn internal_error_exits_70_and_asks_for_a_report() {
        for error in [MiniStoreError::WriterPanicked, MiniStoreError::Closed] {
            let failure = CliError::store(Path::new("j"), &error);
            assert_eq!(failure.status, ExitStatus::Internal);
            assert!(failure.hint.unwrap().contains("report it"), "{error}");
        }
    }

    #[test]
    fn failed_sync_exits_74_and_says_what_is_kept() {
        let source = std::sync::Arc::new(io::Error::from_raw_os_error(5));
        let failure = CliError::store(Path::new("j"), &MiniStoreError::Poisoned { path: "j".into(), source });
        assert_eq!(failure.status, ExitStatus::Io);
        assert!(failure.hint.unwrap().contains("acknowledged records are kept"));
    }

    #[test]
    fn json_kind_is_that_of_the_library_or_the_file() {
        let io = |kind| MiniStoreError::Io { source: io::Error::from(kind) };
        let full = std::sync::Arc::new(io::Error::from(io::ErrorKind::StorageFull));
        let cases = [
            (MiniStoreError::QueueFull, "contention", true),
            (MiniStoreError::StorageFull { path: "j".into(), source: full }, "storage_full", true),
            (MiniStoreError::Trimmed { path: "j".into(), first_seq: 2 }, "trimmed", false),
            (MiniStoreError::Closed, "closed", false),
            (MiniStoreError::InvalidArgument("x".to_owned()), "invalid_input", false),
            (io(io::ErrorKind::NotFound), "not_found", false),
            (io(io::ErrorKind::PermissionDenied), "permission_denied", false),
            (io(io::ErrorKind::TimedOut), "io", true),
        ];
        for (error, kind, retryable) in cases {
            let failure = CliError::store(Path::new("/nonexistent/j"), &error);
            let json = serde_json::to_value(&failure).unwrap();
            assert_eq!((&json["kind"], &json["retryable"]), (&kind.into(), &retryable.into()), "{error:?}");
        }
    }

    #[test]
    fn json_error_has_every_known_field() {
        let error = MiniStoreError::Corrupt {
            segment: "j.001".into(),
            offset: 7,
            line: 2,
            seq: Some(3),
            reason: "checksum".into(),
        };
        let failure = CliError::store(Path::new("j"), &error);
        let json = serde_json::to_value(&failure).unwrap();
        assert_eq!((&json["kind"], &json["path"]), (&"invalid_data".into(), &"j.001".into()));
        assert_eq!((&json["offset"], &json["line"], &json["seq"]), (&7.into(), &2.into(), &3.into()));
        assert!(json["hint"].is_string() && json["exit_code"] == 65, "{json}");
    }
}
