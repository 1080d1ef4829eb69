//! Runs a sweep and combines the rounds of each point.

use std::{
    env, fs, iter,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use ministore_uring::JournalOptions;

use super::{
    Args,
    observer::IntervalLog,
    plan,
    report::{
        BenchOptions, BenchPoint, BenchReport, CurvePoint, GroupSizeBucket, PERCENTILES, Point, SCHEMA,
        Summary,
    },
    round::{self, RoundResult},
};
use crate::{
    exit::{CliError, ExitStatus, warn},
    hint,
    host::{FileSystem, HostInfo},
    signals::SignalHandler,
    units,
};

/// Few, so that a long run does not fill the disk.
const SEGMENTS_KEPT: usize = 2;

/// Steps of the percentile curve for each halving of the distance to 100 %, as HdrHistogram prints it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// A running sweep.
#[derive(Debug)]
pub(super) struct Sweep<'a> {
    args: &'a Args,
    started: SystemTime,
    points: Vec<PointMeasurements>,
    complete: bool,
}

/// The latencies of all rounds of each point.
type PointLatencies = Vec<(BenchPoint, Histogram<u64>)>;

/// The measurements of a point so far.
#[derive(Debug)]
struct PointMeasurements {
    setting: BenchPoint,
    rounds: Vec<RoundResult>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(args: &'a Args, settings: Vec<BenchPoint>) -> Self {
        let point = |setting| PointMeasurements { setting, rounds: Vec::new() };
        let points = settings.into_iter().map(point).collect();
        Self { args, started: SystemTime::now(), points, complete: false }
    }

    /// Runs until it is complete or interrupted. Each round uses a new journal, which is removed after it.
    pub(super) fn run(
        &mut self,
        directory: &Path,
        mut log: Option<&mut IntervalLog>,
        signals: &SignalHandler,
    ) -> Result<(), CliError> {
        let several = self.points.len() > 1;
        for at in plan::order(self.points.len(), self.args.rounds) {
            if signals.received().is_some() {
                return Ok(());
            }
            let options = self.options(&self.points[at].setting);
            let point = &mut self.points[at];
            if let Some(log) = &mut log {
                log.set_prefix(if several { format!("{}/", point.setting.name()) } else { String::new() });
            }
            let own = directory.join("journal");
            fs::create_dir(&own).map_err(|error| CliError::file(&own, "create", &error))?;
            let journal = own.join("journal.jsonl");
            let measured =
                round::measure(&journal, options, &point.setting, self.args, log.as_deref_mut(), signals)?;
            fs::remove_dir_all(&own).map_err(|error| CliError::file(&own, "remove", &error))?;
            tracing::info!(
                "{}: {:.0} durable appends per second",
                point.setting.name(),
                measured.round.appends_per_second
            );
            if measured.round.appends + measured.round.not_started > 0 {
                point.rounds.push(measured);
            } else if signals.received().is_none() {
                warn(format_args!(
                    "{}: no append was due within the duration, so this round is left out: measure longer",
                    point.setting.name()
                ));
            }
        }
        self.complete = signals.received().is_none();
        Ok(())
    }

    fn options(&self, setting: &BenchPoint) -> JournalOptions {
        JournalOptions::new()
            .backend(setting.backend.parse().unwrap_or_default())
            .sync_mode(self.args.sync_mode)
            .preallocate(!self.args.no_preallocate)
            .spin(!self.args.no_spin)
            .commit_delay(self.args.commit_delay)
            .max_segment_bytes(self.args.max_segment_bytes)
            .max_segments(SEGMENTS_KEPT)
    }

    /// Returns the report, and the latencies of each measured point.
    pub(super) fn report(self, directory: &Path) -> Result<(BenchReport, PointLatencies), CliError> {
        let Self { args, started, points, complete } = self;
        let mut latencies = Vec::new();
        let mut measured_points = Vec::new();
        for PointMeasurements { setting, rounds } in points {
            let latency = sum(&rounds, |measured| &measured.latency)?;
            let group_records = sum(&rounds, |measured| &measured.group_records)?;
            if let (Some(latency), Some(group_records)) = (latency, group_records) {
                measured_points.push(point(setting.clone(), rounds, &latency, &group_records));
                latencies.push((setting, latency));
            }
        }
        let report = BenchReport {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            command: command_line(),
            complete,
            host: HostInfo::this(),
            file_system: FileSystem::of(directory).ok(),
            options: BenchOptions {
                duration_seconds: args.duration.as_secs_f64(),
                warm_up_seconds: args.warm_up.as_secs_f64(),
                rounds: args.rounds,
                max_segment_bytes: args.max_segment_bytes,
                commit_delay_us: args.commit_delay.as_secs_f64() * 1e6,
                preallocate: !args.no_preallocate,
                spin: !args.no_spin,
                sync_mode: args.sync_mode.to_string(),
            },
            points: measured_points,
        };
        Ok((report, latencies))
    }
}

/// Returns the command line of this process, quoted for a shell.
fn command_line() -> String {
    let words = env::args_os().skip(1).map(|word| hint::quoted_word(&word.to_string_lossy()).into_owned());
    iter::once("ministore".to_owned()).chain(words).collect::<Vec<_>>().join(" ")
}

/// Adds a histogram of all rounds; `None` without a round.
fn sum(
    rounds: &[RoundResult],
    of: fn(&RoundResult) -> &Histogram<u64>,
) -> Result<Option<Histogram<u64>>, CliError> {
    let mut histograms = rounds.iter().map(of);
    let Some(mut all) = histograms.next().cloned() else { return Ok(None) };
    for one in histograms {
        all.add(one).map_err(|error| CliError::new(ExitStatus::Internal, error))?;
    }
    Ok(Some(all))
}

fn point(
    setting: BenchPoint,
    rounds: Vec<RoundResult>,
    latency: &Histogram<u64>,
    group_records: &Histogram<u64>,
) -> Point {
    let rounds: Vec<_> = rounds.into_iter().map(|measured| measured.round).collect();
    let percentile = |&(name, _): &(&str, f64)| {
        let of_rounds = rounds.iter().filter_map(|round| round.latency_us.get(name).copied());
        (name.to_owned(), Summary::of(of_rounds))
    };
    Point {
        appends_per_second: Summary::of(rounds.iter().map(|round| round.appends_per_second)),
        latency_us: PERCENTILES.iter().map(percentile).collect(),
        records_per_commit: Summary::of(rounds.iter().map(|round| round.records_per_commit)),
        curve: curve(latency),
        group_sizes: group_sizes(group_records),
        setting,
        rounds,
    }
}

fn curve(latency: &Histogram<u64>) -> Vec<CurvePoint> {
    let mut appends = 0;
    let steps = latency.iter_quantiles(TICKS_PER_HALF_DISTANCE);
    steps
        .map(|step| {
            appends += step.count_since_last_iteration();
            let latency_us = units::ratio(step.value_iterated_to().min(latency.max()), 1e3);
            CurvePoint { quantile: step.quantile_iterated_to(), latency_us, appends }
        })
        .collect()
}

fn group_sizes(group_records: &Histogram<u64>) -> Vec<GroupSizeBucket> {
    let sizes = iter::successors(Some(1_u64), |size| size.checked_mul(2));
    sizes
        .take_while(|&size| size <= group_records.max())
        .map(|records_from| {
            let records_to = records_from.saturating_mul(2) - 1;
            let groups = group_records
                .iter_recorded()
                .filter(|step| (records_from..=records_to).contains(&step.value_iterated_to()))
                .map(|step| step.count_at_value())
                .sum();
            GroupSizeBucket { records_from, records_to, groups }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_sizes_double_without_gaps() {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 20, 3).unwrap();
        for (size, groups) in [(1, 5), (2, 1), (3, 2), (64, 1)] {
            histogram.record_n(size, groups).unwrap();
        }
        let sizes = group_sizes(&histogram);
        assert_eq!(sizes[1], GroupSizeBucket { records_from: 2, records_to: 3, groups: 3 });
        assert_eq!(sizes.iter().map(|size| size.groups).collect::<Vec<_>>(), [5, 3, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn curve_ends_with_the_slowest_append() {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 30, 3).unwrap();
        for nanos in 1..=1_000 {
            histogram.record(nanos * 1_000).unwrap();
        }
        let curve = curve(&histogram);
        let last = curve.last().unwrap();
        assert_eq!((last.quantile, last.appends), (1.0, 1_000));
        assert!((1_000.0..1_001.0).contains(&last.latency_us), "three digits of it: {}", last.latency_us);
        assert!(curve.is_sorted_by(|a, b| a.latency_us <= b.latency_us && a.quantile <= b.quantile));
    }
}
