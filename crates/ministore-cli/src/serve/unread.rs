//! Counts the lines that a client sent and the service did not examine, because it had decided to close the connection.

use tokio::io::{AsyncRead, AsyncReadExt};

use super::lines::Rest;

/// Lines that are not blank. The last one may be incomplete.
#[derive(Debug, Default)]
pub(super) struct UnreadLines {
    complete: u64,
    /// Whether the current line has bytes other than spaces.
    has_part: bool,
    /// The beginning of the current line was examined.
    is_in_skipped_line: bool,
}

impl UnreadLines {
    pub(super) fn of(rest: &Rest) -> Self {
        let mut unread = Self { is_in_skipped_line: rest.is_in_skipped_line, ..Self::default() };
        unread.push(&rest.bytes);
        unread
    }

    fn push(&mut self, bytes: &[u8]) {
        for (n, part) in bytes.split(|&byte| byte == b'\n').enumerate() {
            if n > 0 {
                self.complete += u64::from(self.has_part);
                self.has_part = false;
                self.is_in_skipped_line = false;
            }
            self.has_part |= !self.is_in_skipped_line && !part.trim_ascii().is_empty();
        }
    }

    /// Reads and discards until the other side closes the connection.
    pub(super) async fn discard(&mut self, mut reader: impl AsyncRead + Unpin) {
        let mut part = [0; 4096];
        while let Ok(count @ 1..) = reader.read(&mut part).await {
            self.push(&part[..count]);
        }
    }

    pub(super) fn lines(&self) -> u64 {
        self.complete + u64::from(self.has_part)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_are_counted_across_parts() {
        let mut unread = UnreadLines::default();
        for (part, lines) in [("", 0), ("ab", 1), ("c\n", 1), ("\n \r\n", 1), ("1\n2\n3", 4), ("\n", 4)] {
            unread.push(part.as_bytes());
            assert_eq!(unread.lines(), lines, "{part:?}");
        }
    }

    #[test]
    fn rest_of_a_skipped_line_is_not_counted() {
        let rest = |bytes: &str| Rest { bytes: bytes.into(), is_in_skipped_line: true };
        for (bytes, lines) in [("", 0), ("xxx", 0), ("xxx\n", 0), ("xxx\n1\n2", 2)] {
            assert_eq!(UnreadLines::of(&rest(bytes)).lines(), lines, "{bytes:?}");
        }
    }
}
