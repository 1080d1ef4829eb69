//! Pictures of the results: rate, and latency, over the number of callers.

use std::{fs, io, path::Path};

use super::{
    chart::{Chart, Look, Series, Unit, svg},
    entrant::{Entrant, Role, Shape},
    phases::Figures,
    results::Results,
    table::size,
    targets::floor,
};

/// A figure that is drawn.
struct Drawn {
    /// Of the file.
    name: &'static str,
    title: &'static str,
    upwards: &'static str,
    unit: Unit,
    better: &'static str,
    figure: fn(&Figures) -> f64,
}

const ALL: [Drawn; 3] = [
    Drawn {
        name: "rate",
        title: "Durable records a second",
        upwards: "records a second",
        unit: Unit::Count,
        better: "Higher is better.",
        figure: |figures| figures.records_per_second,
    },
    Drawn {
        name: "latency-p50",
        title: "Latency of an append, median",
        upwards: "p50",
        unit: Unit::Micros,
        better: "Lower is better.",
        figure: |figures| figures.p50_us,
    },
    Drawn {
        name: "latency-p99",
        title: "Latency of an append, 99th percentile",
        upwards: "p99",
        unit: Unit::Micros,
        better: "Lower is better.",
        figure: |figures| figures.p99_us,
    },
];

/// Writes every picture into `dir`, which is made where it is missing; their names.
///
/// # Errors
///
/// What the operating system says.
pub fn write(results: &Results, dir: &Path) -> io::Result<Vec<String>> {
    fs::create_dir_all(dir)?;
    let mut names = Vec::new();
    for record_bytes in results.sizes() {
        for drawn in &ALL {
            let chart = chart(results, record_bytes, drawn);
            if let Some(picture) = svg(&chart) {
                let name = format!("{}.svg", chart.id);
                fs::write(dir.join(&name), picture)?;
                names.push(name);
            }
        }
    }
    Ok(names)
}

fn chart(results: &Results, record_bytes: usize, drawn: &Drawn) -> Chart {
    let size = size(record_bytes);
    let series = series(results, record_bytes, drawn);
    let names: Vec<&str> = series.iter().map(|line| line.label.as_str()).collect();
    Chart {
        id: format!("{}-{record_bytes}", drawn.name),
        title: format!("{}, records of {size}", drawn.title),
        description: format!(
            "{} over the number of concurrent callers, both axes logarithmic, records of {size}. {} Lines: {}.",
            drawn.title,
            drawn.better,
            names.join("; ")
        ),
        across: "callers".into(),
        upwards: drawn.upwards.into(),
        unit: drawn.unit,
        series,
    }
}

/// Of the two floors only the cheaper one, and the echo that has the lines with it.
fn is_drawn(results: &Results, record_bytes: usize, entrant: Entrant) -> bool {
    match entrant.shape() {
        Shape::Callers => entrant != Entrant::EchoEmpty,
        Shape::One => floor(results, record_bytes).is_some_and(|(cheaper, _)| cheaper == entrant),
        Shape::Bulk | Shape::Target => false,
    }
}

fn series(results: &Results, record_bytes: usize, drawn: &Drawn) -> Vec<Series> {
    let callers = results.callers();
    let value = |entrant: Entrant, count: usize| {
        results.median(entrant, count, record_bytes).map(|figures| (drawn.figure)(&figures))
    };
    let mut peers = 0;
    let mut lines = Vec::new();
    for entrant in results.entrants() {
        let points: Vec<(f64, f64)> = if entrant == Entrant::Submit && drawn.name == "rate" {
            // The same whatever the number of callers: as wide as the picture.
            let rate = value(entrant, 0);
            rate.map_or_else(Vec::new, |rate| callers.iter().map(|count| (*count as f64, rate)).collect())
        } else if is_drawn(results, record_bytes, entrant) {
            let found =
                callers.iter().filter_map(|count| value(entrant, *count).map(|value| (*count as f64, value)));
            found.collect()
        } else {
            Vec::new()
        };
        // Nothing within the window has no place on a logarithmic axis.
        let points: Vec<_> = points.into_iter().filter(|point| point.1 > 0.0).collect();
        let look = match (entrant, entrant.role()) {
            (Entrant::Append, _) => Look::Ours,
            (_, Role::Ours) => Look::OursOtherwise,
            (_, Role::Limit) => Look::Limit,
            (_, Role::Peer) => Look::Peer(peers),
        };
        peers += usize::from(entrant.role() == Role::Peer);
        if !points.is_empty() {
            lines.push(Series { label: entrant.label().into(), look, points });
        }
    }
    lines
}
