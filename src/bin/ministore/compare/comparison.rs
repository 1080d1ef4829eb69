//! Owns the comparison of two measurements: point by point and figure by figure. Pure.

use serde::Serialize;

use super::{
    circumstances::{self, Unlike},
    rule::{Better, Verdict, enough, judge},
};
use crate::{
    bench::outcome::{Outcome, PERCENTILES, Point, Round, Setting, Spread},
    units,
};

/// What differs between A and B.
#[derive(Debug, Serialize)]
pub(super) struct Comparison {
    /// Some figure of B is worse.
    pub(super) worse: bool,
    pub(super) unlike: Vec<Unlike>,
    pub(super) points: Vec<Compared>,
    /// Points that the other one has not.
    pub(super) only_in_a: Vec<Setting>,
    pub(super) only_in_b: Vec<Setting>,
}

/// A point that both have.
#[derive(Debug, Serialize)]
pub(super) struct Compared {
    #[serde(flatten)]
    pub(super) setting: Setting,
    pub(super) rounds: [usize; 2],
    pub(super) figures: Vec<Figure>,
}

/// A figure of a point.
#[derive(Debug, Serialize)]
pub(super) struct Figure {
    /// `appends_per_second`, or a percentile of the latency, in microseconds.
    pub(super) name: &'static str,
    pub(super) a: Spread,
    pub(super) b: Spread,
    /// Of the medians: 0.1 where B's is a tenth greater.
    pub(super) change: f64,
    pub(super) verdict: Verdict,
}

/// The name of the one figure that is no percentile.
pub(super) const RATE: &str = "appends_per_second";

pub(super) fn compare(a: &Outcome, b: &Outcome, tolerated: f64) -> serde_json::Result<Comparison> {
    let other =
        |all: &Outcome, one: &Point| all.points.iter().find(|point| point.setting == one.setting).cloned();
    let mut unlike = circumstances::unlike(a, b)?;
    let mut points = Vec::new();
    for one in &a.points {
        if let Some(two) = other(b, one) {
            unlike.extend(carriers(one, &two));
            points.push(compared(one, &two, tolerated));
        }
    }
    let missing = |of: &Outcome, from: &Outcome| {
        let alone = of.points.iter().filter(|point| other(from, point).is_none());
        alone.map(|point| point.setting.clone()).collect()
    };
    let all = points.iter().flat_map(|point: &Compared| &point.figures);
    let worse = all.into_iter().any(|figure| figure.verdict == Verdict::Worse);
    Ok(Comparison { worse, unlike, points, only_in_a: missing(a, b), only_in_b: missing(b, a) })
}

fn compared(a: &Point, b: &Point, tolerated: f64) -> Compared {
    let figure = |name, better, of: &dyn Fn(&Round) -> Option<f64>| {
        let values = |point: &Point| point.rounds.iter().filter_map(of).collect::<Vec<_>>();
        let (one, two) = (values(a), values(b));
        let verdict = judge(&one, &two, better, tolerated);
        let (one, two) = (Spread::of(one), Spread::of(two));
        let change = if one.median > 0.0 { two.median / one.median - 1.0 } else { 0.0 };
        Figure { name, a: one, b: two, change, verdict }
    };
    let fewest =
        a.rounds.iter().chain(&b.rounds).map(|round| round.appends + round.unsent).min().unwrap_or(0);
    let mut figures = vec![figure(RATE, Better::Higher, &|round| Some(round.appends_per_second))];
    for (name, quantile) in PERCENTILES {
        let mut percentile = figure(name, Better::Lower, &|round| round.latency_us.get(name).copied());
        if percentile.verdict != Verdict::TooFewRounds && !enough(units::ratio(fewest, 1.0), quantile) {
            percentile.verdict = Verdict::TooFewAppends;
        }
        figures.push(percentile);
    }
    Compared { setting: a.setting.clone(), rounds: [a.rounds.len(), b.rounds.len()], figures }
}

/// Where something else carried the commits, though the same was asked for.
fn carriers(a: &Point, b: &Point) -> Option<Unlike> {
    let says = |point: &Point| point.rounds.first().is_some_and(|round| round.sync_mode.is_some());
    let both_say = says(a) && says(b);
    let carrier = |point: &Point| {
        point.rounds.first().map(|round| {
            let how = if round.direct { "direct" } else { "through the page cache" };
            // An earlier version did not say: no difference.
            let sync_mode = round
                .sync_mode
                .as_ref()
                .filter(|_| both_say)
                .map_or_else(String::new, |mode| format!(", {mode}"));
            format!("{}, {how}{sync_mode}", round.backend)
        })
    };
    let (one, two) = (carrier(a), carrier(b));
    let what = format!("commits of {} callers", a.setting.callers);
    (one != two).then(|| Unlike { what, a: one.into(), b: two.into() })
}
