//! Owns the exit codes (those of `sysexits.h`), the one mapping from what went wrong to them, and how it is told: one line
//! that says what and where, and one that says what to do about it.

use std::{
    fmt::Display,
    io::{self, Write},
    path::Path,
    process::ExitCode,
};

use ministore_uring::MiniStoreError;

use crate::{
    hint,
    style::{ERROR, HINT, Paint, WARNING},
};

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
            E::NotOwned { .. } => Self::CannotCreate,
            E::Locked { .. } | E::Busy | E::Conflict { .. } | E::Unavailable { .. } => Self::Temporary,
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

/// Why a subcommand ended early: an exit code, and what to tell.
#[derive(Debug)]
pub(crate) struct Failure {
    code: Code,
    told: Told,
    /// What to do about it.
    hint: Option<String>,
}

/// One line for standard error.
#[derive(Debug)]
enum Told {
    Nothing,
    /// Behind the program's name.
    Message(String),
    /// As it is: it begins with its place in a file.
    Place(String),
}

impl Failure {
    pub(crate) fn new(code: Code, message: impl Display) -> Self {
        Self { code, told: Told::Message(message.to_string()), hint: hint::of_code(code).map(str::to_owned) }
    }

    /// A line that names its place in the input, in the form that editors and compilers share.
    pub(crate) fn at_place(line: String) -> Self {
        Self { code: Code::BadData, told: Told::Place(line), hint: None }
    }

    /// The same, with this to do about it.
    pub(crate) fn hint(mut self, hint: impl Display) -> Self {
        self.hint = Some(hint.to_string());
        self
    }

    /// Something done with a file of the program's own (not the journal's) was refused.
    pub(crate) fn file(path: &Path, action: &str, error: &io::Error) -> Self {
        let failure =
            Self::new(Code::of_io(error), format_args!("{}: cannot {action}: {error}", path.display()));
        Self { hint: hint::of_io(path, error), ..failure }
    }

    /// A file that is to be made cannot be.
    pub(crate) fn create(path: &Path, error: &io::Error) -> Self {
        match error.kind() {
            io::ErrorKind::PermissionDenied => Self::file(path, "create", error),
            kind => {
                let message = format_args!("{}: cannot create: {error}", path.display());
                let failure = Self::new(Code::CannotCreate, message);
                match hint::of_io(path, error).filter(|_| kind != io::ErrorKind::NotFound) {
                    Some(hint) => failure.hint(hint),
                    None => failure.hint(hint::make_directory_of(path)),
                }
            }
        }
    }

    /// Standard output cannot be written. A reader that has seen enough (`head`) is no failure.
    pub(crate) fn output(error: io::Error) -> Self {
        if error.kind() == io::ErrorKind::BrokenPipe {
            return Self { code: Code::Ok, told: Told::Nothing, hint: None };
        }
        Self::new(Code::Io, format_args!("standard output: {error}"))
            .hint("make room where the output goes, or send it elsewhere")
    }

    /// Several errors name no file of their own: `path` makes every line name one.
    pub(crate) fn store(path: &Path, error: &MiniStoreError) -> Self {
        use MiniStoreError as E;
        let code = match error {
            // Whoever names a directory or a device is told the same by every subcommand.
            E::Io { .. } if hint::is_no_file(path) => Code::NoInput,
            _ => Code::of_store(error),
        };
        let failure = match error {
            // What the engine says about an I/O error, file and all, stands inside it.
            E::Io { source } if source.get_ref().is_some() => Self::new(code, source),
            E::Corrupt { .. }
            | E::Record { .. }
            | E::Locked { .. }
            | E::NotOwned { .. }
            | E::StorageFull { .. }
            | E::Unavailable { .. }
            | E::Poisoned { .. }
            | E::PathIsNotFile { .. }
            | E::Released { .. } => Self::new(code, error),
            _ => Self::new(code, format_args!("{}: {error}", path.display())),
        };
        match hint::of_store(path, error) {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }

    /// Writes it to standard error and leaves the code. A standard error that cannot be written leaves nobody to tell.
    pub(crate) fn tell(self) -> Code {
        let paint = Paint::of_stderr();
        let line = match self.told {
            Told::Nothing => return self.code,
            Told::Message(message) => format!("{} {}", paint.with(ERROR, "ministore:"), one_line(&message)),
            Told::Place(line) => one_line(&line),
        };
        let hint = self.hint.map(|hint| format!("\n{} {}", paint.with(HINT, "hint:"), one_line(&hint)));
        write(&(line + &hint.unwrap_or_default()));
        self.code
    }
}

/// What a message quotes may have line feeds in it: a path, say.
fn one_line(text: &str) -> String {
    text.replace('\n', " ")
}

/// What to do next, where what is to be told went to standard output.
pub(crate) fn hint(hint: impl Display) {
    complain(&format!("{} {hint}", Paint::of_stderr().with(HINT, "hint:")));
}

/// One line on standard error.
pub(crate) fn complain(line: &str) {
    write(&one_line(line));
}

/// Both lines at once.
fn write(text: &str) {
    drop(writeln!(io::stderr().lock(), "{text}"));
}

/// One line on standard error that is no complaint.
pub(crate) fn note(message: impl Display) {
    complain(&format!("ministore: {message}"));
}

/// One line on standard error about something that does not stop the program.
pub(crate) fn warn(message: impl Display) {
    complain(&format!("ministore: {} {message}", Paint::of_stderr().with(WARNING, "warning:")));
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_code_has_its_number() {
        let codes = [
            (Code::Ok, 0),
            (Code::Faults, 1),
            (Code::Usage, 64),
            (Code::BadData, 65),
            (Code::NoInput, 66),
            (Code::Unavailable, 69),
            (Code::Internal, 70),
            (Code::CannotCreate, 73),
            (Code::Io, 74),
            (Code::Temporary, 75),
            (Code::NoPermission, 77),
            (Code::Signal(2), 130),
            (Code::Signal(15), 143),
        ];
        for (code, number) in codes {
            assert_eq!(code.number(), number, "{code:?}");
        }
    }

    /// What cannot be provoked from outside.
    #[test]
    fn a_fault_of_this_program_is_70_and_is_to_be_reported() {
        for error in [MiniStoreError::WriterGone, MiniStoreError::Closed] {
            let failure = Failure::store(Path::new("j"), &error);
            assert_eq!(failure.code, Code::Internal);
            assert!(failure.hint.unwrap().contains("report it"), "{error}");
        }
    }

    #[test]
    fn a_failed_sync_is_74_and_says_what_is_kept() {
        let source = std::sync::Arc::new(io::Error::from_raw_os_error(5));
        let failure = Failure::store(Path::new("j"), &MiniStoreError::Poisoned { path: "j".into(), source });
        assert_eq!(failure.code, Code::Io);
        assert!(failure.hint.unwrap().contains("acknowledged before is kept"));
    }
}
