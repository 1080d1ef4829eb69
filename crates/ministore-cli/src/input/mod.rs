//! The inputs: standard input and files, with or without compression, which is recognised by the content.

mod fault;
mod format;
mod gzip;
mod members;
mod source;
mod zstd;

use std::{
    fs::{self, File, Metadata},
    io::{self, Cursor, IsTerminal, Read},
    os::fd::AsFd,
    path::{Path, PathBuf},
};

use crate::{
    exit::{CliError, ExitStatus, info, warn},
    hint,
};
use fault::{Compression, InputFault};
use format::{InputFormat, OtherFormat, START_BYTES};
use source::{CheckedReader, SourceState};

/// An input of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

impl Input {
    /// Returns the inputs of the command line; without a file, standard input.
    pub(crate) fn all(files: &[PathBuf]) -> Vec<Self> {
        if files.is_empty() {
            return vec![Self::Stdin];
        }
        let input =
            |file: &PathBuf| if file == Path::new("-") { Self::Stdin } else { Self::File(file.clone()) };
        files.iter().map(input).collect()
    }

    /// The name used in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "<stdin>".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    pub(crate) fn path(&self) -> Option<&Path> {
        match self {
            Self::Stdin => None,
            Self::File(path) => Some(path),
        }
    }

    /// The name stored for `--resume`: an absolute path without symbolic links.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => {
                let resolved = fs::canonicalize(path).or_else(|_| std::path::absolute(path));
                resolved.unwrap_or_else(|_| path.clone()).to_string_lossy().into_owned()
            }
        }
    }

    /// The stored size in bytes, if known.
    pub(crate) fn bytes(&self) -> Option<u64> {
        let Self::File(path) = self else { return None };
        fs::metadata(path).ok().filter(Metadata::is_file).map(|found| found.len())
    }

    /// Whether it can be read more than once.
    pub(crate) fn is_regular_file(&self) -> bool {
        self.bytes().is_some()
    }

    /// Checks that the input exists and can be read.
    pub(crate) fn check(&self) -> Result<Metadata, CliError> {
        let Self::File(path) = self else {
            let found = standard_input().and_then(|stdin| stdin.metadata());
            return found.map_err(|error| self.failure(&error));
        };
        let found = fs::metadata(path).map_err(|error| CliError::file(path, "read", &error))?;
        if found.is_dir() {
            return Err(
                CliError::about(path, ExitStatus::NoInput, "is a directory").hint("name the files in it")
            );
        }
        Ok(found)
    }

    /// Reports to the user of a terminal that the program waits for input.
    pub(crate) fn announce_terminal(&self) {
        if *self == Self::Stdin && io::stdin().is_terminal() {
            info("reading from the terminal; Ctrl-D ends the input");
        }
    }

    /// Opens it for reading, decompressed. `count` gets the number of stored bytes of each read.
    pub(crate) fn open<C: Fn(u64) + Send + 'static>(&self, count: C) -> io::Result<Box<dyn Read + Send>> {
        self.open_as(count, |_, _| false)
    }

    /// Opens it as [`open`](Self::open) does, even if it begins with a hole of NUL bytes.
    pub(crate) fn open_damaged(&self) -> io::Result<Box<dyn Read + Send>> {
        self.open_as(|_| {}, format::may_be_lines_with_hole)
    }

    /// `is_accepted`: decides whether a stream of another format is read nevertheless, by the format and the first bytes.
    fn open_as<C: Fn(u64) + Send + 'static>(
        &self,
        count: C,
        is_accepted: impl Fn(&OtherFormat, &[u8]) -> bool,
    ) -> io::Result<Box<dyn Read + Send>> {
        let file = match self {
            Self::Stdin => standard_input()?,
            Self::File(path) => File::open(path)?,
        };
        let (state, source) = SourceState::open(file, count)?;
        let (format, start, source) = recognise(source)?;
        let compression = match format {
            InputFormat::Other(format) if is_accepted(format, &start) => {
                return Ok(Box::new(CheckedReader::new(source, state)));
            }
            InputFormat::Other(format) => return Err(InputFault::Format { format, compression: None }.into()),
            InputFormat::Compressed(compression) => compression,
            InputFormat::Lines => {
                self.check_name(&start)?;
                return Ok(Box::new(CheckedReader::new(source, state)));
            }
        };
        let content: Box<dyn Read + Send> = match compression {
            Compression::Gzip => Box::new(gzip::MultiMemberDecoder::new(source)),
            Compression::Zstd => Box::new(zstd::MultiFrameDecoder::new(source)),
        };
        let (format, start, content) = recognise(CheckedReader::new(content, state))?;
        match format {
            InputFormat::Lines => Ok(Box::new(content)),
            InputFormat::Other(format) if is_accepted(format, &start) => Ok(Box::new(content)),
            InputFormat::Compressed(_) => Err(InputFault::CompressedTwice(compression).into()),
            InputFormat::Other(format) => {
                Err(InputFault::Format { format, compression: Some(compression) }.into())
            }
        }
    }

    /// Checks a file that is not compressed although its name may say so.
    fn check_name(&self, start: &[u8]) -> io::Result<()> {
        let Some(named) = self.path().and_then(named_compression) else { return Ok(()) };
        if start.is_empty() {
            warn(format_args!("{}: the file is empty, although its name says {}", self.name(), named.name()));
            return Ok(());
        }
        if format::looks_like_lines(start) {
            return Ok(());
        }
        Err(InputFault::NotAsNamed(named).into())
    }

    /// Converts a read error.
    pub(crate) fn failure(&self, error: &io::Error) -> CliError {
        let fault = InputFault::of(error);
        let status = fault.map_or_else(|| ExitStatus::of_io(error), |_| ExitStatus::BadData);
        let failure = CliError::about(self.name().as_ref(), status, format_args!("cannot read: {error}"));
        let hint = match fault {
            Some(fault) => Some(fault.hint(self.path())),
            None => self.path().and_then(|path| hint::of_io(path, error)),
        };
        match hint {
            Some(hint) => failure.hint(hint),
            None => failure,
        }
    }
}

/// Standard input as a file, so that its kind and size are known.
fn standard_input() -> io::Result<File> {
    Ok(io::stdin().as_fd().try_clone_to_owned()?.into())
}

/// The compression that the name of a file announces.
fn named_compression(path: &Path) -> Option<Compression> {
    match path.extension()?.to_ascii_lowercase().to_str()? {
        "gz" => Some(Compression::Gzip),
        "zst" => Some(Compression::Zstd),
        _ => None,
    }
}

/// Recognises the format of a stream. Returns its first bytes, and the whole stream.
fn recognise<R: Read>(mut source: R) -> io::Result<(InputFormat, Vec<u8>, impl Read)> {
    let mut start = Vec::with_capacity(START_BYTES);
    let mut is_all = false;
    loop {
        if let Some(format) = format::recognise(&start, is_all) {
            return Ok((format, start.clone(), Cursor::new(start).chain(source)));
        }
        let mut part = [0; START_BYTES];
        match source.read(&mut part[start.len()..]) {
            Ok(0) => is_all = true,
            Ok(length) => start.extend_from_slice(&part[start.len()..][..length]),
            Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
            Err(error) => return Err(error),
        }
    }
}
