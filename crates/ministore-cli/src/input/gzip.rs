//! Reads gzip files of several members, as written by `gzip`, `pigz` and `cat a.gz b.gz`.

use std::io::{self, BufReader, Read};

use flate2::bufread::GzDecoder;

use super::{
    fault::{Compression, decoding},
    members::has_next_member,
};

const BUFFER_BYTES: usize = 256 * 1024;

/// Decodes member after member and verifies the checksum of each.
pub(super) struct MultiMemberDecoder<R> {
    /// `None`: the end was reached, or decoding failed.
    member: Option<GzDecoder<BufReader<R>>>,
}

impl<R: Read> MultiMemberDecoder<R> {
    pub(super) fn new(source: R) -> Self {
        let source = BufReader::with_capacity(BUFFER_BYTES, source);
        Self { member: Some(GzDecoder::new(source)) }
    }
}

impl<R: Read> Read for MultiMemberDecoder<R> {
    fn read(&mut self, buffer: &mut [u8]) -> io::Result<usize> {
        while let Some(member) = &mut self.member {
            let read = member.read(buffer).map_err(|error| decoding(Compression::Gzip, error))?;
            if read > 0 || buffer.is_empty() {
                return Ok(read);
            }
            let Some(member) = self.member.take() else { break };
            let mut source = member.into_inner();
            // The second byte of the magic may not have been read yet.
            if has_next_member(&mut source, Compression::Gzip, |start| start[0] == 0x1f)? {
                self.member = Some(GzDecoder::new(source));
            }
        }
        Ok(0)
    }
}
