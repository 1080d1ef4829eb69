//! Owns where lines come from: standard input, plain files, and compressed ones by their names.

use std::{
    fs::{self, File, Metadata},
    io::{self, Read},
    os::unix::fs::MetadataExt,
    path::{Path, PathBuf},
};

use flate2::read::MultiGzDecoder;

use super::zstd::MultiFrameDecoder;
use crate::{
    exit::{Code, Failure},
    hint,
};

/// One input, in the order of the command line.
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
    /// No file at all means standard input.
    pub(crate) fn all(files: &[PathBuf]) -> Vec<Self> {
        if files.is_empty() {
            return vec![Self::Stdin];
        }
        let input =
            |file: &PathBuf| if file == Path::new("-") { Self::Stdin } else { Self::File(file.clone()) };
        files.iter().map(input).collect()
    }

    /// As it is named in messages.
    pub(crate) fn name(&self) -> String {
        match self {
            Self::Stdin => "<stdin>".to_owned(),
            Self::File(path) => path.display().to_string(),
        }
    }

    /// As it is remembered for `--resume`: the same file from whatever directory.
    pub(crate) fn key(&self) -> String {
        match self {
            Self::Stdin => "-".to_owned(),
            Self::File(path) => {
                let path = std::path::absolute(path).unwrap_or_else(|_| path.clone());
                path.to_string_lossy().into_owned()
            }
        }
    }

    /// Size in bytes as stored, where it is known.
    pub(crate) fn bytes(&self) -> Option<u64> {
        match self {
            Self::Stdin => None,
            Self::File(path) => fs::metadata(path).ok().filter(Metadata::is_file).map(|found| found.len()),
        }
    }

    /// Finds out before the first append what would otherwise end the run in its middle.
    pub(crate) fn check(&self, journal: &Path) -> Result<(), Failure> {
        let Self::File(path) = self else { return Ok(()) };
        let found = Self::check_file(path)?;
        // A journal that is read into itself would grow until the disk is full.
        let itself =
            fs::metadata(journal).is_ok_and(|own| (own.dev(), own.ino()) == (found.dev(), found.ino()));
        if itself {
            let failure =
                Failure::new(Code::Usage, format_args!("{}: is the journal itself", path.display()));
            return Err(failure.hint("the journal comes first, then the files to read"));
        }
        Ok(())
    }

    /// What a file is that can be read as lines.
    pub(crate) fn check_file(path: &Path) -> Result<Metadata, Failure> {
        let found = fs::metadata(path).map_err(|error| Failure::file(path, "read", &error))?;
        if found.is_dir() {
            let failure = Failure::new(Code::NoInput, format_args!("{}: is a directory", path.display()));
            return Err(failure.hint("name the files in it"));
        }
        Ok(found)
    }

    /// Opens it for reading, decompressed.
    pub(crate) fn open<C: Fn(u64) + Send + 'static>(&self, count: C) -> io::Result<Box<dyn Read + Send>> {
        let Self::File(path) = self else {
            return Ok(Box::new(Counted { source: io::stdin(), count }));
        };
        let file = Counted { source: File::open(path)?, count };
        Ok(match Compression::of(path) {
            Compression::None => Box::new(file),
            Compression::Gzip => Box::new(MultiGzDecoder::new(file)),
            Compression::Zstd => Box::new(MultiFrameDecoder::new(file)),
        })
    }

    /// What an error while reading says about it: a compressed file that does not decode is bad data, whatever
    /// kind of error its decoder makes of that.
    pub(crate) fn failure(&self, error: &io::Error) -> Failure {
        use io::ErrorKind as Kind;
        let data = matches!(
            error.kind(),
            Kind::InvalidData | Kind::InvalidInput | Kind::UnexpectedEof | Kind::Other
        );
        let code = match self {
            Self::File(path) if data && Compression::of(path) != Compression::None => Code::BadData,
            _ => Code::of_io(error),
        };
        let failure = Failure::new(code, format_args!("{}: cannot read: {error}", self.name()));
        match (code, self) {
            (Code::BadData, _) => failure.hint("the file is damaged or not whole: fetch it again"),
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

/// Tells how many bytes were read, as they are stored: what a progress bar can compare with the file's size.
struct Counted<R, C> {
    source: R,
    count: C,
}

impl<R: Read, C: Fn(u64)> Read for Counted<R, C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer)?;
        (self.count)(u64::try_from(read).unwrap_or(u64::MAX));
        Ok(read)
    }
}
