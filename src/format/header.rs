//! The header, the first line of a segment: its encoder and its parser.

use serde::{Deserialize, Serialize};

/// The first bytes of every journal; a version follows.
pub(crate) const MAGIC: &[u8] = b"// MINISTORE JOURNAL v";

/// The version in new segments: that of `ministore` 0.1.7, whose readers check only [`MAGIC`].
const VERSION: &str = "0.1.4";

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
pub(crate) enum Header {
    /// As `ministore` 0.1.7 writes it: the lines before the first seal are valid without one.
    Plain,
    /// Every line is covered by a seal.
    Checksummed(ChainLink),
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

impl Header {
    /// Returns the link to the segment before it, if the header has one.
    pub(crate) fn link(self) -> Option<ChainLink> {
        match self {
            Self::Plain => None,
            Self::Checksummed(link) => Some(link),
        }
    }

    /// Returns the header line, without a line feed.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut line = MAGIC.to_vec();
        line.extend_from_slice(VERSION.as_bytes());
        if let Self::Checksummed(ChainLink { first_seq, prev_seal }) = self {
            let object = format!(r#" {{"seal":"{SEAL_KIND}","first":{first_seq},"prev":"{prev_seal:08x}"}}"#);
            line.extend_from_slice(object.as_bytes());
        }
        line
    }

    /// Parses a first line. White space at its end (a close marker, padding, a carriage return) is ignored.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, HeaderError> {
        let rest = line.strip_prefix(MAGIC).ok_or(HeaderError::BadMagic)?.trim_ascii_end();
        let version_len = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        let (version, object) = rest.split_at(version_len);
        if !version.iter().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(b)) {
            return Err(HeaderError::Corrupt("the header's version is not one".into()));
        }
        match object.trim_ascii_start() {
            [] => Ok(Self::Plain),
            object => parse_link(object).map(Self::Checksummed),
        }
    }
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

/// Returns whether these bytes can be the beginning of a header.
pub(crate) fn is_header_prefix(bytes: &[u8]) -> bool {
    MAGIC.starts_with(bytes) || (bytes.starts_with(MAGIC) && !bytes.contains(&super::LF))
}

/// Returns whether these bytes, to the end of the file, can be a header whose write was interrupted.
pub(crate) fn is_torn_header(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_end();
    let is_one_line = bytes.starts_with(MAGIC) && !bytes.contains(&super::LF);
    MAGIC.starts_with(bytes) || (is_one_line && Header::parse(bytes).is_err())
}
