//! Reads Zstandard streams of several frames, as written by `zstd`, `pzstd` and `cat a.zst b.zst`.

use std::io::{self, BufRead, BufReader, Read};

use ruzstd::decoding::{
    BlockDecodingStrategy, FrameDecoder,
    errors::{FrameDecoderError, FrameHeaderError, ReadFrameHeaderError},
};

use super::{
    fault::{Compression, InputFault},
    members::has_next_member,
};

/// The size of reads: the decoder itself reads only a few bytes at a time.
const BUFFER_BYTES: usize = 256 * 1024;

/// Decodes frame after frame, skips skippable ones, and verifies the checksum of each frame.
pub(super) struct MultiFrameDecoder<R> {
    source: BufReader<R>,
    decoder: FrameDecoder,
    /// In the middle of a frame.
    in_frame: bool,
    is_first_frame: bool,
}

impl<R: Read> MultiFrameDecoder<R> {
    pub(super) fn new(source: R) -> Self {
        Self {
            source: BufReader::with_capacity(BUFFER_BYTES, source),
            decoder: FrameDecoder::new(),
            in_frame: false,
            is_first_frame: true,
        }
    }

    /// Starts the next frame; returns `false` at the end of the stream.
    fn next_frame(&mut self) -> io::Result<bool> {
        // A frame, or a skippable one; their other bytes may not have been read yet.
        let is_frame = |start: &[u8]| matches!(start[0], 0x28 | 0x50..=0x5f);
        if !self.is_first_frame && !has_next_member(&mut self.source, Compression::Zstd, is_frame)? {
            return Ok(false);
        }
        self.is_first_frame = false;
        match self.decoder.reset(&mut self.source) {
            Ok(()) => self.in_frame = true,
            Err(FrameDecoderError::ReadFrameHeaderError(ReadFrameHeaderError::SkipFrame {
                length, ..
            })) => {
                let length = u64::from(length);
                if io::copy(&mut (&mut self.source).take(length), &mut io::sink())? < length {
                    return Err(InputFault::Incomplete(Compression::Zstd).into());
                }
            }
            Err(
                FrameDecoderError::WindowSizeTooBig { requested: bytes, .. }
                | FrameDecoderError::FrameHeaderError(FrameHeaderError::WindowTooBig { got: bytes }),
            ) => return Err(InputFault::LargeWindow(bytes).into()),
            Err(error) => return Err(self.invalid(&error)),
        }
        Ok(true)
    }

    /// Converts an error of the decoder, whose kind is inside it: without more data the file is incomplete.
    fn invalid(&mut self, error: &FrameDecoderError) -> io::Error {
        tracing::info!("zstd: {error}");
        match self.source.fill_buf() {
            Err(error) => error,
            Ok([]) => InputFault::Incomplete(Compression::Zstd).into(),
            Ok(_) => InputFault::Damaged(Compression::Zstd).into(),
        }
    }

    fn end_frame(&mut self) -> io::Result<()> {
        self.in_frame = false;
        let stored = self.decoder.get_checksum_from_data();
        if stored.is_some() && stored != self.decoder.get_calculated_checksum() {
            return Err(InputFault::Damaged(Compression::Zstd).into());
        }
        Ok(())
    }
}

impl<R: Read> Read for MultiFrameDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        loop {
            if !self.in_frame {
                if !self.next_frame()? {
                    return Ok(0);
                }
                continue;
            }
            while self.decoder.can_collect() == 0 && !self.decoder.is_finished() {
                let strategy = BlockDecodingStrategy::UptoBlocks(1);
                if let Err(error) = self.decoder.decode_blocks(&mut self.source, strategy) {
                    return Err(self.invalid(&error));
                }
            }
            let read = self.decoder.read(buffer)?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            self.end_frame()?;
        }
    }
}
