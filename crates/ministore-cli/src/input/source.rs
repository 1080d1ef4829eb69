//! Reads the stored bytes of an input, and notices a file that becomes shorter meanwhile.

use std::{
    fs::{File, Metadata},
    io::{self, Read, Seek},
    sync::{
        Arc,
        atomic::{AtomicI32, AtomicU64, Ordering},
    },
};

use super::fault::InputFault;

/// What is known about the source, whatever decodes its bytes.
#[derive(Debug)]
pub(super) struct SourceState {
    file: File,
    /// The size of a regular file when it was opened.
    size: Option<u64>,
    /// The number of bytes before the next read.
    offset: AtomicU64,
    /// The last error of the operating system: a decoder may replace it by an error of its own.
    os_error: AtomicI32,
}

impl SourceState {
    pub(super) fn open<C: Fn(u64) + Send>(file: File, count: C) -> io::Result<(Arc<Self>, impl Read + Send)> {
        let found = file.metadata()?;
        let mut source = file.try_clone()?;
        // Standard input may be a file of which another process has read a part.
        let offset = if found.is_file() { source.stream_position()? } else { 0 };
        let size = Some(&found).filter(|found| found.is_file()).map(Metadata::len);
        let state = Self { file, size, offset: AtomicU64::new(offset), os_error: AtomicI32::new(0) };
        let state = Arc::new(state);
        Ok((Arc::clone(&state), StoredBytes { source, count, state }))
    }

    /// Returns the fault if the file ended before the size that it had at first.
    fn shrunk(&self) -> Option<InputFault> {
        let (size, read) = (self.size?, self.offset.load(Ordering::Relaxed));
        // A file of the kernel (/sys) may end before its size.
        let is_shorter = read < size && self.file.metadata().is_ok_and(|now| now.len() < size);
        is_shorter.then_some(InputFault::Shrunk { read, size })
    }
}

/// Counts the stored bytes.
struct StoredBytes<C> {
    source: File,
    count: C,
    state: Arc<SourceState>,
}

impl<C: Fn(u64)> Read for StoredBytes<C> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = self.source.read(buffer).inspect_err(|error| {
            if error.kind() != io::ErrorKind::Interrupted {
                self.state.os_error.store(error.raw_os_error().unwrap_or(0), Ordering::Relaxed);
            }
        })?;
        let bytes = u64::try_from(read).unwrap_or(u64::MAX);
        self.state.offset.fetch_add(bytes, Ordering::Relaxed);
        (self.count)(bytes);
        Ok(read)
    }
}

/// The content of the source. Its end or error is checked against the state of the source.
pub(super) struct CheckedReader<R> {
    content: R,
    state: Arc<SourceState>,
}

impl<R> CheckedReader<R> {
    pub(super) fn new(content: R, state: Arc<SourceState>) -> Self {
        Self { content, state }
    }
}

impl<R: Read> Read for CheckedReader<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        let read = match self.content.read(buffer) {
            Ok(0) if !buffer.is_empty() => Ok(0),
            Err(error) if error.kind() != io::ErrorKind::Interrupted => {
                Err(match self.state.os_error.load(Ordering::Relaxed) {
                    0 => error,
                    number => io::Error::from_raw_os_error(number),
                })
            }
            read => return read,
        };
        match self.state.shrunk() {
            Some(fault) => Err(fault.into()),
            None => read,
        }
    }
}
