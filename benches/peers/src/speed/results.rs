//! The results, round by round, and the medians over the rounds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{bench_case::BenchCase, measure::MeasurementConfig, phases::Measurement, records::RecordKind};
use crate::log_under_test::LogError;

#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct RowKey {
    pub records: RecordKind,
    /// The number of callers; 0 means pipelined.
    pub callers: usize,
    pub case: BenchCase,
}

#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct ResultRow {
    #[serde(rename = "entrant")]
    pub case: BenchCase,
    /// The number of callers; 0 means pipelined.
    pub callers: usize,
    #[serde(flatten)]
    pub records: RecordKind,
    /// The median of each value over the rounds.
    pub median: Option<Measurement>,
    /// The rounds that succeeded.
    pub rounds: Vec<Measurement>,
    #[serde(rename = "refusals")]
    pub errors: Vec<String>,
}

#[derive(Debug, Clone, Default)]
pub struct Results {
    rows: BTreeMap<RowKey, ResultRow>,
}

impl Results {
    pub fn add(&mut self, config: &MeasurementConfig, outcome: Result<Measurement, LogError>) {
        let MeasurementConfig { case, callers, records, .. } = *config;
        let row = self.rows.entry(RowKey { records, callers, case }).or_insert_with(|| ResultRow {
            case,
            callers,
            records,
            median: None,
            rounds: Vec::new(),
            errors: Vec::new(),
        });
        match outcome {
            Ok(measurement) => row.rounds.push(measurement),
            Err(error) => row.errors.push(error.0),
        }
        row.median = medians(&row.rounds);
    }

    /// Returns whether anything was measured with this number of callers and these records.
    pub fn has(&self, callers: usize, records: RecordKind) -> bool {
        self.rows().any(|row| (row.callers, row.records) == (callers, records))
    }

    /// Returns the mean size of the writes that a growing file is compared with: those of this round.
    pub fn write_bytes_of(&self, floor: &MeasurementConfig) -> Option<f64> {
        let case = self.cases().into_iter().find(|case| case.growing_floor() == Some(floor.case))?;
        self.row(case, floor.callers, floor.records)?.rounds.last()?.write_bytes
    }

    /// Returns all rows, by size, callers and case.
    pub fn rows(&self) -> impl Iterator<Item = &ResultRow> {
        self.rows.values()
    }

    pub fn row(&self, case: BenchCase, callers: usize, records: RecordKind) -> Option<&ResultRow> {
        self.rows.get(&RowKey { records, callers, case })
    }

    pub fn median(&self, case: BenchCase, callers: usize, records: RecordKind) -> Option<Measurement> {
        self.row(case, callers, records).and_then(|row| row.median)
    }

    pub fn kinds(&self) -> Vec<RecordKind> {
        distinct(self.rows().map(|row| row.records))
    }

    pub fn callers(&self) -> Vec<usize> {
        distinct(self.rows().map(|row| row.callers).filter(|callers| *callers > 0))
    }

    pub fn cases(&self) -> Vec<BenchCase> {
        distinct(self.rows().map(|row| row.case))
    }
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// Returns the middle value; for an even number of values, the mean of the two in the middle.
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    let upper = *values.get(half)?;
    if odd { Some(upper) } else { values.get(half - 1).map(|lower| f64::midpoint(*lower, upper)) }
}

fn medians(rounds: &[Measurement]) -> Option<Measurement> {
    let of = |figure: fn(&Measurement) -> f64| median(rounds.iter().map(figure).collect());
    Some(Measurement {
        records_per_second: of(|round| round.records_per_second)?,
        bytes_per_second: of(|round| round.bytes_per_second)?,
        p50_us: of(|round| round.p50_us)?,
        p90_us: of(|round| round.p90_us)?,
        p99_us: of(|round| round.p99_us)?,
        p999_us: of(|round| round.p999_us)?,
        max_us: of(|round| round.max_us)?,
        processors: of(|round| round.processors)?,
        write_bytes: median(rounds.iter().filter_map(|round| round.write_bytes).collect()),
        calls: rounds.iter().map(|round| round.calls).sum(),
        acknowledged: rounds.iter().map(|round| round.acknowledged).sum(),
        stored: None,
    })
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn median_is_the_middle_value() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
