//! The checks of all limits.

use std::time::Duration;

use super::{Backend, Header, JournalOptions, LINE_BYTES_LIMIT, SyncMode};
use crate::error::{MiniStoreError, Result};

impl JournalOptions {
    /// Checks every option against its range. Called when a journal is opened.
    pub(crate) fn validate(&self) -> Result<()> {
        let invalid = |text: String| Err(MiniStoreError::InvalidArgument(text));
        if self.max_segments == Some(0) {
            return invalid("max_segments must be >= 1".into());
        }
        if self.max_total_bytes == Some(0) {
            return invalid("max_total_bytes must be >= 1".into());
        }
        if self.commit_delay_bytes == Some(0) {
            return invalid("commit_delay_bytes must be >= 1".into());
        }
        // 0.1.7 accepts 0.
        if self.max_segment_bytes == 0 && !self.legacy_defaults {
            return invalid("max_segment_bytes must be >= 1".into());
        }
        if self.max_age == Some(Duration::ZERO) {
            return invalid("max_age must be > 0".into());
        }
        if self.slow_commit_threshold == Some(Duration::ZERO) {
            return invalid("slow_commit_threshold must be > 0".into());
        }
        for (name, bytes) in [
            ("max_record_bytes", self.max_record_bytes),
            ("max_batch_bytes", self.max_batch_bytes),
            ("max_queue_bytes", self.max_queue_bytes),
            ("max_group_bytes", self.max_group_bytes),
        ] {
            if bytes == 0 || bytes > LINE_BYTES_LIMIT {
                return invalid(format!("{name} must be from 1 to {LINE_BYTES_LIMIT}, not {bytes}"));
            }
        }
        if self.mode & !0o777 != 0 || self.mode & 0o600 != 0o600 {
            let mode = self.mode;
            return invalid(format!(
                "mode must be within 0o777 and let the owner read and write, not 0o{mode:o}"
            ));
        }
        if self.commit_delay > Duration::from_secs(1) {
            return invalid("commit_delay must be at most 1 s".into());
        }
        if self.header == Header::Json && !self.checksums {
            return invalid("header must be comment without checksums, not json".into());
        }
        if self.backend == Backend::TokioUring && self.sync_mode == SyncMode::Dsync {
            return invalid(
                "sync_mode must be auto or fdatasync with the backend tokio-uring, not dsync".into(),
            );
        }
        Ok(())
    }
}
