//! The header, the first line of a segment: its encoder and its parser.

use serde::{Deserialize, Serialize};

use crate::options::Header;

/// The first bytes of a header that is a comment; a version follows.
const MAGIC: &[u8] = b"// MINISTORE JOURNAL v";

/// The first bytes of a header that is a JSON object; a version follows.
const JSON_MAGIC: &[u8] = br#"{"$ministore":{"journal":""#;

/// The first bytes of every journal.
const MAGICS: [&[u8]; 2] = [MAGIC, JSON_MAGIC];

/// No magic is longer.
pub(crate) const MAGIC_BYTES_MAX: usize = JSON_MAGIC.len();

/// The version in new segments: that of `ministore` 0.1.7, whose readers check only [`MAGIC`].
const VERSION: &str = "0.1.4";

/// The version in new segments whose header is a JSON object.
const JSON_VERSION: &str = "0.2.0";

/// The padding after the data of a segment whose header is a JSON object is never longer. Other readers read such a file whole, and
/// padding as a part of its last line: DuckDB refuses lines of more than 16 MiB.
pub(crate) const JSON_PADDING_MAX: u64 = 8 << 20;

/// The highest first sequence number of a segment: the records of one file can be added to it without an overflow.
const FIRST_SEQ_MAX: u64 = 1 << 62;

/// The highest sequence number that a writer opens a journal at: it cannot write as many records as are left up to
/// [`FIRST_SEQ_MAX`].
pub(crate) const OPEN_SEQ_MAX: u64 = FIRST_SEQ_MAX - (1 << 48);

/// The only kind of seal.
const SEAL_KIND: &str = "crc32c";

/// The link of a checksummed segment to the segment before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainLink {
    /// Sequence number of the first record line.
    pub(crate) first_seq: u64,
    /// Value of the last seal in the segment before it; 0 if there is none.
    pub(crate) prev_seal: u32,
}

/// A parsed header line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SegmentHeader {
    /// As `ministore` 0.1.7 writes it: the lines before the first seal are valid without one.
    Plain,
    /// Every line is covered by a seal.
    Checksummed(ChainLink),
    /// Every line is covered by a seal, and the header is a JSON object.
    Json(ChainLink),
}

/// The reason why a first line is not a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("it does not begin as a journal does")]
    BadMagic,
    /// The line begins with [`MAGIC`], and the rest does not parse.
    #[error("{0}")]
    Corrupt(String),
}

#[derive(Serialize, Deserialize)]
struct LinkFields<'a> {
    seal: &'a str,
    first: u64,
    prev: &'a str,
}

impl SegmentHeader {
    /// Returns the header of a new segment with checksums.
    pub(crate) fn of(style: Header, link: ChainLink) -> Self {
        match style {
            Header::Comment => Self::Checksummed(link),
            Header::Json => Self::Json(link),
        }
    }

    /// Returns the link to the segment before it, if the header has one.
    pub(crate) fn link(self) -> Option<ChainLink> {
        match self {
            Self::Plain => None,
            Self::Checksummed(link) | Self::Json(link) => Some(link),
        }
    }

    /// Returns how many bytes of padding may follow the data of the segment.
    pub(crate) fn padding_max(self) -> u64 {
        match self {
            Self::Plain | Self::Checksummed(_) => u64::MAX,
            Self::Json(_) => JSON_PADDING_MAX,
        }
    }

    /// Returns the header line, without a line feed.
    pub(crate) fn encode(self) -> Vec<u8> {
        match self {
            Self::Plain => [MAGIC, VERSION.as_bytes()].concat(),
            Self::Checksummed(link) => {
                [MAGIC, format!("{VERSION} {{{}}}", link_fields(link)).as_bytes()].concat()
            }
            Self::Json(link) => {
                [JSON_MAGIC, format!("{JSON_VERSION}\",{}}}}}", link_fields(link)).as_bytes()].concat()
            }
        }
    }

    /// Parses a first line. White space at its end (a close marker, padding, a carriage return) is ignored.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, HeaderError> {
        let line = line.trim_ascii_end();
        if let Some(rest) = line.strip_prefix(JSON_MAGIC) {
            return parse_json(rest).map(Self::Json);
        }
        let rest = line.strip_prefix(MAGIC).ok_or(HeaderError::BadMagic)?;
        let version_len = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        let (version, object) = rest.split_at(version_len);
        check_version(version)?;
        match object.trim_ascii_start() {
            [] => Ok(Self::Plain),
            object => parse_link(object).map(Self::Checksummed),
        }
    }
}

/// Returns the fields of a link, without the braces around them.
fn link_fields(ChainLink { first_seq, prev_seal }: ChainLink) -> String {
    format!(r#""seal":"{SEAL_KIND}","first":{first_seq},"prev":"{prev_seal:08x}""#)
}

fn check_version(version: &[u8]) -> Result<(), HeaderError> {
    if version.iter().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(b)) {
        return Ok(());
    }
    Err(HeaderError::Corrupt("the header's version is not one".into()))
}

/// Parses a header from its version on: `VERSION",FIELDS}}`.
fn parse_json(rest: &[u8]) -> Result<ChainLink, HeaderError> {
    let version_len = rest.iter().position(|&b| b == b'"').unwrap_or(rest.len());
    let (version, fields) = rest.split_at(version_len);
    check_version(version)?;
    let fields = fields.strip_prefix(b"\",").and_then(|fields| fields.strip_suffix(b"}}"));
    let fields = fields.ok_or_else(|| HeaderError::Corrupt("the header's object is incomplete".into()))?;
    parse_link(&[b"{", fields, b"}"].concat())
}

fn parse_link(object: &[u8]) -> Result<ChainLink, HeaderError> {
    let corrupt = |reason: String| HeaderError::Corrupt(reason);
    let fields: LinkFields<'_> = serde_json::from_slice(object)
        .map_err(|source| corrupt(format!("the header's object does not parse: {source}")))?;
    if fields.seal != SEAL_KIND {
        return Err(corrupt(format!("the header names an unknown seal, {:?}", fields.seal)));
    }
    if !(1..=FIRST_SEQ_MAX).contains(&fields.first) {
        return Err(corrupt("the header's first sequence number is out of range".into()));
    }
    let is_hex = fields.prev.len() == 8 && fields.prev.bytes().all(|b| b.is_ascii_hexdigit());
    let prev_seal = u32::from_str_radix(fields.prev, 16).ok().filter(|_| is_hex);
    let prev_seal =
        prev_seal.ok_or_else(|| corrupt("the header's previous seal is not 8 hex digits".into()))?;
    Ok(ChainLink { first_seq: fields.first, prev_seal })
}

/// Returns whether this is the JSON object of a checksummed header.
pub(crate) fn is_link_object(text: &[u8]) -> bool {
    parse_link(text).is_ok()
}

/// Returns the length of the header that these bytes begin with, if it has an object.
pub(crate) fn object_end(bytes: &[u8]) -> Option<usize> {
    let closing: &[u8] = if bytes.starts_with(JSON_MAGIC) { b"}}" } else { b"}" };
    memchr::memmem::find(bytes, closing).map(|at| at + closing.len())
}

/// Returns whether the first bytes of a file, [`MAGIC_BYTES_MAX`] unless the file is shorter, are those of a journal or a
/// beginning of them.
pub(crate) fn starts_as_a_journal(start: &[u8]) -> bool {
    MAGICS.iter().any(|magic| {
        let start = start[..start.len().min(magic.len())].trim_ascii_end();
        magic.starts_with(start) && !start.is_empty()
    })
}

/// Returns whether these bytes can be the beginning of a header.
pub(crate) fn is_header_prefix(bytes: &[u8]) -> bool {
    MAGICS.iter().any(|magic| magic.starts_with(bytes)) || is_one_line_with_magic(bytes)
}

/// Returns whether these bytes, to the end of the file, can be a header whose write was interrupted.
pub(crate) fn is_torn_header(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_end();
    MAGICS.iter().any(|magic| magic.starts_with(bytes))
        || (is_one_line_with_magic(bytes) && SegmentHeader::parse(bytes).is_err())
}

fn is_one_line_with_magic(bytes: &[u8]) -> bool {
    MAGICS.iter().any(|magic| bytes.starts_with(magic)) && !bytes.contains(&super::LF)
}
