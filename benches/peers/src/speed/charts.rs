//! Charts of the results: rate and latency by the number of callers.

use std::{fs, io, path::Path};

use super::{
    bench_case::{BenchCase, Role, Shape},
    chart::{Axis, Chart, ChartBody, Dot, Series},
    phases::Measurement,
    picture::{COLOURS, LAYOUT, svg},
    records::RecordKind,
    results::Results,
    scale::{Scale, ScaleKind, count_tick, micros_tick},
    table::grouped_count,
    targets::{baseline, grouped},
};

struct ChartSpec {
    /// The start of the file name.
    name: &'static str,
    title: &'static str,
    upwards: &'static str,
    tick: fn(f64) -> String,
    better: &'static str,
    figure: fn(&Measurement) -> f64,
}

const ALL: [ChartSpec; 3] = [
    ChartSpec {
        name: "rate",
        title: "Durable records a second",
        upwards: "records a second",
        tick: count_tick,
        better: "Higher is better.",
        figure: |measurement| measurement.records_per_second,
    },
    ChartSpec {
        name: "latency-p50",
        title: "Latency of an append, median",
        upwards: "p50",
        tick: micros_tick,
        better: "Lower is better.",
        figure: |measurement| measurement.p50_us,
    },
    ChartSpec {
        name: "latency-p99",
        title: "Latency of an append, 99th percentile",
        upwards: "p99",
        tick: micros_tick,
        better: "Lower is better.",
        figure: |measurement| measurement.p99_us,
    },
];

/// Writes all charts into `dir`, which is created if it is missing. Returns their names.
pub fn write(results: &Results, dir: &Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    let mut names = Vec::new();
    for records in results.kinds() {
        for spec in &ALL {
            if let Some(chart) = chart(results, records, spec) {
                let name = format!("{}.svg", chart.id);
                fs::write(dir.join(&name), svg(&chart))?;
                names.push(name);
            }
        }
    }
    Ok(names)
}

/// Returns `None` if there is no line.
fn chart(results: &Results, records: RecordKind, spec: &ChartSpec) -> Option<Chart> {
    let series = series(results, records, spec);
    let names: Vec<&str> = series.iter().map(|line| line.name.as_str()).collect();
    let description = format!(
        "{} over the number of concurrent callers, both axes logarithmic, records of {records}. {} Lines: {}.",
        spec.title,
        spec.better,
        names.join("; ")
    );
    let dots = || series.iter().flat_map(|line| &line.dots);
    let mut callers: Vec<f64> = dots().map(|dot| dot.x).collect();
    callers.sort_by(f64::total_cmp);
    callers.dedup();
    let (from, to) = (*callers.first()?, *callers.last()?);
    let across = Axis {
        label: "callers".into(),
        scale: Scale { kind: ScaleKind::Log, from, to: to.max(from * 2.0) },
        ticks: callers.into_iter().map(|count| (count, grouped_count(count as usize))).collect(),
    };
    let upwards = Axis::new(spec.upwards, Scale::log(dots().map(|dot| dot.y)), spec.tick);
    let (id, title) = (
        format!("{}-{}{}", spec.name, if records.ready_json { "json-" } else { "" }, records.bytes),
        format!("{}, records of {records}", spec.title),
    );
    let chart = Chart::new(&id, title, description, (across, upwards), ChartBody::Lines(series));
    Some(Chart { layout: LAYOUT, ..chart })
}

/// Returns whether a case is drawn: of those with one caller only the cheaper of the two baselines.
fn is_drawn(results: &Results, records: RecordKind, case: BenchCase) -> bool {
    match case.shape() {
        Shape::Callers => true,
        Shape::One => baseline(results, records).is_some_and(|(cheaper, _)| cheaper == case),
        Shape::Bulk | Shape::Target => false,
    }
}

fn series(results: &Results, records: RecordKind, spec: &ChartSpec) -> Vec<Series> {
    let callers = results.callers();
    let value = |case: BenchCase, count: usize| {
        results.median(case, count, records).map(|measurement| (spec.figure)(&measurement))
    };
    let mut peers = 0;
    let mut lines = Vec::new();
    for case in results.cases() {
        let points: Vec<(f64, f64)> = if case == BenchCase::Submit && spec.name == "rate" {
            // The rate does not depend on the number of callers: a line across the chart.
            let rate = value(case, 0);
            rate.map_or_else(Vec::new, |rate| callers.iter().map(|count| (*count as f64, rate)).collect())
        } else if is_drawn(results, records, case) {
            let found =
                callers.iter().filter_map(|count| value(case, *count).map(|value| (*count as f64, value)));
            found.collect()
        } else {
            Vec::new()
        };
        // A logarithmic axis cannot show zero.
        let points: Vec<_> = points.into_iter().filter(|point| point.1 > 0.0).collect();
        let class = match (case, case.role()) {
            (BenchCase::Append, _) => "series s0 thick".to_owned(),
            (_, Role::Ours) => "series s0 thick dotted".to_owned(),
            (_, Role::NotDurable) => format!("series s{} dotted", COLOURS.len() - 1),
            (_, Role::Limit) => format!("series s{} dashed", COLOURS.len() - 1),
            (_, Role::Peer) => format!("series s{}", 1 + peers % (COLOURS.len() - 2)),
        };
        peers += usize::from(case.role() == Role::Peer);
        if !points.is_empty() {
            let dots = points.into_iter().map(|(callers, value)| {
                let tip = format!("{}, {callers} callers: {}", case.label(), grouped(value));
                Dot { tip, ..Dot::at(callers, value) }
            });
            lines.push(Series { name: case.label().into(), class, dots: dots.collect(), dotted: true });
        }
    }
    lines
}
