//! The recording of a disk: its base image, then every write, flush and marker in order; and the file format of a
//! recording.

use std::{
    fs::File,
    io::{self, BufReader, BufWriter, Read, Write},
    path::Path,
};

use crate::image::{Image, PAGE_BYTES};

/// The first bytes of a recording file.
const MAGIC: &[u8; 16] = b"powercut-record1";

/// Maximum size of an event. A larger size in a file means that the file is damaged.
const MAX_EVENT_BYTES: u64 = 64 << 20;

/// One event.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Event {
    /// A write that the disk may lose until the next flush.
    Write { offset: u64, data: Vec<u8> },
    /// A flush: all earlier writes are durable.
    Flush,
    /// A [`Marker`](crate::marker::Marker) of the workload as JSON.
    Marker(String),
}

/// The recording of a disk.
#[derive(Debug)]
pub(crate) struct Recording {
    pub(crate) base: Image,
    pub(crate) events: Vec<Event>,
}

impl Recording {
    pub(crate) fn save(&self, path: &Path) -> io::Result<()> {
        let mut file = BufWriter::new(File::create(path)?);
        file.write_all(MAGIC)?;
        write_u64(&mut file, self.base.bytes())?;
        write_u64(&mut file, self.base.written().count() as u64)?;
        for (index, page) in self.base.written() {
            write_u64(&mut file, index as u64)?;
            file.write_all(page)?;
        }
        write_u64(&mut file, self.events.len() as u64)?;
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
        let mut base = Image::new(read_u64(&mut file)?);
        let mut page = [0; PAGE_BYTES];
        for _ in 0..read_u64(&mut file)? {
            let index = read_u64(&mut file)?;
            file.read_exact(&mut page)?;
            base.write(index * PAGE_BYTES as u64, &page);
        }
        let mut events = Vec::new();
        for _ in 0..read_u64(&mut file)? {
            events.push(load_event(&mut file)?);
        }
        Ok(Self { base, events })
    }
}

fn save_event(file: &mut impl Write, event: &Event) -> io::Result<()> {
    match event {
        Event::Write { offset, data } => {
            write_u64(file, 0)?;
            write_u64(file, *offset)?;
            write_u64(file, data.len() as u64)?;
            file.write_all(data)
        }
        Event::Flush => write_u64(file, 1),
        Event::Marker(text) => {
            write_u64(file, 2)?;
            write_u64(file, text.len() as u64)?;
            file.write_all(text.as_bytes())
        }
    }
}

fn load_event(file: &mut impl Read) -> io::Result<Event> {
    match read_u64(file)? {
        0 => Ok(Event::Write { offset: read_u64(file)?, data: read_bytes(file)? }),
        1 => Ok(Event::Flush),
        2 => String::from_utf8(read_bytes(file)?).map(Event::Marker).map_err(io::Error::other),
        other => Err(io::Error::new(io::ErrorKind::InvalidData, format!("event of kind {other}"))),
    }
}

fn write_u64(file: &mut impl Write, number: u64) -> io::Result<()> {
    file.write_all(&number.to_le_bytes())
}

fn read_u64(file: &mut impl Read) -> io::Result<u64> {
    let mut bytes = [0; 8];
    file.read_exact(&mut bytes)?;
    Ok(u64::from_le_bytes(bytes))
}

fn read_bytes(file: &mut impl Read) -> io::Result<Vec<u8>> {
    let length = read_u64(file)?;
    if length > MAX_EVENT_BYTES {
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
    fn saved_recording_loads_unchanged() {
        let mut base = Image::new(8 * PAGE_BYTES as u64);
        base.write(5000, b"here before");
        let events = vec![
            Event::Write { offset: 512, data: vec![7; 1024] },
            Event::Flush,
            Event::Marker("acknowledged".into()),
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
