//! The interval log that HdrHistogram's own tools read: one line per interval and histogram.

use std::{
    io::{self, Write},
    time::{Duration, SystemTime},
};

use hdrhistogram::{
    Histogram,
    serialization::{
        V2DeflateSerializer,
        interval_log::{IntervalLogWriterBuilder, IntervalLogWriterError, Tag},
    },
};

use super::Stats;

/// The greatest value of each line is divided by this, as in HdrHistogram's own writer: nanoseconds become
/// milliseconds.
const MAX_VALUE_DIVISOR: f64 = 1e6;

/// Writes an interval log (`.hlog`, HdrHistogram's format 1.3): one line per interval and histogram, tagged with the
/// name that [`Stats::histograms`] returns (`Tag=sync`). Empty histograms have no line.
///
/// HdrHistogram's `HistogramLogProcessor` (`-tag sync`), `HistogramLogAnalyzer` and the libraries of other languages
/// read it. Latencies are in nanoseconds, `group_records` in records, `group_bytes` in bytes.
///
/// ```
/// # fn main() -> Result<(), Box<dyn std::error::Error>> {
/// # let dir = tempfile::tempdir()?;
/// # let store = ministore_uring::JournalOptions::new().open_blocking(dir.path().join("j"))?;
/// # let file = Vec::new();
/// use ministore_uring::stats::HlogWriter;
///
/// let mut last = store.stats();
/// let mut log = HlogWriter::new(file, last.started)?;
/// for _ in 0..3 {
///     store.blocking().append(&"hello")?; // or: wait a second
///     let now = store.stats();
///     log.write(&now.since(&last))?;
///     last = now;
/// }
/// let file = log.into_inner();
/// # assert_eq!(String::from_utf8(file)?.lines().filter(|line| line.starts_with("Tag=sync,")).count(), 3);
/// # Ok(())
/// # }
/// ```
pub struct HlogWriter<W> {
    out: W,
    serializer: V2DeflateSerializer,
    base_time: SystemTime,
}

impl<W: Write> HlogWriter<W> {
    /// Starts a log. The times of its intervals count from `base_time`: the beginning of the log, or earlier.
    ///
    /// # Errors
    ///
    /// Those of `out`.
    pub fn new(mut out: W, base_time: SystemTime) -> io::Result<Self> {
        let mut serializer = V2DeflateSerializer::new();
        IntervalLogWriterBuilder::new()
            .add_comment(concat!("[Logged with ministore-uring ", env!("CARGO_PKG_VERSION"), "]"))
            .add_comment("[Histogram log format version 1.3]")
            .with_start_time(base_time)
            .with_base_time(base_time)
            .with_max_value_divisor(MAX_VALUE_DIVISOR)
            .begin_log_with(&mut out, &mut serializer)?;
        writeln!(
            out,
            "\"StartTimestamp\",\"Interval_Length\",\"Interval_Max\",\"Interval_Compressed_Histogram\""
        )?;
        Ok(Self { out, serializer, base_time })
    }

    /// Adds an interval, as [`Stats::since`] returns it.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn write(&mut self, interval: &Stats) -> io::Result<()> {
        for (name, histogram) in interval.histograms() {
            self.write_histogram(name, histogram, interval.started, interval.elapsed)?;
        }
        Ok(())
    }

    /// Adds a histogram of the program, such as the latency that its callers see, unless it is empty.
    ///
    /// # Errors
    ///
    /// Those of the writer; [`InvalidInput`](io::ErrorKind::InvalidInput) if the tag contains a comma, a space or a
    /// line break.
    pub fn write_histogram(
        &mut self,
        tag: &str,
        histogram: &Histogram<u64>,
        started: SystemTime,
        elapsed: Duration,
    ) -> io::Result<()> {
        if histogram.is_empty() {
            return Ok(());
        }
        let invalid =
            || io::Error::new(io::ErrorKind::InvalidInput, format!("no tag of an interval log: {tag:?}"));
        let tag = Tag::new(tag).ok_or_else(invalid)?;
        let after = started.duration_since(self.base_time).unwrap_or_default();
        let Self { out, serializer, .. } = self;
        let mut lines = IntervalLogWriterBuilder::new();
        lines.with_max_value_divisor(MAX_VALUE_DIVISOR);
        let mut line = Vec::new();
        lines
            .begin_log_with(&mut line, serializer)?
            .write_histogram(histogram, after, elapsed, Some(tag))
            .map_err(|error| match error {
                IntervalLogWriterError::IoError(error) => error,
                IntervalLogWriterError::SerializeError(error) => io::Error::other(error),
            })?;
        // The builder repeats the comment about the divisor, which is already at the start of the file.
        let start = line.iter().position(|&byte| byte == b'\n').map_or(0, |end| end + 1);
        out.write_all(&line[start..])
    }

    /// Flushes the writer.
    ///
    /// # Errors
    ///
    /// Those of the writer.
    pub fn flush(&mut self) -> io::Result<()> {
        self.out.flush()
    }

    /// Returns the writer.
    pub fn into_inner(self) -> W {
        self.out
    }
}

impl<W> std::fmt::Debug for HlogWriter<W> {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("HlogWriter").field("base_time", &self.base_time).finish_non_exhaustive()
    }
}
