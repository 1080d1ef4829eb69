//! Recognises the format of an input by its first bytes: lines, a supported compression, or something else. Pure.
//!
//! The content decides, not the name: no JSON value begins like a compressed file.

use super::fault::Compression;
use crate::suggest::{JSON_MAGIC as JSON_JOURNAL_MAGIC, MAGIC as JOURNAL_MAGIC};

/// The format of an input.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum InputFormat {
    /// JSON lines, or any other bytes: the lines are checked one by one.
    Lines,
    Compressed(Compression),
    Other(&'static OtherFormat),
}

/// A format that is recognised and not read.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct OtherFormat {
    magic: &'static [u8],
    /// Completes "this is …".
    pub(crate) name: &'static str,
    pub(crate) remedy: Remedy,
}

/// What to do with a file of another format.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Remedy {
    /// This command writes its lines to standard output.
    Convert(&'static str),
    Advice(&'static str),
}

const fn other(magic: &'static [u8], name: &'static str, convert: &'static str) -> OtherFormat {
    OtherFormat { magic, name, remedy: Remedy::Convert(convert) }
}

/// Longer magic bytes come first.
const OTHERS: [OtherFormat; 15] = [
    other(b"\xff\xfe\0\0", "UTF-32 text", "iconv -f UTF-32 -t UTF-8"),
    other(b"\0\0\xfe\xff", "UTF-32 text", "iconv -f UTF-32 -t UTF-8"),
    other(b"\xff\xfe", "UTF-16 text", "iconv -f UTF-16 -t UTF-8"),
    other(b"\xfe\xff", "UTF-16 text", "iconv -f UTF-16 -t UTF-8"),
    other(b"\xfd7zXZ\0", "compressed with xz", "xz -dc"),
    other(b"BZh", "compressed with bzip2", "bzip2 -dc"),
    other(b"\x04\x22\x4d\x18", "compressed with lz4", "lz4 -dc"),
    other(b"LZIP", "compressed with lzip", "lzip -dc"),
    other(b"\x1f\x9d", "compressed with compress", "gzip -dc"),
    other(b"PK\x03\x04", "a ZIP archive", "unzip -p"),
    other(b"7z\xbc\xaf\x27\x1c", "a 7z archive", "7z x -so"),
    other(JOURNAL_MAGIC, "a journal", "ministore replay"),
    other(JSON_JOURNAL_MAGIC, "a journal", "ministore replay"),
    OtherFormat {
        magic: b"PAR1",
        name: "a Parquet file",
        remedy: Remedy::Advice("convert it to JSON lines: one JSON value per line"),
    },
    ZERO_BYTES,
];

/// A file that begins with a hole; a repair removes it.
const ZERO_BYTES: OtherFormat = OtherFormat {
    magic: b"\0\0\0\0",
    name: "zero bytes",
    remedy: Remedy::Advice(
        "the file was not written completely, or a crash lost its data: get it again, or keep the lines after them \
         ('ministore import --repair SOURCE JOURNAL')",
    ),
};

/// UTF-16 without a byte order mark: every second byte of ASCII characters is 0.
const UTF_16LE: OtherFormat = other(b"", "UTF-16 text", "iconv -f UTF-16LE -t UTF-8");
const UTF_16BE: OtherFormat = other(b"", "UTF-16 text", "iconv -f UTF-16BE -t UTF-8");

/// Whether a stream of such a format may be JSON lines with a hole of NUL bytes. Two characters of UTF-16 are no hole.
pub(super) fn may_be_lines_with_hole(format: &OtherFormat, start: &[u8]) -> bool {
    match start {
        [1..=255, 0, 1..=255, 0, ..] | [0, 1..=255, 0, 1..=255, ..] => false,
        _ => [&ZERO_BYTES, &UTF_16LE, &UTF_16BE].contains(&format),
    }
}

const GZIP: &[u8] = b"\x1f\x8b";
const ZSTD: &[u8] = b"\x28\xb5\x2f\xfd";

/// No format needs more bytes than this.
pub(super) const START_BYTES: usize = 32;

/// Recognises a stream by its first bytes; `None` if more of them are needed. A stream of text is recognised as soon as
/// possible: its first line may be all that its writer sends for now.
pub(super) fn recognise(start: &[u8], is_all: bool) -> Option<InputFormat> {
    let known = [
        (GZIP, InputFormat::Compressed(Compression::Gzip)),
        (ZSTD, InputFormat::Compressed(Compression::Zstd)),
    ];
    for (magic, format) in
        known.into_iter().chain(OTHERS.iter().map(|one| (one.magic, InputFormat::Other(one))))
    {
        if start.starts_with(magic) {
            return Some(format);
        }
        if !is_all && magic.starts_with(start) {
            return None;
        }
    }
    match start {
        // Zstandard's skippable frames.
        [0x50..=0x5f, 0x2a, 0x4d, 0x18, ..] => Some(InputFormat::Compressed(Compression::Zstd)),
        [0x50..=0x5f] | [0x50..=0x5f, 0x2a] | [0x50..=0x5f, 0x2a, 0x4d] if !is_all => None,
        [_] if !is_all => None,
        [b'\t'..=b'~', 0, ..] => Some(InputFormat::Other(&UTF_16LE)),
        [0, b'\t'..=b'~', ..] => Some(InputFormat::Other(&UTF_16BE)),
        _ => Some(InputFormat::Lines),
    }
}

/// Whether a stream may be JSON lines: it begins like a value, with white space, or with a byte order mark.
pub(super) fn looks_like_lines(start: &[u8]) -> bool {
    start.first().is_none_or(|byte| b"{[\"-0123456789tfn \t\r\n\xef".contains(byte))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(start: &[u8]) -> &'static str {
        match recognise(start, true).unwrap() {
            InputFormat::Lines => "lines",
            InputFormat::Compressed(Compression::Gzip) => "gzip",
            InputFormat::Compressed(Compression::Zstd) => "zstd",
            InputFormat::Other(other) => other.name,
        }
    }

    #[test]
    fn format_is_recognised_by_magic_bytes() {
        let cases: [(&[u8], &str); 16] = [
            (b"", "lines"),
            (b"1", "lines"),
            (b"{\"a\":1}\n", "lines"),
            (b"\xef\xbb\xbf{}\n", "lines"),
            (b"nonsense", "lines"),
            (b"\x1f\x8b\x08\0", "gzip"),
            (b"\x28\xb5\x2f\xfd\0", "zstd"),
            (b"\x53\x2a\x4d\x18\0", "zstd"),
            (b"\xfd7zXZ\0\0", "compressed with xz"),
            (b"BZh91AY", "compressed with bzip2"),
            (b"\xff\xfe{\0", "UTF-16 text"),
            (b"{\0\"\0", "UTF-16 text"),
            (b"\0{\0\"", "UTF-16 text"),
            (b"// MINISTORE JOURNAL v0.2.0 {}\n", "a journal"),
            (br#"{"$ministore":{"journal":"0.2.0","seal":"crc32c"}}"#, "a journal"),
            (br#"{"$ministore":{"other":1}}"#, "lines"),
        ];
        for (start, expected) in cases {
            assert_eq!(name(start), expected, "{start:?}");
        }
    }

    #[test]
    fn short_line_is_recognised_without_more_bytes() {
        for line in ["1\n", "{}", "\n\n", "Bx", "P\n", "7\n", "/\n", "\u{feff}1\n"] {
            assert_eq!(recognise(line.as_bytes(), false), Some(InputFormat::Lines), "{line:?}");
        }
        for start in [&b""[..], b"{", b"\x1f", b"\xff\xfe", b"BZ", b"\x28\xb5\x2f", b"\x52\x2a"] {
            assert_eq!(recognise(start, false), None, "{start:?}");
        }
    }

    #[test]
    fn hole_is_distinguished_from_utf_16() {
        let is_hole = |start: &[u8]| match recognise(start, true).unwrap() {
            InputFormat::Other(format) => may_be_lines_with_hole(format, start),
            format => panic!("{format:?}"),
        };
        for start in [&b"\0\0\0\0\0{"[..], b"\0{\"a\":1}\n", b"{\0\0\0\"a\"", b"1\0{}\n"] {
            assert!(is_hole(start), "{start:?}");
        }
        for start in [&b"{\0\"\0a\0"[..], b"\0{\0\"", b"\xff\xfe{\0", b"BZh91", b"PK\x03\x04"] {
            assert!(!is_hole(start), "{start:?}");
        }
    }

    #[test]
    fn no_magic_is_longer_than_the_start() {
        assert!(OTHERS.iter().all(|other| other.magic.len() <= START_BYTES));
    }
}
