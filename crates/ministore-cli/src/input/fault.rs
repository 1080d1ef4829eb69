//! Why an input cannot be read although the system reads it: each fault says what the file is and what to do.

use std::{
    borrow::Cow,
    error::Error,
    fmt::{self, Display, Formatter},
    io,
    path::Path,
};

use super::format::{OtherFormat, Remedy};
use crate::{hint::quoted, units};

/// A supported compression.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Compression {
    Gzip,
    Zstd,
}

impl Compression {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Gzip => "gzip",
            Self::Zstd => "zstd",
        }
    }

    fn decoder(self) -> &'static str {
        match self {
            Self::Gzip => "gzip -dc",
            Self::Zstd => "zstd -dc",
        }
    }
}

/// Travels inside an [`io::Error`].
#[derive(Debug)]
pub(super) enum InputFault {
    /// It has another format.
    Format { format: &'static OtherFormat, compression: Option<Compression> },
    /// Its decompressed content is compressed again.
    CompressedTwice(Compression),
    /// Its name says that it is compressed; its content is neither that nor lines.
    NotAsNamed(Compression),
    /// The compressed data does not decode.
    Damaged(Compression),
    /// The compressed data ends in the middle.
    Incomplete(Compression),
    /// Something that is not compressed follows the compressed data.
    TrailingData(Compression),
    /// A Zstandard frame needs more memory than is allowed.
    LargeWindow(u64),
    /// The file became shorter while it was read.
    Shrunk { read: u64, size: u64 },
}

impl InputFault {
    /// Returns the fault inside an error.
    pub(super) fn of(error: &io::Error) -> Option<&Self> {
        error.get_ref()?.downcast_ref()
    }

    /// Returns what to do. `path`: `None` for standard input.
    pub(super) fn hint(&self, path: Option<&Path>) -> String {
        let file = path.map_or_else(|| "FILE".into(), quoted);
        // The first command of a pipeline gets the name of the file.
        let convert = |command: &str| {
            let (first, rest) = command.split_at(command.find(" | ").unwrap_or(command.len()));
            format!("convert it: {first} {file}{rest} | ministore ingest JOURNAL")
        };
        match self {
            Self::Format { format, compression } => match (format.remedy, compression) {
                (Remedy::Convert(command), None) => convert(command),
                (Remedy::Convert(command), Some(outer)) => {
                    convert(&format!("{} | {command}", outer.decoder()))
                }
                (Remedy::Advice(advice), _) => advice.to_owned(),
            },
            Self::CompressedTwice(outer) => convert(outer.decoder()),
            Self::NotAsNamed(_) => "check what the file contains ('file NAME')".to_owned(),
            Self::Damaged(_) => {
                "the file is damaged: get it again; the lines before the damage are durable".to_owned()
            }
            Self::Incomplete(_) => "the file is incomplete: get it again, then use --resume".to_owned(),
            Self::TrailingData(_) => {
                "the lines of the compressed part are durable: remove the rest of the file, or \
                                      get it again"
                    .to_owned()
            }
            Self::LargeWindow(_) => convert("zstd -dc --long=31"),
            Self::Shrunk { .. } => {
                "another process changes the file: wait until it is complete, and do not truncate \
                                    it while it is read; the lines before the end are durable"
                    .to_owned()
            }
        }
    }
}

impl Display for InputFault {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Format { format, compression } => {
                let inside: Cow<'_, str> = match compression {
                    Some(outer) => format!("its {} content", outer.name()).into(),
                    None => "this".into(),
                };
                write!(f, "{inside} is {}, not JSON lines", format.name)
            }
            Self::CompressedTwice(outer) => {
                write!(f, "its {} content is compressed again", outer.name())
            }
            Self::NotAsNamed(compression) => write!(
                f,
                "its name says {}, but its content is neither that nor JSON lines",
                compression.name()
            ),
            Self::Damaged(compression) => write!(f, "the {} data is damaged", compression.name()),
            Self::Incomplete(compression) => {
                write!(f, "the {} data ends in the middle", compression.name())
            }
            Self::TrailingData(compression) => {
                write!(f, "data that is not {0} follows the {0} data", compression.name())
            }
            Self::LargeWindow(bytes) => write!(
                f,
                "compressed with a window of {} (zstd --long): more memory than is allowed",
                units::bytes(*bytes)
            ),
            Self::Shrunk { read, size } => write!(
                f,
                "the file became shorter while it was read: it had {} bytes, and ended after {}",
                units::count(*size),
                units::count(*read)
            ),
        }
    }
}

impl Error for InputFault {}

impl From<InputFault> for io::Error {
    fn from(fault: InputFault) -> Self {
        Self::new(io::ErrorKind::InvalidData, fault)
    }
}

/// Converts an error of a decoder. An error of the operating system stays what it is.
pub(super) fn decoding(compression: Compression, error: io::Error) -> io::Error {
    match error.kind() {
        _ if error.raw_os_error().is_some() => error,
        io::ErrorKind::UnexpectedEof => InputFault::Incomplete(compression).into(),
        _ => InputFault::Damaged(compression).into(),
    }
}
