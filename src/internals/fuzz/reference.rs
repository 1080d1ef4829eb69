//! A reference implementation of the format: as simple as possible, from its description, without the engine's code.

const SEAL_LEN: usize = 33;

/// CRC-32C, bit by bit (reflected, polynomial 0x82f63b78).
pub(super) fn crc32c(parts: &[&[u8]]) -> u32 {
    let table: [u32; 256] = std::array::from_fn(|byte| {
        (0..8).fold(byte as u32, |crc, _| if crc & 1 == 1 { crc >> 1 ^ 0x82f6_3b78 } else { crc >> 1 })
    });
    let step = |crc: u32, &byte: &u8| crc >> 8 ^ table[((crc ^ u32::from(byte)) & 0xff) as usize];
    !parts.iter().flat_map(|part| part.iter()).fold(!0, step)
}

/// Returns the seal that these bytes start with.
pub(super) fn seal(bytes: &[u8]) -> Option<u32> {
    let bytes = bytes.get(..SEAL_LEN)?;
    let is_valid = bytes[0] == b'\t' && bytes.iter().all(|byte| b" \t".contains(byte));
    let bits: String = bytes[1..].iter().map(|&byte| if byte == b'\t' { '1' } else { '0' }).collect();
    is_valid.then(|| u32::from_str_radix(&bits, 2).unwrap())
}

pub(super) fn seal_bytes(value: u32) -> Vec<u8> {
    let bits = format!("{value:032b}");
    std::iter::once(b'\t').chain(bits.bytes().map(|bit| if bit == b'1' { b'\t' } else { b' ' })).collect()
}

/// Returns the length of a line's value, and the seal after it with whether a close marker follows.
pub(super) fn trailer(line: &[u8]) -> (usize, Option<(u32, bool)>) {
    let value_len = line.trim_ascii_end().len();
    let Some(value) = seal(&line[value_len..]) else { return (value_len, None) };
    let rest = &line[value_len + SEAL_LEN..];
    match rest {
        b"\t" => (value_len, Some((value, true))),
        _ if rest.iter().all(|&byte| byte == b' ') => (value_len, Some((value, false))),
        _ => (value_len, None),
    }
}

/// A commit group that verifies.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct ReferenceGroup {
    pub(super) offset: usize,
    /// The offset after its seal.
    pub(super) end: usize,
    pub(super) records: u64,
    pub(super) seal: u32,
}

/// Returns whether the lines from `offset` to the seal that ends at `end` are a group after the seal `prev`.
pub(super) fn verifies(bytes: &[u8], prev: u32, offset: usize, end: usize) -> bool {
    let Some(at) = end.checked_sub(SEAL_LEN).filter(|&at| at >= offset) else { return false };
    seal(&bytes[at..end]) == Some(crc32c(&[&prev.to_le_bytes(), &bytes[offset..at]]))
}

/// Returns the lines of `bytes` from `from` on with their offsets; an empty rest is no line.
pub(super) fn lines(bytes: &[u8], from: usize) -> Vec<(usize, &[u8])> {
    let mut offset = from;
    let mut found = Vec::new();
    for line in bytes[from..].split(|&byte| byte == b'\n') {
        found.push((offset, line));
        offset += line.len() + 1;
    }
    found.pop_if(|(_, line)| line.is_empty());
    found
}

/// Returns the consecutive groups that verify, up to the first line that does not verify or to a close marker.
pub(super) fn groups(bytes: &[u8]) -> Vec<ReferenceGroup> {
    let header = bytes.split(|&byte| byte == b'\n').next().unwrap_or_default();
    let mut offset = header.len() + 1;
    let mut prev = crc32c(&[header.trim_ascii_end()]);
    let mut found = Vec::new();
    let mut records = 0;
    let closed = header[header.trim_ascii_end().len()..] == *b"\t";
    if offset > bytes.len() || closed {
        return found;
    }
    for (at, line) in lines(bytes, offset) {
        records += 1;
        let (value_len, Some((seal, closed))) = trailer(line) else { continue };
        let end = at + value_len + SEAL_LEN;
        if !verifies(bytes, prev, offset, end) {
            break;
        }
        found.push(ReferenceGroup { offset, end, records, seal });
        if closed {
            break;
        }
        (offset, prev, records) = (at + line.len() + 1, seal, 0);
    }
    found
}

/// Returns whether a group from `from` on verifies against the seal before it.
pub(super) fn has_later_group(bytes: &[u8], from: usize) -> bool {
    let mut before: Option<(usize, u32)> = None;
    for (at, line) in lines(bytes, from) {
        let (value_len, Some((seal, _))) = trailer(line) else { continue };
        if before.is_some_and(|(offset, prev)| verifies(bytes, prev, offset, at + value_len + SEAL_LEN)) {
            return true;
        }
        before = Some((at + line.len() + 1, seal));
    }
    false
}

/// Returns whether JSON text can be a record, line feeds in it aside: `serde_json` parses it as a `Value`, and no
/// object begins with a key that `serde_json` reserves.
pub(super) fn is_accepted(json: &[u8]) -> bool {
    serde_json::from_slice::<serde_json::Value>(json).is_ok()
        && serde_json::from_slice::<FirstKeys>(json).is_ok_and(|found| !found.is_reserved)
}

/// Whether an object in the value has a reserved key first.
struct FirstKeys {
    is_reserved: bool,
}

impl<'de> serde::Deserialize<'de> for FirstKeys {
    fn deserialize<D: serde::Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        deserializer.deserialize_any(ReservedKeyVisitor).map(|is_reserved| Self { is_reserved })
    }
}

struct ReservedKeyVisitor;

impl<'de> serde::de::Visitor<'de> for ReservedKeyVisitor {
    type Value = bool;

    fn expecting(&self, formatter: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        formatter.write_str("JSON")
    }

    fn visit_bool<E>(self, _: bool) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_i64<E>(self, _: i64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_u64<E>(self, _: u64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_f64<E>(self, _: f64) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_str<E>(self, _: &str) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_unit<E>(self) -> Result<bool, E> {
        Ok(false)
    }

    fn visit_seq<A: serde::de::SeqAccess<'de>>(self, mut elements: A) -> Result<bool, A::Error> {
        let mut is_reserved = false;
        while let Some(element) = elements.next_element::<FirstKeys>()? {
            is_reserved |= element.is_reserved;
        }
        Ok(is_reserved)
    }

    fn visit_map<A: serde::de::MapAccess<'de>>(self, mut members: A) -> Result<bool, A::Error> {
        let (mut is_reserved, mut is_first) = (false, true);
        while let Some((key, value)) = members.next_entry::<String, FirstKeys>()? {
            let private = ["RawValue", "Number"].map(|name| format!("$serde_json::private::{name}"));
            is_reserved |= value.is_reserved || is_first && private.contains(&key);
            is_first = false;
        }
        Ok(is_reserved)
    }
}
