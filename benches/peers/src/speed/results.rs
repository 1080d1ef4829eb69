//! What was measured, round by round, and the medians over the rounds.

use std::collections::BTreeMap;

use serde::Serialize;

use super::{cell::Cell, entrant::Entrant, phases::Figures};
use crate::contestant::Refusal;

/// What identifies a measurement.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub struct Key {
    /// With records of how many bytes.
    pub record_bytes: usize,
    /// By how many callers; 0: in bulk.
    pub callers: usize,
    /// Who.
    pub entrant: Entrant,
}

/// One measurement's rounds.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub struct Row {
    /// Who.
    pub entrant: Entrant,
    /// By how many callers; 0: in bulk.
    pub callers: usize,
    /// With records of how many bytes.
    pub record_bytes: usize,
    /// Each figure's median over the rounds.
    pub median: Option<Figures>,
    /// Every round that gave figures.
    pub rounds: Vec<Figures>,
    /// What the others said instead.
    pub refusals: Vec<String>,
}

/// Everything measured.
#[derive(Debug, Clone, Default)]
pub struct Results {
    rows: BTreeMap<Key, Row>,
}

impl Results {
    /// Takes in what one measurement gave.
    pub fn add(&mut self, cell: &Cell, outcome: Result<Figures, Refusal>) {
        let Cell { entrant, callers, record_bytes, .. } = *cell;
        let row = self.rows.entry(Key { record_bytes, callers, entrant }).or_insert_with(|| Row {
            entrant,
            callers,
            record_bytes,
            median: None,
            rounds: Vec::new(),
            refusals: Vec::new(),
        });
        match outcome {
            Ok(figures) => row.rounds.push(figures),
            Err(refusal) => row.refusals.push(refusal.0),
        }
        row.median = medians(&row.rounds);
    }

    /// Every row, by size, callers and entrant.
    pub fn rows(&self) -> impl Iterator<Item = &Row> {
        self.rows.values()
    }

    /// The row of one measurement.
    #[must_use]
    pub fn row(&self, entrant: Entrant, callers: usize, record_bytes: usize) -> Option<&Row> {
        self.rows.get(&Key { record_bytes, callers, entrant })
    }

    /// The medians of one measurement.
    #[must_use]
    pub fn median(&self, entrant: Entrant, callers: usize, record_bytes: usize) -> Option<Figures> {
        self.row(entrant, callers, record_bytes).and_then(|row| row.median)
    }

    /// The sizes measured.
    #[must_use]
    pub fn sizes(&self) -> Vec<usize> {
        distinct(self.rows().map(|row| row.record_bytes))
    }

    /// The numbers of callers measured.
    #[must_use]
    pub fn callers(&self) -> Vec<usize> {
        distinct(self.rows().map(|row| row.callers).filter(|callers| *callers > 0))
    }

    /// Who was measured.
    #[must_use]
    pub fn entrants(&self) -> Vec<Entrant> {
        distinct(self.rows().map(|row| row.entrant))
    }
}

fn distinct<T: Ord>(values: impl Iterator<Item = T>) -> Vec<T> {
    let mut values: Vec<T> = values.collect();
    values.sort_unstable();
    values.dedup();
    values
}

/// The middle value; of an even number of them, the mean of the two in the middle.
#[must_use]
pub fn median(mut values: Vec<f64>) -> Option<f64> {
    values.sort_by(f64::total_cmp);
    let (half, odd) = (values.len() / 2, values.len() % 2 == 1);
    let upper = *values.get(half)?;
    if odd { Some(upper) } else { values.get(half - 1).map(|lower| f64::midpoint(*lower, upper)) }
}

fn medians(rounds: &[Figures]) -> Option<Figures> {
    let of = |figure: fn(&Figures) -> f64| median(rounds.iter().map(figure).collect());
    Some(Figures {
        records_per_second: of(|round| round.records_per_second)?,
        bytes_per_second: of(|round| round.bytes_per_second)?,
        p50_us: of(|round| round.p50_us)?,
        p90_us: of(|round| round.p90_us)?,
        p99_us: of(|round| round.p99_us)?,
        p999_us: of(|round| round.p999_us)?,
        max_us: of(|round| round.max_us)?,
        calls: rounds.iter().map(|round| round.calls).sum(),
        acknowledged: rounds.iter().map(|round| round.acknowledged).sum(),
        kept: None,
    })
}

#[cfg(test)]
mod tests {
    use super::median;

    #[test]
    fn the_median_is_the_middle_value() {
        assert_eq!(median(vec![]), None);
        assert_eq!(median(vec![3.0, 1.0, 2.0]), Some(2.0));
        assert_eq!(median(vec![4.0, 1.0, 2.0, 3.0]), Some(2.5));
    }
}
