//! The first line of a segment: composed and parsed here, nowhere else.

use serde::{Deserialize, Serialize};

/// What every journal begins with; a version follows.
pub(crate) const MAGIC: &[u8] = b"// MINISTORE JOURNAL v";

/// The version written into new segments: that of `ministore` 0.1.7, whose readers check [`MAGIC`] only.
const VERSION: &str = "0.1.4";

/// No segment begins with a higher number: behind it, what one file can hold must still be counted without an overflow.
const FIRST_MAX: u64 = 1 << 62;

/// The only seal there is.
const SEAL_KIND: &str = "crc32c";

/// How a sealed segment continues the one before it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct ChainLink {
    /// Sequence number of the first record line.
    pub(crate) first: u64,
    /// Last seal value of the segment before; 0 for none.
    pub(crate) prev: u32,
}

/// What a header line says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Header {
    /// As the original writes it: lines before the first seal are valid without one.
    Plain,
    /// As this engine writes it: every line is covered by a seal.
    Sealed(ChainLink),
}

/// Why a first line is not a header.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub(crate) enum HeaderError {
    #[error("it does not begin as a journal does")]
    BadMagic,
    /// It begins as one, and what follows makes no sense.
    #[error("{0}")]
    Corrupt(String),
}

#[derive(Serialize, Deserialize)]
struct Fields<'a> {
    seal: &'a str,
    first: u64,
    prev: &'a str,
}

impl Header {
    /// How it continues the segment before it, where it says so.
    pub(crate) fn link(self) -> Option<ChainLink> {
        match self {
            Self::Plain => None,
            Self::Sealed(link) => Some(link),
        }
    }

    /// The header line, without a line feed.
    pub(crate) fn encode(self) -> Vec<u8> {
        let mut line = MAGIC.to_vec();
        line.extend_from_slice(VERSION.as_bytes());
        if let Self::Sealed(ChainLink { first, prev }) = self {
            let object = format!(r#" {{"seal":"{SEAL_KIND}","first":{first},"prev":"{prev:08x}"}}"#);
            line.extend_from_slice(object.as_bytes());
        }
        line
    }

    /// Reads a first line. White space at its end (a closed mark, padding, a carriage return) is passed over.
    pub(crate) fn parse(line: &[u8]) -> Result<Self, HeaderError> {
        let rest = line.strip_prefix(MAGIC).ok_or(HeaderError::BadMagic)?.trim_ascii_end();
        let version_len = rest.iter().position(|&b| b == b' ').unwrap_or(rest.len());
        let (version, object) = rest.split_at(version_len);
        if !version.iter().all(|b| b.is_ascii_alphanumeric() || b"._+-".contains(b)) {
            return Err(HeaderError::Corrupt("the header's version is not one".into()));
        }
        match object.trim_ascii_start() {
            [] => Ok(Self::Plain),
            object => parse_link(object).map(Self::Sealed),
        }
    }
}

fn parse_link(object: &[u8]) -> Result<ChainLink, HeaderError> {
    let damaged = |reason: String| HeaderError::Corrupt(reason);
    let fields: Fields<'_> = serde_json::from_slice(object)
        .map_err(|source| damaged(format!("the header's object does not parse: {source}")))?;
    if fields.seal != SEAL_KIND {
        return Err(damaged(format!("the header names an unknown seal, {:?}", fields.seal)));
    }
    if !(1..=FIRST_MAX).contains(&fields.first) {
        return Err(damaged("the header's first sequence number is out of range".into()));
    }
    let is_hex = fields.prev.len() == 8 && fields.prev.bytes().all(|b| b.is_ascii_hexdigit());
    let prev = u32::from_str_radix(fields.prev, 16).ok().filter(|_| is_hex);
    let prev = prev.ok_or_else(|| damaged("the header's previous seal is not 8 hex digits".into()))?;
    Ok(ChainLink { first: fields.first, prev })
}

/// Whether this is what a sealed header ends in.
pub(crate) fn is_object(text: &[u8]) -> bool {
    parse_link(text).is_ok()
}

/// Whether a header can begin like this.
pub(crate) fn is_begun(bytes: &[u8]) -> bool {
    MAGIC.starts_with(bytes) || (bytes.starts_with(MAGIC) && !bytes.contains(&super::LF))
}

/// Whether these bytes can be a header that was cut off while it was being written: nothing follows it.
pub(crate) fn is_torn_header(bytes: &[u8]) -> bool {
    let bytes = bytes.trim_ascii_end();
    let begins_one = bytes.starts_with(MAGIC) && !bytes.contains(&super::LF);
    MAGIC.starts_with(bytes) || (begins_one && Header::parse(bytes).is_err())
}
