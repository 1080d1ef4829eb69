//! What happened to a disk, in order: the image it began as, then every write, flush and mark; and the file that
//! keeps it.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

use crate::image::{Image, PAGE_BYTES};

/// First bytes of a file that holds a recording.
const MAGIC: &[u8; 16] = b"powercut-record1";

/// No single event is larger: what a damaged file says is not believed beyond this.
const EVENT_BYTES_MAX: u64 = 64 << 20;

/// One thing that happened.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// The disk took this; it may be lost until the next flush.
    Write { offset: u64, data: Vec<u8> },
    /// Everything written before is durable.
    Flush,
    /// What the workload had to say at this moment: a [`Mark`](crate::mark::Mark) as JSON.
    Mark(String),
}

/// A disk's history.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) base: Image,
    pub(crate) events: Vec<Event>,
}

impl Recording {
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(MAGIC)?;
        put(&mut file, self.base.bytes())?;
        put(&mut file, self.base.written().count() as u64)?;
        for (index, page) in self.base.written() {
            put(&mut file, index as u64)?;
            file.write_all(page)?;
        }
        put(&mut file, self.events.len() as u64)?;
        for event in &self.events {
            save_event(&mut file, event)?;
        }
        file.flush()
    }

    pub(crate) fn load(path: &Path) -> io::Result<Self> {
        let mut file = BufReader::new(File::open(path)?);
        let mut magic = [0; MAGIC.len()];
        file.read_exact(&mut magic)?;
        if &magic != MAGIC {
            return Err(io::Error::new(io::ErrorKind::InvalidData, "not a recording"));
        }
        let mut base = Image::new(take(&mut file)?);
        let mut page = [0; PAGE_BYTES];
        for _ in 0..take(&mut file)? {
            let index = take(&mut file)?;
            file.read_exact(&mut page)?;
            base.write(index * PAGE_BYTES as u64, &page);
        }
        let mut events = Vec::new();
        for _ in 0..take(&mut file)? {
            events.push(load_event(&mut file)?);
        }
        Ok(Self { base, events })
    }
}

fn save_event(file: &mut impl Write, event: &Event) -> io::Result<()> {
    match event {
        Event::Write { offset, data } => {
            put(file, 0)?;
            put(file, *offset)?;
            put(file, data.len() as u64)?;
            file.write_all(data)
        }
        Event::Flush => put(file, 1),
        Event::Mark(text) => {
            put(file, 2)?;
            put(file, text.len() as u64)?;
            file.write_all(text.as_bytes())
        }
    }
}

fn load_event(file: &mut impl Read) -> io::Result<Event> {
    match take(file)? {
        0 => Ok(Event::Write { offset: take(file)?, data: take_bytes(file)? }),
        1 => Ok(Event::Flush),
        2 => String::from_utf8(take_bytes(file)?).map(Event::Mark).map_err(io::Error::other),
        other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("event of kind {other}"))),
    }
}

fn put(file: &mut impl Write, number: u64) -> io::Result<()> {
    file.write_all(&number.to_le_bytes())
}

fn take(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn take_bytes(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = take(file)?;
    if length > EVENT_BYTES_MAX {
        return Err(io::Error::new(io::ErrorKind::InvalidData, format!("event of {length} bytes")));
    }
    let mut bytes = vec![0; usize::try_from(length).map_err(io::Error::other)?];
    file.read_exact(&mut bytes)?;
    Ok(bytes)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_recording_reads_back() {
        let mut base = Image::new(8 * PAGE_BYTES as u64);
        base.write(5000, b"here before");
        let events = vec![
            Event::Write { offset: 512, data: vec![7; 1024] },
            Event::Flush,
            Event::Mark("acknowledged".into()),
        ];
        let path = std::env::temp_dir().join(format!("ministore-powercut-{}-unit.rec", std::process::id()));
        Recording { base, events: events.clone() }.save(&path).unwrap();
        let read = Recording::load(&path).unwrap();
        std::fs::remove_file(&path).unwrap();
        assert_eq!(read.events, events);
        assert_eq!(read.base.bytes(), 8 * PAGE_BYTES as u64);
        assert_eq!(read.base.read(5000, 11), b"here before");
    }
}
