//! Interval logs of the statistics, read by the crate that wrote them and by HdrHistogram's own processor.

use std::{
    fs::{self, File},
    path::{Path, PathBuf},
    process::Command,
    time::{Duration, UNIX_EPOCH},
};

use base64::{Engine, engine::general_purpose::STANDARD};
use hdrhistogram::{
    Histogram,
    serialization::{
        Deserializer,
        interval_log::{IntervalLogIterator, LogEntry},
    },
};
use ministore_uring::{JournalOptions, Stats, stats::HlogWriter};

use crate::support::{TempJournal, print_notice};

/// The path in Debian's package `libhdrhistogram-java`.
const JAR: &str = "/usr/share/java/hdrhistogram.jar";

/// A log and the intervals that were written to it.
struct IntervalLog {
    journal: TempJournal,
    intervals: Vec<Stats>,
}

impl IntervalLog {
    fn path(&self) -> PathBuf {
        self.journal.path().with_extension("hlog")
    }

    /// Writes three intervals with different numbers of groups and one without appends.
    fn new() -> Self {
        let journal = TempJournal::new();
        let store = JournalOptions::new().max_segment_bytes(5000).open_blocking(journal.path()).unwrap();
        let mut last = store.stats();
        let mut log =
            HlogWriter::new(File::create(journal.path().with_extension("hlog")).unwrap(), last.started)
                .unwrap();
        let mut intervals = Vec::new();
        for appends in [100, 1, 0, 30] {
            for number in 0..appends {
                let records = (0..=number % 7).map(|record| "x".repeat(record * 10));
                store.blocking().append_batch(records).unwrap();
            }
            let now = store.stats();
            intervals.push(now.since(&last));
            log.write(intervals.last().unwrap()).unwrap();
            last = now;
        }
        log.flush().unwrap();
        Self { journal, intervals }
    }
}

/// Returns every non-empty bucket.
fn counts(histogram: &Histogram<u64>) -> Vec<(u64, u64)> {
    histogram.iter_recorded().map(|step| (step.value_iterated_to(), step.count_at_value())).collect()
}

#[test]
fn hlog_contains_every_count() {
    let logged = IntervalLog::new();
    let text = fs::read(logged.path()).unwrap();
    let mut expected = logged.intervals.iter().flat_map(|interval| {
        let filled = interval.histograms().into_iter().filter(|(_, histogram)| !histogram.is_empty());
        filled.map(move |(name, histogram)| (interval, name, histogram))
    });
    let base_time = logged.intervals[0].started;
    let (mut lines, mut times) = (0, 0);
    for entry in IntervalLogIterator::new(&text) {
        let line = match entry.unwrap() {
            LogEntry::Interval(line) => line,
            LogEntry::StartTime(time) | LogEntry::BaseTime(time) => {
                times += 1;
                assert!(
                    time.abs_diff(base_time.duration_since(UNIX_EPOCH).unwrap()) < Duration::from_millis(2)
                );
                continue;
            }
        };
        lines += 1;
        let (interval, name, histogram) = expected.next().expect("a line too many");
        assert_eq!(line.tag().unwrap().as_str(), name);
        let after = interval.started.duration_since(base_time).unwrap();
        assert!(line.start_timestamp().abs_diff(after) < Duration::from_millis(2));
        assert!(line.duration().abs_diff(interval.elapsed) < Duration::from_millis(2));
        let bytes = STANDARD.decode(line.encoded_histogram()).unwrap();
        let found: Histogram<u64> = Deserializer::new().deserialize(&mut bytes.as_slice()).unwrap();
        assert_eq!(counts(&found), counts(histogram), "{name}");
        assert_eq!(found, *histogram);
    }
    assert!(expected.next().is_none(), "a line too few");
    assert_eq!((times, lines >= 3 * 6), (2, true), "{lines} lines");
    assert!(logged.intervals.iter().any(|interval| !interval.rotation.is_empty()), "no rotation was logged");
}

#[test]
fn tag_that_breaks_a_line_is_rejected() {
    let logged = IntervalLog::new();
    let mut log = HlogWriter::new(Vec::new(), logged.intervals[0].started).unwrap();
    let (histogram, started) = (&logged.intervals[0].sync, logged.intervals[0].started);
    for tag in ["a,b", "a b", "a\nb"] {
        let error = log.write_histogram(tag, histogram, started, Duration::ZERO).unwrap_err();
        assert_eq!(error.kind(), std::io::ErrorKind::InvalidInput);
    }
    let before = log.into_inner();
    assert_eq!(String::from_utf8(before).unwrap().lines().filter(|line| line.starts_with("Tag=")).count(), 0);
}

#[test]
fn hdrhistogram_processor_reads_the_same_counts() {
    let java = Command::new("java").arg("-version").output().is_ok_and(|output| output.status.success());
    if !java || !Path::new(JAR).exists() {
        return print_notice(&format!(
            "SKIPPED: HdrHistogram's own processor: java or {JAR} is missing (Debian: default-jre-headless \
             libhdrhistogram-java)"
        ));
    }
    let logged = IntervalLog::new();
    let mut tags = 0;
    for (tag, all) in sums(&logged.intervals) {
        if all.is_empty() {
            continue;
        }
        tags += 1;
        let theirs = logged.journal.path().with_extension(tag);
        process(&logged.path(), tag, &theirs);
        let rows = rows(&theirs.with_extension(format!("{tag}.hgrm")));
        for &(value, total) in &rows {
            assert_eq!(total, all.count_between(0, value), "{tag}: values up to {value}");
        }
        assert_eq!(rows.last(), Some(&(all.highest_equivalent(all.max()), all.len())), "{tag}");
    }
    assert_eq!(tags, 8, "every histogram was compared");
}

/// Returns the sum of all intervals of each histogram.
fn sums(intervals: &[Stats]) -> Vec<(&'static str, Histogram<u64>)> {
    let mut sums = intervals[0].histograms().map(|(name, histogram)| (name, histogram.clone())).to_vec();
    for interval in &intervals[1..] {
        for ((_, sum), (_, more)) in sums.iter_mut().zip(interval.histograms()) {
            sum.add(more).unwrap();
        }
    }
    sums
}

/// Writes the distribution of all intervals with this tag to `out.hgrm`.
fn process(log: &Path, tag: &str, out: &Path) {
    let mut processor = Command::new("java");
    processor.args(["-cp", JAR, "org.HdrHistogram.HistogramLogProcessor", "-i"]).arg(log);
    let output = processor.args(["-tag", tag, "-outputValueUnitRatio", "1", "-o"]).arg(out).output().unwrap();
    assert!(output.status.success() && output.stderr.is_empty(), "{processor:?}: {output:?}");
}

/// Parses a percentile distribution: values, each with the number of counts that are not greater. (Tools round differently, so
/// the quantiles of the rows differ.)
fn rows(distribution: &Path) -> Vec<(u64, u64)> {
    let text = fs::read_to_string(distribution).unwrap();
    let rows = text.lines().filter(|line| !line.starts_with('#')).filter_map(|line| {
        let cells: Vec<_> = line.split_whitespace().collect();
        let value: f64 = cells.first()?.parse().ok()?;
        assert_eq!(value.fract(), 0.0, "{line}");
        Some((value as u64, cells[2].parse().unwrap()))
    });
    rows.collect()
}
