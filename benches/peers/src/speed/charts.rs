//! Charts of the results: rate and latency by the number of callers.

use std::{fs, io, path::Path};

use super::{
    bench_case::{BenchCase, Role, Shape},
    chart::{Chart, LineStyle, Series, Unit, svg},
    phases::Measurement,
    results::Results,
    table::size,
    targets::baseline,
};

/// A metric that has a chart.
struct ChartSpec {
    /// The start of the file name.
    name: &'static str,
    title: &'static str,
    upwards: &'static str,
    unit: Unit,
    better: &'static str,
    figure: fn(&Measurement) -> f64,
}

const ALL: [ChartSpec; 3] = [
    ChartSpec {
        name: "rate",
        title: "Durable records a second",
        upwards: "records a second",
        unit: Unit::Count,
        better: "Higher is better.",
        figure: |measurement| measurement.records_per_second,
    },
    ChartSpec {
        name: "latency-p50",
        title: "Latency of an append, median",
        upwards: "p50",
        unit: Unit::Micros,
        better: "Lower is better.",
        figure: |measurement| measurement.p50_us,
    },
    ChartSpec {
        name: "latency-p99",
        title: "Latency of an append, 99th percentile",
        upwards: "p99",
        unit: Unit::Micros,
        better: "Lower is better.",
        figure: |measurement| measurement.p99_us,
    },
];

/// Writes all charts into `dir`, which is created if it is missing. Returns their names.
///
/// # Errors
///
/// The operating system's error.
pub fn write(results: &Results, dir: &Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    let mut names = Vec::new();
    for record_bytes in results.sizes() {
        for spec in &ALL {
            let chart = chart(results, record_bytes, spec);
            if let Some(picture) = svg(&chart) {
                let name = format!("{}.svg", chart.id);
                fs::write(dir.join(&name), picture)?;
                names.push(name);
            }
        }
    }
    Ok(names)
}

fn chart(results: &Results, record_bytes: usize, spec: &ChartSpec) -> Chart {
    let size = size(record_bytes);
    let series = series(results, record_bytes, spec);
    let names: Vec<&str> = series.iter().map(|line| line.label.as_str()).collect();
    Chart {
        id: format!("{}-{record_bytes}", spec.name),
        title: format!("{}, records of {size}", spec.title),
        description: format!(
            "{} over the number of concurrent callers, both axes logarithmic, records of {size}. {} Lines: {}.",
            spec.title,
            spec.better,
            names.join("; ")
        ),
        across: "callers".into(),
        upwards: spec.upwards.into(),
        unit: spec.unit,
        series,
    }
}

/// Returns whether a case is drawn: only the cheaper of the two baselines, and only the echo with lines.
fn is_drawn(results: &Results, record_bytes: usize, case: BenchCase) -> bool {
    match case.shape() {
        Shape::Callers => case != BenchCase::EchoEmpty,
        Shape::One => baseline(results, record_bytes).is_some_and(|(cheaper, _)| cheaper == case),
        Shape::Bulk | Shape::Target => false,
    }
}

fn series(results: &Results, record_bytes: usize, spec: &ChartSpec) -> Vec<Series> {
    let callers = results.callers();
    let value = |case: BenchCase, count: usize| {
        results.median(case, count, record_bytes).map(|measurement| (spec.figure)(&measurement))
    };
    let mut peers = 0;
    let mut lines = Vec::new();
    for case in results.cases() {
        let points: Vec<(f64, f64)> = if case == BenchCase::Submit && spec.name == "rate" {
            // The rate does not depend on the number of callers: a line across the chart.
            let rate = value(case, 0);
            rate.map_or_else(Vec::new, |rate| callers.iter().map(|count| (*count as f64, rate)).collect())
        } else if is_drawn(results, record_bytes, case) {
            let found =
                callers.iter().filter_map(|count| value(case, *count).map(|value| (*count as f64, value)));
            found.collect()
        } else {
            Vec::new()
        };
        // A logarithmic axis cannot show zero.
        let points: Vec<_> = points.into_iter().filter(|point| point.1 > 0.0).collect();
        let style = match (case, case.role()) {
            (BenchCase::Append, _) => LineStyle::Ours,
            (_, Role::Ours) => LineStyle::OursOtherCall,
            (_, Role::Limit) => LineStyle::Limit,
            (_, Role::Peer) => LineStyle::Peer(peers),
        };
        peers += usize::from(case.role() == Role::Peer);
        if !points.is_empty() {
            lines.push(Series { label: case.label().into(), style, points });
        }
    }
    lines
}
