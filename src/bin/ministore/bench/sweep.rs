//! Owns a sweep: round by round every point, and what comes of all rounds of a point together.

use std::{
    fs,
    path::Path,
    time::{SystemTime, UNIX_EPOCH},
};

use hdrhistogram::Histogram;
use ministore_uring::JournalOptions;

use super::{
    Args,
    observer::Log,
    outcome::{Groups, Options, Outcome, PERCENTILES, Point, SCHEMA, Setting, Spread, Step},
    plan,
    round::{self, Length, Measured},
};
use crate::{
    exit::Failure,
    machine::{FileSystem, Machine},
    signals::Interrupts,
    store::BackendName,
    units,
};

/// As many archived segments as the journal needs to rotate: a long run must not fill the disk.
const SEGMENTS_KEPT: usize = 2;

/// Steps of the percentile curve for each halving of the distance to 100 %, as HdrHistogram prints it.
const TICKS_PER_HALF_DISTANCE: u32 = 5;

/// A sweep under way.
#[derive(Debug)]
pub(super) struct Sweep<'a> {
    args: &'a Args,
    started: SystemTime,
    points: Vec<Measuring>,
    complete: bool,
}

/// What was measured of a point so far.
#[derive(Debug)]
struct Measuring {
    setting: Setting,
    rounds: Vec<Measured>,
    /// Of all rounds.
    latency: Option<Histogram<u64>>,
    group_records: Option<Histogram<u64>>,
}

impl<'a> Sweep<'a> {
    pub(super) fn new(args: &'a Args, settings: Vec<Setting>) -> Self {
        let point = |setting| Measuring { setting, rounds: Vec::new(), latency: None, group_records: None };
        let points = settings.into_iter().map(point).collect();
        Self { args, started: SystemTime::now(), points, complete: false }
    }

    /// Until it is over or interrupted. Each round of a point has a journal of its own, gone before the next begins.
    pub(super) fn run(
        &mut self,
        directory: &Path,
        mut log: Option<&mut Log>,
        interrupts: &Interrupts,
    ) -> Result<(), Failure> {
        let length = Length { warm_up: self.args.warm_up, seconds: self.args.seconds };
        let several = self.points.len() > 1;
        for at in plan::order(self.points.len(), self.args.rounds) {
            if interrupts.raised().is_some() {
                return Ok(());
            }
            let options = self.options(&self.points[at].setting);
            let point = &mut self.points[at];
            if let Some(log) = &mut log {
                log.turn_to(if several { format!("{}/", point.setting.name()) } else { String::new() });
            }
            let own = directory.join("journal");
            fs::create_dir(&own).map_err(|error| Failure::file(&own, "create", &error))?;
            let journal = own.join("journal.jsonl");
            let measured =
                round::measure(&journal, options, &point.setting, length, log.as_deref_mut(), interrupts)?;
            fs::remove_dir_all(&own).map_err(|error| Failure::file(&own, "remove", &error))?;
            tracing::info!(
                "{}: {:.0} durable appends a second",
                point.setting.name(),
                measured.round.appends_per_second
            );
            if measured.round.appends + measured.round.unsent > 0 {
                point.add(measured)?;
            }
        }
        self.complete = interrupts.raised().is_none();
        Ok(())
    }

    fn options(&self, setting: &Setting) -> JournalOptions {
        let named = |name: &&BackendName| name.name() == setting.backend;
        let backend = self.args.backend.iter().find(named).copied().unwrap_or(BackendName::Auto);
        JournalOptions::new()
            .backend(backend.backend())
            .sync_mode(self.args.sync_mode.mode())
            .write_ahead(!self.args.no_write_ahead)
            .commit_delay(self.args.commit_delay)
            .max_bytes_per_segment(self.args.segment_bytes)
            .max_segments(SEGMENTS_KEPT)
    }

    /// What is told, and the latencies of each point that was measured.
    pub(super) fn outcome(self, directory: &Path) -> (Outcome, Vec<(Setting, Histogram<u64>)>) {
        let Self { args, started, points, complete } = self;
        let mut latencies = Vec::new();
        let mut told = Vec::new();
        for Measuring { setting, rounds, latency, group_records } in points {
            if let (Some(latency), Some(group_records)) = (latency, group_records) {
                told.push(point(setting.clone(), rounds, &latency, &group_records));
                latencies.push((setting, latency));
            }
        }
        let outcome = Outcome {
            schema: SCHEMA.to_owned(),
            version: env!("CARGO_PKG_VERSION").to_owned(),
            started: started.duration_since(UNIX_EPOCH).map_or(0, |since| since.as_secs()),
            complete,
            machine: Machine::this(),
            file_system: FileSystem::of(directory).ok(),
            options: Options {
                seconds: args.seconds.as_secs_f64(),
                warm_up: args.warm_up.as_secs_f64(),
                rounds: args.rounds,
                segment_bytes: args.segment_bytes,
                commit_delay_us: args.commit_delay.as_secs_f64() * 1e6,
                write_ahead: !args.no_write_ahead,
                sync_mode: args.sync_mode.mode().to_string(),
            },
            points: told,
        };
        (outcome, latencies)
    }
}

impl Measuring {
    fn add(&mut self, measured: Measured) -> Result<(), Failure> {
        for (all, one) in
            [(&mut self.latency, &measured.latency), (&mut self.group_records, &measured.group_records)]
        {
            match all {
                None => *all = Some(one.clone()),
                Some(all) => {
                    all.add(one).map_err(|error| Failure::new(crate::exit::Code::Internal, error))?
                }
            }
        }
        self.rounds.push(measured);
        Ok(())
    }
}

fn point(
    setting: Setting,
    rounds: Vec<Measured>,
    latency: &Histogram<u64>,
    group_records: &Histogram<u64>,
) -> Point {
    let rounds: Vec<_> = rounds.into_iter().map(|measured| measured.round).collect();
    let percentile = |&(name, _): &(&str, f64)| {
        let of_rounds = rounds.iter().filter_map(|round| round.latency_us.get(name).copied());
        (name.to_owned(), Spread::of(of_rounds))
    };
    Point {
        appends_per_second: Spread::of(rounds.iter().map(|round| round.appends_per_second)),
        latency_us: PERCENTILES.iter().map(percentile).collect(),
        records_per_commit: Spread::of(rounds.iter().map(|round| round.records_per_commit)),
        curve: curve(latency),
        group_sizes: group_sizes(group_records),
        setting,
        rounds,
    }
}

fn curve(latency: &Histogram<u64>) -> Vec<Step> {
    let mut appends = 0;
    let steps = latency.iter_quantiles(TICKS_PER_HALF_DISTANCE);
    steps
        .map(|step| {
            appends += step.count_since_last_iteration();
            let us = units::ratio(step.value_iterated_to().min(latency.max()), 1e3);
            Step { quantile: step.quantile_iterated_to(), us, appends }
        })
        .collect()
}

fn group_sizes(group_records: &Histogram<u64>) -> Vec<Groups> {
    let sizes = std::iter::successors(Some(1_u64), |size| size.checked_mul(2));
    sizes
        .take_while(|&size| size <= group_records.max())
        .map(|records_from| {
            let records_to = records_from.saturating_mul(2) - 1;
            let groups = group_records
                .iter_recorded()
                .filter(|step| (records_from..=records_to).contains(&step.value_iterated_to()))
                .map(|step| step.count_at_value())
                .sum();
            Groups { records_from, records_to, groups }
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn group_sizes_double_and_every_group_is_in_one() {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 20, 3).unwrap();
        for (size, groups) in [(1, 5), (2, 1), (3, 2), (64, 1)] {
            histogram.record_n(size, groups).unwrap();
        }
        let sizes = group_sizes(&histogram);
        assert_eq!(sizes[1], Groups { records_from: 2, records_to: 3, groups: 3 });
        assert_eq!(sizes.iter().map(|size| size.groups).collect::<Vec<_>>(), [5, 3, 0, 0, 0, 0, 1]);
    }

    #[test]
    fn the_curve_ends_with_the_slowest_of_all_appends() {
        let mut histogram = Histogram::new_with_bounds(1, 1 << 30, 3).unwrap();
        for nanos in 1..=1_000 {
            histogram.record(nanos * 1_000).unwrap();
        }
        let curve = curve(&histogram);
        let last = curve.last().unwrap();
        assert_eq!((last.quantile, last.appends), (1.0, 1_000));
        assert!((1_000.0..1_001.0).contains(&last.us), "three digits of it: {}", last.us);
        assert!(curve.is_sorted_by(|a, b| a.us <= b.us && a.quantile <= b.quantile));
    }
}
