//! The text report of a comparison.

use super::{
    comparison::{Comparison, FigureComparison, PointComparison, RATE},
    verdict::{ROUNDS_MIN, Verdict},
};
use crate::{
    bench::report::{BenchPoint, Summary},
    output, units,
};

pub(super) fn lines(comparison: &Comparison) -> Vec<String> {
    let Comparison { worse, environment_differences, points, only_in_a, only_in_b } = comparison;
    let mut lines: Vec<_> = environment_differences
        .iter()
        .map(|diff| format!("environment differs: {}: {} in A, {} in B", diff.name, diff.a, diff.b))
        .collect();
    for (alone, name) in [(only_in_a, "A"), (only_in_b, "B")] {
        lines.extend(alone.iter().map(|setting| format!("only in {name}: {}", of(setting))));
    }
    lines.extend(output::columns(&table(points), &[]));
    if points.iter().any(|point| point.rounds.iter().any(|&rounds| rounds < ROUNDS_MIN)) {
        lines.push(format!(
            "not significant: fewer than {ROUNDS_MIN} rounds on one side; use bench --rounds 5"
        ));
    }
    let count =
        |verdict| points.iter().flat_map(|point| &point.figures).filter(|f| f.verdict == verdict).count();
    lines.push(format!(
        "{}: {} worse and {} better beyond the spread of the rounds",
        if *worse { "B is worse" } else { "B is not worse" },
        units::counted(count(Verdict::Worse) as u64, "figure"),
        units::count(count(Verdict::Better) as u64),
    ));
    lines
}

fn table(points: &[PointComparison]) -> Vec<Vec<String>> {
    let head = ["clients", "bytes", "backend", "rate", "figure", "A", "B", "change", "verdict"];
    let mut rows = vec![head.map(str::to_owned).to_vec()];
    for PointComparison { setting, figures, .. } in points {
        for figure in figures {
            let FigureComparison { name, a, b, change, verdict } = figure;
            let show = |value: f64| match *name {
                RATE => units::rounded(value),
                _ => units::micros(value),
            };
            let spread = |s: &Summary| format!("{} ({}–{})", show(s.median), show(s.min), show(s.max));
            rows.push(vec![
                setting.clients.to_string(),
                setting.record_bytes.to_string(),
                setting.backend.clone(),
                setting.rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string()),
                if *name == RATE { "appends/s".to_owned() } else { (*name).to_owned() },
                spread(a),
                spread(b),
                format!("{:+.1}%", change * 100.0),
                word(*verdict).to_owned(),
            ]);
        }
    }
    rows
}

fn word(verdict: Verdict) -> &'static str {
    match verdict {
        Verdict::Better => "better",
        Verdict::Worse => "WORSE",
        Verdict::Same => "same",
        Verdict::TooFewRounds => "?",
        Verdict::TooFewAppends => "-",
    }
}

fn of(setting: &BenchPoint) -> String {
    let BenchPoint { clients, record_bytes, backend, rate } = setting;
    let rate = rate.map_or_else(String::new, |rate| format!(", {rate} due per second"));
    format!("{clients} clients, {record_bytes} bytes, {backend}{rate}")
}
