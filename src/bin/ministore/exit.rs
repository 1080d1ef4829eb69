//! Owns the exit codes (those of `sysexits.h`) and the one mapping from what went wrong to them.

use std::{
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use ministore_uring::MiniStoreError;

/// What the program tells its caller. The numbers are a promise to scripts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Code {
    /// Done, and all is well.
    Ok,
    /// Done, and there are faults in the journal; or, of a comparison, something is worse.
    Faults,
    /// The command line is wrong.
    Usage,
    /// The input or the journal holds what it must not hold.
    BadData,
    /// The input or the journal is not there.
    NoInput,
    /// What was asked for cannot run on this system.
    Unavailable,
    /// A fault of this program.
    Internal,
    /// An output file cannot be made.
    CannotCreate,
    /// Reading, writing or syncing failed.
    Io,
    /// It may well work later.
    Temporary,
    /// The operating system forbids it.
    NoPermission,
    /// Ended by this signal, as a shell tells it.
    Signal(u8),
}

impl Code {
    fn number(self) -> u8 {
        match self {
            Self::Ok => 0,
            Self::Faults => 1,
            Self::Usage => 64,
            Self::BadData => 65,
            Self::NoInput => 66,
            Self::Unavailable => 69,
            Self::Internal => 70,
            Self::CannotCreate => 73,
            Self::Io => 74,
            Self::Temporary => 75,
            Self::NoPermission => 77,
            Self::Signal(signal) => 128_u8.saturating_add(signal),
        }
    }

    /// The code for something that the operating system refused.
    pub(crate) fn of_io(error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::NotFound => Self::NoInput,
            io::ErrorKind::AlreadyExists => Self::CannotCreate,
            io::ErrorKind::PermissionDenied => Self::NoPermission,
            _ => Self::Io,
        }
    }

    fn of_store(error: &MiniStoreError) -> Self {
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
            E::PathIsNotFile { .. } | E::Released { .. } => Self::NoInput,
            E::InvalidArgument(_) => Self::Usage,
            E::Locked { .. } | E::Busy | E::Conflict { .. } => Self::Temporary,
            E::BackendUnavailable { .. } => Self::Unavailable,
            _ => Self::Internal,
        }
    }
}

impl From<Code> for ExitCode {
    fn from(code: Code) -> Self {
        code.number().into()
    }
}

/// Why a subcommand ended early: an exit code, and one line for standard error.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    /// `None`: there is nothing to tell.
    line: Option<String>,
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl std::fmt::Display) -> Self {
        Self { code, line: Some(format!("ministore: {message}")) }
    }

    /// A line that names its place in the input, in the form that editors and compilers share.
    pub(crate) fn at_place(line: String) -> Self {
        Self { code: Code::BadData, line: Some(line) }
    }

    /// Something done with a file of the program's own (not the journal's) was refused.
    pub(crate) fn file(path: &Path, action: &str, error: &io::Error) -> Self {
        Self::new(Code::of_io(error), format_args!("{}: cannot {action}: {error}", path.display()))
    }

    /// Standard output cannot be written. A reader that has seen enough (`head`) is no failure.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { code: Code::Ok, line: None };
        }
        Self::new(Code::Io, format_args!("standard output: {error}"))
    }

    /// Several errors name no file of their own: `path` makes every line name one.
    pub(crate) fn store(path: &Path, error: &MiniStoreError) -> Self {
        use MiniStoreError as E;
        let code = Code::of_store(error);
        match error {
            // What the engine says about an I/O error, file and all, stands inside it.
            E::Io { source } if source.get_ref().is_some() => Self::new(code, source),
            E::Corrupt { .. }
            | E::Record { .. }
            | E::Locked { .. }
            | E::StorageFull { .. }
            | E::Poisoned { .. }
            | E::PathIsNotFile { .. } => Self::new(code, error),
            _ => Self::new(code, format_args!("{}: {error}", path.display())),
        }
    }

    /// Writes the line to standard error and leaves the code. A standard error that cannot be written leaves
    /// nobody to tell.
    pub(crate) fn tell(self) -> Code {
        if let Some(line) = self.line {
            complain(&line);
        }
        self.code
    }
}

/// One line on standard error.
pub(crate) fn complain(line: &str) {
    drop(writeln!(io::stderr().lock(), "{}", line.replace('\n', " ")));
}

/// One line on standard error about something that does not stop the program.
pub(crate) fn warn(message: impl std::fmt::Display) {
    complain(&format!("ministore: warning: {message}"));
}
