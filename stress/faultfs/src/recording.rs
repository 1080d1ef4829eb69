//! The recording of one file: its contents at first, then every change, sync and marker in order; the file format of a
//! recording; and the choice of the changes that survive a power cut.

use std::{
    fmt,
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
    str::FromStr,
};

use fastrand::Rng;
use serde::{Deserialize, Serialize};

use crate::image::{Image, PAGE_BYTES};

/// The first bytes of the file of a recording.
const MAGIC: &[u8; 16] = b"ministore-record";

/// Maximum size of an event. A larger size in a file means that the file is damaged.
const MAX_EVENT_BYTES: u64 = 64 << 20;

#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// A write, which may be lost until the next sync.
    Write { offset: u64, data: Vec<u8> },
    /// Truncating or extending, which may be lost until the next sync.
    SetLen(u64),
    /// A sync: all earlier changes are durable.
    Sync,
    /// A text that a client added.
    Marker(String),
}

impl Event {
    pub fn apply_to(&self, image: &mut Image) {
        match self {
            Self::Write { offset, data } => image.write(*offset, data),
            Self::SetLen(len) => image.set_len(*len),
            Self::Sync | Self::Marker(_) => {}
        }
    }
}

#[derive(Debug, Clone, Default)]
pub struct Recording {
    /// The contents before the first event.
    pub base: Image,
    pub events: Vec<Event>,
}

impl Recording {
    pub fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(MAGIC)?;
        write_u64(&mut file, self.base.len())?;
        write_u64(&mut file, self.base.written().count() as u64)?;
        for (index, page) in self.base.written() {
            write_u64(&mut file, index as u64)?;
            file.write_all(page)?;
        }
        write_u64(&mut file, self.events.len() as u64)?;
        self.events.iter().try_for_each(|event| event.save(&mut file))?;
        file.flush()
    }

    /// Reads a recording.
    ///
    /// # Errors
    ///
    /// The operating system's error, or the file is no recording.
    pub fn load(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(invalid("not a recording"));
        }
        let len = read_u64(&mut file)?;
        let mut base = Image::default();
        let mut page = [0; PAGE_BYTES];
        for _ in 0..read_u64(&mut file)? {
            let index = read_u64(&mut file)?;
            file.read_exact(&mut page)?;
            base.write(index * PAGE_BYTES as u64, &page);
        }
        base.set_len(len);
        let count = read_u64(&mut file)?;
        let events = (0..count).map(|_| Event::load(&mut file)).collect::<io::Result<_>>()?;
        Ok(Self { base, events })
    }
}

impl Event {
    /// Each event consists of its kind, a number, and the length of its bytes and the bytes.
    fn save(&self, file: &mut impl Write) -> io::Result<()> {
        let (kind, number, bytes): (u64, u64, &[u8]) = match self {
            Self::Write { offset, data } => (0, *offset, data),
            Self::SetLen(len) => (1, *len, &[]),
            Self::Sync => (2, 0, &[]),
            Self::Marker(text) => (3, 0, text.as_bytes()),
        };
        [kind, number, bytes.len() as u64].into_iter().try_for_each(|number| write_u64(file, number))?;
        file.write_all(bytes)
    }

    fn load(file: &mut impl Read) -> io::Result<Self> {
        let (kind, number, length) = (read_u64(file)?, read_u64(file)?, read_u64(file)?);
        if length > MAX_EVENT_BYTES {
            return Err(invalid(format!("event of {length} bytes")));
        }
        let mut bytes = vec![0; length as usize];
        file.read_exact(&mut bytes)?;
        match kind {
            0 => Ok(Self::Write { offset: number, data: bytes }),
            1 => Ok(Self::SetLen(number)),
            2 => Ok(Self::Sync),
            3 => String::from_utf8(bytes).map(Self::Marker).map_err(io::Error::other),
            other => Err(invalid(format!("event of kind {other}"))),
        }
    }
}

fn invalid(text: impl Into<String>) -> io::Error {
    io::Error::new(io::ErrorKind::InvalidData, text.into())
}

fn write_u64(file: &mut impl Write, number: u64) -> io::Result<()> {
    file.write_all(&number.to_le_bytes())
}

fn read_u64(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

/// The unsynced changes that survive a power cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
pub enum KeptWrites {
    Nothing,
    Everything,
    /// Some of them.
    Some {
        /// The bytes that are kept or lost together, aligned to the file. 0 is a whole write.
        unit_bytes: u64,
        /// The probability with which each unit, and each new length, is kept.
        percent: u64,
        /// Chooses the units.
        seed: u64,
    },
}

impl KeptWrites {
    /// Calls `keep` with the index and the kept part of each of the `pending` events, in order: the last kept write to a
    /// sector wins.
    pub fn select(self, pending: &[Event], mut keep: impl FnMut(usize, KeptPart<'_>)) {
        let (unit_bytes, percent, seed) = match self {
            Self::Nothing => return,
            Self::Everything => (0, 100, 0),
            Self::Some { unit_bytes, percent, seed } => (unit_bytes, percent, seed),
        };
        let mut random = Rng::with_seed(seed);
        let mut is_kept = || random.u64(..100) < percent;
        for (index, event) in pending.iter().enumerate() {
            match event {
                Event::Write { offset, data } => {
                    let (mut offset, mut rest) = (*offset, &data[..]);
                    while !rest.is_empty() {
                        // The first and the last unit may be smaller.
                        let unit = if unit_bytes == 0 { u64::MAX } else { unit_bytes - offset % unit_bytes };
                        let (head, tail) = rest.split_at((rest.len() as u64).min(unit) as usize);
                        if is_kept() {
                            keep(index, KeptPart::Bytes(offset, head));
                        }
                        offset += head.len() as u64;
                        rest = tail;
                    }
                }
                Event::SetLen(len) if is_kept() => keep(index, KeptPart::Len(*len)),
                Event::SetLen(_) | Event::Sync | Event::Marker(_) => {}
            }
        }
    }
}

/// A part of a change that survives.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum KeptPart<'a> {
    /// These bytes at this offset of the file.
    Bytes(u64, &'a [u8]),
    Len(u64),
}

impl KeptPart<'_> {
    pub fn apply_to(self, image: &mut Image) {
        match self {
            Self::Bytes(offset, data) => image.write(offset, data),
            Self::Len(len) => image.set_len(len),
        }
    }
}

impl fmt::Display for KeptWrites {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::Nothing => f.write_str("nothing"),
            Self::Everything => f.write_str("everything"),
            Self::Some { unit_bytes, percent, seed } => write!(f, "{unit_bytes}:{percent}:{seed}"),
        }
    }
}

impl FromStr for KeptWrites {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        match text {
            "nothing" => return Ok(Self::Nothing),
            "everything" => return Ok(Self::Everything),
            _ => {}
        }
        let numbers: Result<Vec<u64>, _> = text.split(':').map(str::parse).collect();
        match numbers.as_deref() {
            Ok(&[unit_bytes, percent, seed]) => Ok(Self::Some { unit_bytes, percent, seed }),
            _ => Err(format!("{text}: not nothing, everything or BYTES:PERCENT:SEED")),
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn saved_recording_loads_unchanged() {
        let mut base = Image::new(8 * PAGE_BYTES as u64 + 1);
        base.write(5000, b"here before");
        let events = vec![
            Event::Write { offset: 512, data: vec![7; 1024] },
            Event::SetLen(9000),
            Event::Sync,
            Event::Marker("acknowledged".into()),
        ];
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("recording");
        Recording { base, events: events.clone() }.save(&path).unwrap();
        let read = Recording::load(&path).unwrap();
        assert_eq!(read.events, events);
        assert_eq!(read.base.len(), 8 * PAGE_BYTES as u64 + 1);
        assert_eq!(read.base.read(5000, 11), b"here before");
    }

    #[test]
    fn kept_writes_round_trip_through_text() {
        for kept in [
            KeptWrites::Nothing,
            KeptWrites::Everything,
            KeptWrites::Some { unit_bytes: 512, percent: 90, seed: 7 },
        ] {
            assert_eq!(kept.to_string().parse(), Ok(kept));
        }
        assert!("half".parse::<KeptWrites>().is_err());
    }
}
