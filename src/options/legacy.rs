//! The options of `ministore` 0.1.7.

use super::{JournalOptions, MIB};

/// The options of `ministore` 0.1.7, with their names, defaults and meaning.
///
/// **These options delete**: at a rotation the oldest segments go, so that at most [`max_segments`](Self::max_segments)
/// files (3 by default) are left. [`JournalOptions`] has every option and keeps all segments by default.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # pollster::block_on(async {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::MiniStoreOptions;
///
/// let store = MiniStoreOptions::new().max_bytes_per_segment(1 << 20).max_segments(10).open(&path).await?;
/// store.append(&"hello").await?;
/// # Ok(()) })
/// # }
/// ```
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MiniStoreOptions {
    /// A segment that has reached this size, in bytes, is rotated.
    pub max_bytes_per_segment: u64,
    /// How many files are kept, the active one counted. At least 1.
    pub max_segments: usize,
}

impl MiniStoreOptions {
    /// Returns the defaults of 0.1.7: 64 MiB per segment, 3 segments.
    #[must_use]
    pub fn new() -> Self {
        Self { max_bytes_per_segment: 64 * MIB, max_segments: 3 }
    }

    /// Sets the size, in bytes, at which a segment is rotated.
    #[must_use]
    pub fn max_bytes_per_segment(mut self, bytes: u64) -> Self {
        self.max_bytes_per_segment = bytes;
        self
    }

    /// Sets how many files are kept, the active one counted; older ones are **deleted** at a rotation.
    #[must_use]
    pub fn max_segments(mut self, n: usize) -> Self {
        self.max_segments = n;
        self
    }
}

impl Default for MiniStoreOptions {
    fn default() -> Self {
        Self::new()
    }
}

impl From<MiniStoreOptions> for JournalOptions {
    fn from(options: MiniStoreOptions) -> Self {
        let defaults = Self::new().max_segment_bytes(options.max_bytes_per_segment);
        Self { legacy_defaults: true, ..defaults.max_segments(options.max_segments) }
    }
}
