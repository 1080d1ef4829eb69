//! The charts: rate and latency over the sweep, the percentile curve, latency over time, group sizes.

use super::{
    chart::{Axis, Chart, ChartBody, Dot, Series, class_of},
    format,
    group::{Group, XAxis},
    scale::{self, Scale, ScaleKind},
};
use crate::{
    bench::report::{GroupSizeBucket, Point, Round, Summary},
    units,
};

/// The lines over the sweep and over time, the highest first, and their colours.
const LINES: [(&str, usize); 3] = [("p99.9", 2), ("p99", 1), ("p50", 0)];
const LINES_IN_TIME: [(&str, usize); 3] = [("max", 3), ("p99", 1), ("p50", 0)];

/// The rate of every group.
pub(super) fn rate(groups: &[Group<'_>]) -> Option<Chart> {
    let shown = |rate| format!("{} appends/s", units::rounded(rate));
    over_sweep(
        groups,
        "rate",
        "Durable appends per second",
        &|point| point.appends_per_second,
        &shown,
        units::rounded,
    )
}

/// The records per commit of every group.
pub(super) fn sharing(groups: &[Group<'_>]) -> Option<Chart> {
    let shown = |records| format!("{records:.1} records per commit");
    over_sweep(groups, "sharing", "Records per commit", &|point| point.records_per_commit, &shown, |n| {
        format!("{n:.1}")
    })
}

fn over_sweep(
    groups: &[Group<'_>],
    id: &str,
    what: &str,
    of: &dyn Fn(&Point) -> Summary,
    show: &dyn Fn(f64) -> String,
    short: fn(f64) -> String,
) -> Option<Chart> {
    let groups: Vec<_> = groups.iter().filter(|group| group.points.len() > 1).collect();
    let over = groups.first()?.over;
    let line = |(colour, group): (usize, &&Group<'_>)| {
        let dots = group.points.iter().map(|(_, point)| {
            let Summary { median, min, max } = of(point);
            let tip = format!("{}: {} ({} to {})", over.tip(point), show(median), show(min), show(max));
            // Labels of several lines would overlap.
            let label = if groups.len() == 1 { short(median) } else { String::new() };
            Dot { spread: Some((min, max)), tip, label, ..Dot::at(over.of(point), median) }
        });
        Series { name: group.name.clone(), class: class_of(colour), dots: dots.collect(), dotted: true }
    };
    let series: Vec<_> = groups.iter().enumerate().map(line).collect();
    let highest =
        series.iter().flat_map(|one| &one.dots).map(|dot| dot.spread.map_or(dot.y, |(_, high)| high));
    let y = Axis::new(&what.to_lowercase(), Scale::linear(highest), scale::count_tick);
    let (title, description) =
        (format!("{what} over {}", over.noun()), described(&series, over.noun(), show));
    Some(Chart::new(id, title, description, (over.axis(&series), y), ChartBody::Lines(series)))
}

/// The percentiles of a group over its sweep.
pub(super) fn latency(n: usize, group: &Group<'_>) -> Option<Chart> {
    if group.points.len() < 2 {
        return None;
    }
    let over = group.over;
    let line = |(name, colour): (&str, usize)| {
        let dots = group.points.iter().filter_map(|(_, point)| {
            let spread = point.latency_us.get(name)?;
            let tip = format!(
                "{}: {name} {} ({}–{})",
                over.tip(point),
                format::micros(spread.median),
                format::micros(spread.min),
                format::micros(spread.max)
            );
            let ends = Some((spread.min, spread.max));
            Some(Dot { spread: ends, tip, ..Dot::at(over.of(point), spread.median) })
        });
        Series { name: name.to_owned(), class: class_of(colour), dots: dots.collect(), dotted: true }
    };
    let series: Vec<_> = LINES.into_iter().map(line).collect();
    let axes = (over.axis(&series), latency_axis(&series));
    let description = described(&series, over.noun(), format::micros);
    let title = format!("Latency over {}", over.noun());
    Some(Chart::new(&format!("latency-{n}"), title, description, axes, ChartBody::Lines(series)))
}

/// The percentile curve as in HdrHistogram's plotter: each halving of the distance to 100 % has the same width.
pub(super) fn curve(n: usize, group: &Group<'_>) -> Chart {
    let series: Vec<_> = group
        .points
        .iter()
        .enumerate()
        .map(|(colour, (_, point))| {
            let appends = point.curve.last().map_or(1, |step| step.appends) as f64;
            let dots = point.curve.iter().map(|step| {
                let x = if step.quantile < 1.0 { 1.0 / (1.0 - step.quantile) } else { appends };
                Dot::at(x.min(appends), step.latency_us)
            });
            Series {
                name: group.over.tip(point),
                class: class_of(colour),
                dots: dots.collect(),
                dotted: false,
            }
        })
        .collect();
    let last = series.iter().flat_map(|one| &one.dots).map(|dot| dot.x).fold(10.0, f64::max);
    let scale = Scale { kind: ScaleKind::Log, from: 1.0, to: last };
    let percent = |nines: f64| 100.0 - 100.0 / nines;
    let ticks = std::iter::successors(Some(1.0), |tick| Some(tick * 10.0)).take_while(|tick| *tick <= last);
    let ticks = ticks.map(|tick| (tick, round_off(percent(tick)).to_string())).collect();
    let slowest = series.iter().filter_map(|one| {
        let last = one.dots.last()?;
        Some(format!("{}: the slowest append took {}", one.name, format::micros(last.y)))
    });
    let description = slowest.collect::<Vec<_>>().join("; ");
    let x = Axis { label: "percentile of the appends (%)".into(), scale, ticks };
    let axes = (x, latency_axis(&series));
    let title = "Latency by percentile".into();
    Chart::new(&format!("curve-{n}"), title, description, axes, ChartBody::Lines(series))
}

/// One round of a point, with its rotations.
pub(super) fn timeline(id: usize, name: &str, round: &Round, number: usize, rounds: usize) -> Chart {
    let line = |(name, colour): (&str, usize)| {
        let dots = round.timeline.iter().filter_map(|interval| {
            let &y = interval.latency_us.get(name)?;
            Some(Dot::at(interval.at_seconds, y))
        });
        Series { name: name.to_owned(), class: class_of(colour), dots: dots.collect(), dotted: false }
    };
    let series: Vec<_> = LINES_IN_TIME.into_iter().map(line).collect();
    let marks: Vec<_> = round
        .timeline
        .iter()
        .filter(|interval| interval.rotations > 0)
        .map(|interval| interval.at_seconds)
        .collect();
    let of = if rounds > 1 { format!(" (round {number} of {rounds})") } else { String::new() };
    let rotations = match round.rotations {
        0 => "no rotation".to_owned(),
        1 => "1 rotation".to_owned(),
        more => format!("{more} rotations"),
    };
    let end = round.timeline.last().map_or(1.0, |last| last.at_seconds).max(f64::MIN_POSITIVE);
    let x = Axis::new("time", Scale { kind: ScaleKind::Linear, from: 0.0, to: end }, scale::seconds_tick);
    let axes = (x, latency_axis(&series));
    let description = format!("{}; {rotations}", described(&series, "time", format::micros));
    let title = format!("{name}: latency over time{of}");
    let chart = Chart::new(&format!("time-{id}"), title, description, axes, ChartBody::Lines(series));
    Chart { marks, marks_name: rotations, ..chart }
}

/// The distribution of group sizes.
pub(super) fn group_sizes(id: usize, name: &str, point: &Point) -> Chart {
    let all = point.group_sizes.iter().map(|size| size.groups).sum::<u64>().max(1) as f64;
    let bars: Vec<_> = point
        .group_sizes
        .iter()
        .enumerate()
        .map(|(n, size)| {
            let y = size.groups as f64 / all;
            let (from, to) = (size.records_from, size.records_to);
            Dot {
                tip: format!("{from} to {to} records: {} commits", size.groups),
                ..Dot::at(n as f64 + 0.5, y)
            }
        })
        .collect();
    // Every second label if they are close.
    let every = bars.len().div_ceil(9).max(1);
    let label =
        |(n, size): (usize, &GroupSizeBucket)| (n as f64 + 0.5, scale::count_tick(size.records_from as f64));
    let ticks = point.group_sizes.iter().enumerate().step_by(every).map(label).collect();
    let often = point.group_sizes.iter().max_by_key(|size| size.groups);
    let description = often.map_or_else(String::new, |size| {
        let part = scale::percent_tick(round_off(size.groups as f64 / all));
        format!("{part} of the commits contain {} to {} records", size.records_from, size.records_to)
    });
    let scale = Scale { kind: ScaleKind::Linear, from: 0.0, to: bars.len().max(1) as f64 };
    let part = Scale::linear(bars.iter().map(|bar| bar.y));
    let part = Scale { to: part.to.min(1.0), ..part };
    let x = Axis { label: "records per commit, from".into(), scale, ticks };
    let axes = (x, Axis::new("share of the commits", part, scale::percent_tick));
    let title = format!("{name}: records per commit");
    Chart::new(&format!("groups-{id}"), title, description, axes, ChartBody::Bars(bars))
}

fn latency_axis(series: &[Series]) -> Axis {
    let values = series.iter().flat_map(|one| &one.dots).flat_map(|dot| {
        let (low, high) = dot.spread.unwrap_or((dot.y, dot.y));
        [low, high]
    });
    Axis::new("latency (logarithmic)", Scale::log(values), scale::micros_tick)
}

/// Describes the ends of each line in words.
fn described(series: &[Series], over: &str, show: impl Fn(f64) -> String) -> String {
    let lines = series.iter().filter_map(|one| {
        let (first, last) = (one.dots.first()?, one.dots.last()?);
        Some(format!("{}: {} at the start, {} at the end", one.name, show(first.y), show(last.y)))
    });
    format!("Over {over}. {}", lines.collect::<Vec<_>>().join("; "))
}

/// Removes rounding errors.
fn round_off(value: f64) -> f64 {
    (value * 1e9).round() / 1e9
}

impl XAxis {
    fn axis(self, series: &[Series]) -> Axis {
        let values = series.iter().flat_map(|one| &one.dots).map(|dot| dot.x);
        let mut ticks: Vec<_> = values.clone().collect();
        ticks.sort_by(f64::total_cmp);
        ticks.dedup();
        let (from, to) = (ticks.first().copied().unwrap_or(1.0), ticks.last().copied().unwrap_or(2.0));
        let scale = Scale { kind: ScaleKind::Log, from: from * 0.8, to: to.max(from * 2.0) * 1.25 };
        // More labels would overlap.
        let every = ticks.len().div_ceil(9).max(1);
        let ticks = ticks.into_iter().step_by(every).map(|tick| (tick, scale::count_tick(tick))).collect();
        Axis { label: self.noun().to_owned(), scale, ticks }
    }
}
