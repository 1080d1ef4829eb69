//! The text report of `bench`: names and values for one point, a table for a sweep.

use super::report::{BenchReport, PERCENTILES, Point, Round, Summary};
use crate::{exit::CliError, output, units};

pub(super) fn print(report: &BenchReport) -> Result<(), CliError> {
    match &*report.points {
        [] => output::lines(["interrupted before anything was measured"]),
        [point] => output::pairs(&one(point)),
        points => output::lines(table(points)),
    }
}

fn one(point: &Point) -> Vec<(&'static str, String)> {
    let setting = &point.setting;
    let rounds = &point.rounds;
    let sum = |of: fn(&Round) -> u64| rounds.iter().map(of).sum::<u64>();
    let seconds: f64 = rounds.iter().map(|round| round.seconds).sum();
    let write_path = rounds.first().map_or_else(String::new, Round::write_path);
    let rate = format!("{} durable appends/s", range(point.appends_per_second, rounds.len(), units::rounded));
    let mut rows = vec![
        ("clients", format!("{} (records of {} bytes)", setting.clients, setting.record_bytes)),
        ("backend", write_path),
        ("appends", units::count(sum(|round| round.appends))),
        ("seconds", rounds_of(seconds, rounds.len())),
        ("rate", rate),
    ];
    if let Some(due) = setting.rate {
        let met = if met(point) == "yes" { "met" } else { "not met" };
        let not_started = units::count(sum(|round| round.not_started));
        rows.push(("target rate", format!("{due} appends/s: {met}, {not_started} not started")));
        let lag = rounds.iter().filter_map(|round| round.schedule_lag_us.get("p99").copied());
        rows.push(("schedule lag", format!("p99 {}", units::micros(Summary::of(lag).median))));
    }
    rows.push(("append latency", latency(point)));
    rows.push((
        "commits",
        format!(
            "{} ({:.1} records per commit)",
            units::count(sum(|round| round.commits)),
            point.records_per_commit.median
        ),
    ));
    let commit = |name: &str| {
        let of = |round: &Round| round.stages_us.get("sync")?.get(name).copied();
        units::micros(Summary::of(rounds.iter().filter_map(of)).median)
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
        point.latency_us.get(name).map(|spread| format!("{name} {}", units::micros(spread.median)))
    });
    shown.collect::<Vec<_>>().join("  ")
}

/// The medians of the rounds, and the range of the rate.
fn table(points: &[Point]) -> Vec<String> {
    let open = points.iter().any(|point| point.setting.rate.is_some());
    let mut head = vec!["clients", "bytes", "backend"];
    if open {
        head.extend(["rate", "met"]);
    }
    head.extend(["appends/s", "min", "max", "p50", "p99", "p99.9", "max", "records/commit"]);
    let mut rows = vec![head.into_iter().map(str::to_owned).collect::<Vec<_>>()];
    for point in points {
        let setting = &point.setting;
        let mut row =
            vec![setting.clients.to_string(), setting.record_bytes.to_string(), setting.backend.clone()];
        if open {
            let rate = setting.rate.map_or_else(|| "-".to_owned(), |rate| rate.to_string());
            row.extend([rate, met(point).to_owned()]);
        }
        let Summary { median, min, max } = point.appends_per_second;
        row.extend([median, min, max].map(units::rounded));
        row.extend(["p50", "p99", "p99.9", "max"].map(|name| {
            point.latency_us.get(name).map_or_else(|| "-".to_owned(), |spread| units::micros(spread.median))
        }));
        row.push(format!("{:.1}", point.records_per_commit.median));
        rows.push(row);
    }
    output::columns(&rows, &[])
}

/// Whether the rate was met in every round.
fn met(point: &Point) -> &'static str {
    match point.setting.rate {
        None => "-",
        Some(_) if point.rounds.iter().all(|round| round.rate_met == Some(true)) => "yes",
        Some(_) => "NO",
    }
}

fn range(spread: Summary, rounds: usize, show: fn(f64) -> String) -> String {
    let Summary { median, min, max } = spread;
    if rounds <= 1 {
        show(median)
    } else {
        format!("{} ({} to {} in {rounds} rounds)", show(median), show(min), show(max))
    }
}
