//! Batches of records that are JSON already.

use serde_json::value::RawValue;

use crate::{RawRecord, Result, format::LF, format::encode, options::LINE_BYTES_LIMIT};

/// A batch of records that are JSON already. Each one is checked when it is added, so that a rejected one does not cost
/// the others. [`Append::json_batch`](crate::Append::json_batch) makes it ready to be appended.
///
/// ```
/// # fn main() -> ministore_uring::Result<()> {
/// # let dir = tempfile::tempdir()?;
/// # let path = dir.path().join("journal.jsonl");
/// use ministore_uring::{Append, JournalOptions, JsonBatch};
///
/// let mut batch = JsonBatch::new();
/// for line in [r#"{"n":1}"#, r#"{"n":1e999}"#, r#"{"n":2}"#] {
///     if let Err(error) = batch.push(line.as_bytes()) {
///         assert_eq!(error.to_string(), "invalid JSON record: number out of range at line 2 column 6");
///     }
/// }
/// let store = JournalOptions::new().open_blocking(&path)?;
/// assert_eq!(store.blocking().send(Append::json_batch(batch))?.wait()?.seqs(), 1..3);
/// # Ok(())
/// # }
/// ```
#[derive(Debug, Clone, Default)]
pub struct JsonBatch {
    lines: Vec<u8>,
    records: u64,
    /// Size of the largest record, in bytes.
    largest_record_bytes: usize,
}

impl JsonBatch {
    /// Creates a batch without records.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a record. White space around the value is trimmed; its bytes are kept as they are.
    ///
    /// # Errors
    ///
    /// [`InvalidJson`](crate::MiniStoreError::InvalidJson), as
    /// [`MiniStore::append_json`](crate::MiniStore::append_json); [`TooLarge`](crate::MiniStoreError::TooLarge) if the
    /// batch would exceed 1 GiB. The batch remains as it was.
    pub fn push(&mut self, json: &[u8]) -> Result<()> {
        let value = encode::validate_value(json).map_err(|error| encode::in_batch(error, self.records))?;
        self.push_value(&json[value])
    }

    /// Adds a record of another journal as it is. That it is JSON is checked; that it can be a new record is not,
    /// because a journal may contain records that older versions accepted.
    ///
    /// # Errors
    ///
    /// [`Record`](crate::MiniStoreError::Record) if it is not JSON, [`TooLarge`](crate::MiniStoreError::TooLarge) if
    /// the batch would exceed 1 GiB. The batch remains as it was.
    pub fn push_copy(&mut self, record: &RawRecord<'_>) -> Result<()> {
        self.push_value(record.parse::<&RawValue>()?.get().as_bytes())
    }

    /// Adds a value that the caller has validated.
    pub(crate) fn push_value(&mut self, value: &[u8]) -> Result<()> {
        let separator = usize::from(self.records > 0);
        encode::check_size("a batch", self.lines.len() + separator + value.len(), LINE_BYTES_LIMIT)?;
        if separator > 0 {
            self.lines.push(LF);
        }
        self.lines.extend_from_slice(value);
        self.records += 1;
        self.largest_record_bytes = self.largest_record_bytes.max(value.len());
        Ok(())
    }

    /// Returns the lines, the number of records and the size of the largest one in bytes.
    pub(super) fn into_parts(self) -> (Vec<u8>, u64, usize) {
        (self.lines, self.records, self.largest_record_bytes)
    }

    /// Returns the number of records.
    #[must_use]
    pub fn records(&self) -> u64 {
        self.records
    }

    /// Returns `true` if there is no record.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.records == 0
    }

    /// Returns the size as JSON lines, in bytes.
    #[must_use]
    pub fn bytes(&self) -> usize {
        self.lines.len()
    }
}
