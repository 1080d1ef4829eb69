//! Owns what `bench` tells people: one point as names and values, a sweep as a table.

use super::outcome::{Outcome, PERCENTILES, Point, Spread};
use crate::{exit::Failure, output, units};

pub(super) fn print(outcome: &Outcome) -> Result<(), Failure> {
    match &*outcome.points {
        [] => output::lines(["interrupted before anything was measured"]),
        [point] => output::pairs(&one(point)),
        points => output::lines(table(points)),
    }
}

fn one(point: &Point) -> Vec<(&'static str, String)> {
    let setting = &point.setting;
    let rounds = &point.rounds;
    let sum = |of: fn(&super::outcome::Round) -> u64| rounds.iter().map(of).sum::<u64>();
    let seconds: f64 = rounds.iter().map(|round| round.seconds).sum();
    let carrier = rounds.first().map_or_else(String::new, super::outcome::Round::carrier);
    let rate = format!("{} durable appends/s", range(point.appends_per_second, rounds.len(), whole));
    let mut rows = vec![
        ("callers", format!("{} (records of {} bytes)", setting.callers, setting.record_bytes)),
        ("backend", carrier),
        ("appends", units::count(sum(|round| round.appends))),
        ("seconds", rounds_of(seconds, rounds.len())),
        ("rate", rate),
    ];
    if let Some(due) = setting.rate {
        let kept = if kept(point) == "yes" { "kept" } else { "not kept" };
        let unsent = sum(|round| round.unsent);
        rows.push(("rate due", format!("{due} appends/s: {kept}, {} never begun", units::count(unsent))));
        let late = rounds.iter().filter_map(|round| round.late_us.get("p99").copied());
        rows.push(("begun late", format!("p99 {}", micros(Spread::of(late).median))));
    }
    rows.push(("append latency", latency(point)));
    rows.push((
        "commits",
        format!(
            "{} ({:.1} records a commit)",
            units::count(sum(|round| round.commits)),
            point.records_per_commit.median
        ),
    ));
    let commit = |name: &str| {
        let of = |round: &super::outcome::Round| round.stages_us.get("committed")?.get(name).copied();
        micros(Spread::of(rounds.iter().filter_map(of)).median)
    };
    let commits = ["p50", "p99", "p99.9", "max"].map(|name| format!("{name} {}", commit(name)));
    rows.push(("commit latency", commits.join("  ")));
    rows.push(("rotations", units::count(sum(|round| round.rotations))));
    rows
}

fn rounds_of(seconds: f64, rounds: usize) -> String {
    if rounds == 1 { format!("{seconds:.3}") } else { format!("{seconds:.3} in {rounds} rounds") }
}

fn latency(point: &Point) -> String {
    let shown = PERCENTILES.iter().filter_map(|&(name, _)| {
        point.latency_us.get(name).map(|spread| format!("{name} {}", micros(spread.median)))
    });
    shown.collect::<Vec<_>>().join("  ")
}

/// The medians of the rounds; the ends of the rate.
fn table(points: &[Point]) -> Vec<String> {
    let open = points.iter().any(|point| point.setting.rate.is_some());
    let mut head = vec!["callers", "bytes", "backend"];
    if open {
        head.extend(["due/s", "kept"]);
    }
    head.extend(["appends/s", "least", "most", "p50", "p99", "p99.9", "max", "records/commit"]);
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for point in points {
        let setting = &point.setting;
        let mut row =
            vec![setting.callers.to_string(), setting.record_bytes.to_string(), setting.backend.clone()];
        if open {
            let rate = setting.rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string());
            row.extend([rate, kept(point).to_owned()]);
        }
        let Spread { median, min, max } = point.appends_per_second;
        row.extend([median, min, max].map(whole));
        row.extend(["p50", "p99", "p99.9", "max"].map(|name| {
            point.latency_us.get(name).map_or_else(|| "-".to_owned(), |spread| micros(spread.median))
        }));
        row.push(format!("{:.1}", point.records_per_commit.median));
        rows.push(row);
    }
    output::columns(&rows)
}

/// In every round.
fn kept(point: &Point) -> &'static str {
    match point.setting.rate {
        None => "-",
        Some(_) if point.rounds.iter().all(|round| round.rate_kept == Some(true)) => "yes",
        Some(_) => "NO",
    }
}

fn range(spread: Spread, rounds: usize, show: fn(f64) -> String) -> String {
    let Spread { median, min, max } = spread;
    if rounds <= 1 {
        show(median)
    } else {
        format!("{} ({} to {} in {rounds} rounds)", show(median), show(min), show(max))
    }
}

fn whole(number: f64) -> String {
    units::count(units::whole(number))
}

fn micros(us: f64) -> String {
    units::nanos(units::whole(us * 1e3))
}
