//! The inputs: standard input, plain files, and compressed files, recognised by their names.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::zstd::MultiFrameDecoder;
use crate::{
    exit::{CliError, ExitStatus},
    hint,
};

/// An input of the command line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Input {
    Stdin,
    File(PathBuf),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Compression {
    None,
    Gzip,
    Zstd,
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

    /// The name stored for `--resume`: an absolute path.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                path.to_string_lossy().into_owned()
            }
        }
    }

    /// The stored size in bytes, if known.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => fs::metadata(path).ok().filter(Metadata::is_file).map(|found| found.len()),
        }
    }

    /// Checks the input before the first append, so that the run does not fail in the middle.
    pub(crate) fn check(&self, journal: &Path) -> Result<(), CliError> {
        let Self::File(path) = self else { return Ok(()) };
        let found = Self::check_file(path)?;
        // A journal that is appended to itself would grow until the disk is full.
        let itself =
            fs::metadata(journal).is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()));
        if itself {
            let failure =
                CliError::new(ExitStatus::Usage, format_args!("{}: is the journal itself", path.display()))
                    .path(path);
            return Err(failure.hint("name the journal first, then the input files"));
        }
        Ok(())
    }

    /// Checks that a file can be read.
    pub(crate) fn check_file(path: &Path) -> Result<Metadata, CliError> {
        let found = fs::metadata(path).map_err(|error| CliError::file(path, "read", &error))?;
        if found.is_dir() {
            let failure =
                CliError::new(ExitStatus::NoInput, format_args!("{}: is a directory", path.display()))
                    .path(path);
            return Err(failure.hint("name the files in it"));
        }
        Ok(found)
    }

    /// Opens it for reading, decompressed.
    pub(crate) fn open<C: Fn(u64) + Send + 'static>(&self, count: C) -> io::Result<Box<dyn Read + Send>> {
        let Self::File(path) = self else {
            return Ok(Box::new(CountingReader { source: io::stdin(), count }));
        };
        let file = CountingReader { source: File::open(path)?, count };
        Ok(match Compression::of(path) {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(MultiFrameDecoder::new(file)),
        })
    }

    /// Converts a read error: a compressed file that cannot be decoded is bad data for any kind of error.
    pub(crate) fn failure(&self, error: &io::Error) -> CliError {
        use io::ErrorKind as Kind;
        let data = matches!(
            error.kind(),
            Kind::InvalidData | Kind::InvalidInput | Kind::UnexpectedEof | Kind::Other
        );
        let code = match self {
            Self::File(path) if data && Compression::of(path) != Compression::None => ExitStatus::BadData,
            _ => ExitStatus::of_io(error),
        };
        let failure = CliError::new(code, format_args!("{}: cannot read: {error}", self.name()))
            .path(Path::new(&self.name()));
        match (code, self) {
            (ExitStatus::BadData, _) => failure.hint("the file is damaged or incomplete: get it again"),
            (_, Self::File(path)) => match hint::of_io(path, error) {
                Some(hint) => failure.hint(hint),
                None => failure,
            },
            _ => failure,
        }
    }
}

impl Compression {
    fn of(path: &Path) -> Self {
        let extension = path.extension().map(|extension| extension.to_ascii_lowercase());
        match extension.as_ref().and_then(|extension| extension.to_str()) {
            Some("gz") => Self::Gzip,
            Some("zst") => Self::Zstd,
            _ => Self::None,
        }
    }
}

/// Counts the bytes read, as stored, for the progress bar.
struct CountingReader<R, C> {
    source: R,
    count: C,
}

impl<R: Read, C: Fn(u64)> Read for CountingReader<R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        (self.count)(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
