//! Compares two reports point by point and figure by figure. Pure.

use serde::Serialize;

use super::{
    environment::{self, EnvDiff},
    verdict::{Direction, Verdict, enough, judge},
};
use crate::{
    bench::report::{BenchPoint, BenchReport, PERCENTILES, Point, Round, Summary},
    units,
};

/// The differences between A and B.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    /// Some figure of B is worse.
    pub(super) worse: bool,
    pub(super) environment_differences: Vec<EnvDiff>,
    pub(super) points: Vec<PointComparison>,
    /// Points that the other report does not contain.
    pub(super) only_in_a: Vec<BenchPoint>,
    pub(super) only_in_b: Vec<BenchPoint>,
}

/// The comparison of a point that both reports contain.
#[derive(Debug, Serialize)]
pub(super) struct PointComparison {
    #[serde(flatten)]
    pub(super) setting: BenchPoint,
    pub(super) rounds: [usize; 2],
    pub(super) figures: Vec<FigureComparison>,
}

/// The comparison of a figure of a point.
#[derive(Debug, Serialize)]
pub(super) struct FigureComparison {
    /// `appends_per_second`, or a percentile of the latency, in microseconds.
    pub(super) name: &'static str,
    pub(super) a: Summary,
    pub(super) b: Summary,
    /// The change of the median: 0.1 if B is a tenth greater.
    pub(super) change: f64,
    pub(super) verdict: Verdict,
}

/// The name of the figure that is not a percentile.
pub(super) const RATE: &str = "appends_per_second";

pub(super) fn compare(a: &BenchReport, b: &BenchReport, tolerated: f64) -> Comparison {
    let other = |all: &BenchReport, one: &Point| {
        all.points.iter().find(|point| point.setting == one.setting).cloned()
    };
    let mut environment_differences = environment::differences(a, b);
    let mut points = Vec::new();
    for one in &a.points {
        if let Some(two) = other(b, one) {
            environment_differences.extend(write_paths(one, &two));
            points.push(compared(one, &two, tolerated));
        }
    }
    let missing = |of: &BenchReport, from: &BenchReport| {
        let alone = of.points.iter().filter(|point| other(from, point).is_none());
        alone.map(|point| point.setting.clone()).collect()
    };
    let all = points.iter().flat_map(|point: &PointComparison| &point.figures);
    let worse = all.into_iter().any(|figure| figure.verdict == Verdict::Worse);
    let (only_in_a, only_in_b) = (missing(a, b), missing(b, a));
    Comparison { worse, environment_differences, points, only_in_a, only_in_b }
}

fn compared(a: &Point, b: &Point, tolerated: f64) -> PointComparison {
    let figure = |name, better, of: &dyn Fn(&Round) -> Option<f64>| {
        let values = |point: &Point| point.rounds.iter().filter_map(of).collect::<Vec<_>>();
        let (one, two) = (values(a), values(b));
        let verdict = judge(&one, &two, better, tolerated);
        let (one, two) = (Summary::of(one), Summary::of(two));
        let change = if one.median > 0.0 { two.median / one.median - 1.0 } else { 0.0 };
        FigureComparison { name, a: one, b: two, change, verdict }
    };
    let fewest =
        a.rounds.iter().chain(&b.rounds).map(|round| round.appends + round.not_started).min().unwrap_or(0);
    let mut figures = vec![figure(RATE, Direction::Higher, &|round| Some(round.appends_per_second))];
    for (name, quantile) in PERCENTILES {
        let mut percentile = figure(name, Direction::Lower, &|round| round.latency_us.get(name).copied());
        if percentile.verdict != Verdict::TooFewRounds && !enough(units::ratio(fewest, 1.0), quantile) {
            percentile.verdict = Verdict::TooFewAppends;
        }
        figures.push(percentile);
    }
    PointComparison { setting: a.setting.clone(), rounds: [a.rounds.len(), b.rounds.len()], figures }
}

/// Reports a different backend, I/O method or sync mode in use although the same was requested.
fn write_paths(a: &Point, b: &Point) -> Option<EnvDiff> {
    let [one, two] = [a, b].map(|point| point.rounds.first().map(Round::write_path));
    let name = format!("write path with {} clients", a.setting.clients);
    (one != two).then(|| EnvDiff { name, a: one.into(), b: two.into() })
}
