//! The exit codes, those of `sysexits.h`, and the classes of errors in JSON.

use std::{io, process::ExitCode};

use ministore_uring::{ErrorKind, MiniStoreError};
use serde::Serialize;

/// The exit codes. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize)]
#[serde(into = "u8")]
pub(crate) enum ExitStatus {
    /// Success.
    Ok,
    /// The command ran and found damage (`import --repair`: and repaired it); for a comparison: a regression.
    ProblemFound,
    /// Wrong usage.
    Usage,
    /// The input or the journal contains invalid data.
    BadData,
    /// The input or the journal does not exist.
    NoInput,
    /// A requested feature is not available on this system.
    Unavailable,
    /// A bug in this program.
    Internal,
    /// An output file cannot be created.
    CannotCreate,
    /// A read, write or sync failed.
    Io,
    /// The command may succeed later.
    Temporary,
    /// The operating system denied permission.
    NoPermission,
    /// Ended by this signal, numbered as shells do.
    Signal(u8),
}

impl ExitStatus {
    /// Returns the class of an error of the program itself: that of the library if there is one.
    pub(super) fn kind(self) -> ErrorClass {
        match self {
            Self::Ok | Self::ProblemFound | Self::Signal(_) => ErrorClass::Program("none"),
            Self::Usage => ErrorClass::Program("usage"),
            Self::BadData => ErrorClass::Library(ErrorKind::InvalidData),
            Self::NoInput => ErrorClass::Program("not_found"),
            Self::Unavailable => ErrorClass::Library(ErrorKind::Unsupported),
            Self::Internal => ErrorClass::Program("internal"),
            Self::CannotCreate => ErrorClass::Program("cannot_create"),
            Self::Io => ErrorClass::Library(ErrorKind::Io),
            Self::Temporary => ErrorClass::Library(ErrorKind::Contention),
            Self::NoPermission => ErrorClass::Program("permission_denied"),
        }
    }

    /// Returns the exit status for an error of the operating system.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoInput,
            io::ErrorKind::AlreadyExists => Self::CannotCreate,
            io::ErrorKind::PermissionDenied => Self::NoPermission,
            _ => Self::Io,
        }
    }

    pub(super) fn of_store(error: &MiniStoreError) -> Self {
        use MiniStoreError as E;
        match error {
            E::Io { source } => Self::of_io(source),
            E::StorageFull { .. } | E::Poisoned { .. } => Self::Io,
            E::Corrupt { .. }
            | E::Record { .. }
            | E::Deserialize { .. }
            | E::MissingInitialState
            | E::InvalidJson { .. }
            | E::TooLarge { .. } => Self::BadData,
            E::PathIsNotFile { .. } | E::Trimmed { .. } => Self::NoInput,
            E::InvalidArgument(_) => Self::Usage,
            E::NotOwned { .. } => Self::CannotCreate,
            E::Locked { .. } | E::QueueFull | E::SeqMismatch { .. } | E::Unavailable { .. } => {
                Self::Temporary
            }
            E::BackendUnavailable { .. } => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl From<ExitStatus> for u8 {
    fn from(code: ExitStatus) -> Self {
        match code {
            ExitStatus::Ok => 0,
            ExitStatus::ProblemFound => 1,
            ExitStatus::Usage => 64,
            ExitStatus::BadData => 65,
            ExitStatus::NoInput => 66,
            ExitStatus::Unavailable => 69,
            ExitStatus::Internal => 70,
            ExitStatus::CannotCreate => 73,
            ExitStatus::Io => 74,
            ExitStatus::Temporary => 75,
            ExitStatus::NoPermission => 77,
            ExitStatus::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }
}

impl From<ExitStatus> for ExitCode {
    fn from(code: ExitStatus) -> Self {
        u8::from(code).into()
    }
}

/// The class of an error in JSON: see `docs/reference/exit-codes.md`.
#[derive(Debug, Clone, Copy, Serialize)]
#[serde(untagged)]
pub(super) enum ErrorClass {
    Library(ErrorKind),
    Program(&'static str),
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn exit_status_has_a_fixed_number() {
        let codes = [
            (ExitStatus::Ok, 0),
            (ExitStatus::ProblemFound, 1),
            (ExitStatus::Usage, 64),
            (ExitStatus::BadData, 65),
            (ExitStatus::NoInput, 66),
            (ExitStatus::Unavailable, 69),
            (ExitStatus::Internal, 70),
            (ExitStatus::CannotCreate, 73),
            (ExitStatus::Io, 74),
            (ExitStatus::Temporary, 75),
            (ExitStatus::NoPermission, 77),
            (ExitStatus::Signal(2), 130),
            (ExitStatus::Signal(15), 143),
        ];
        for (code, number) in codes {
            assert_eq!(u8::from(code), number, "{code:?}");
        }
    }
}
