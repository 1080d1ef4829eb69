//! Owns the tables of the page: the figures, where the time goes, and what was measured on.

use maud::{Markup, html};

use super::{group::Group, shown};
use crate::{
    bench::outcome::{Outcome, PERCENTILES, Point, Round, Spread},
    units,
};

const STAGES: [(&str, &str); 4] = [
    ("queued", "waits in the queue"),
    ("laid_out", "laid out"),
    ("committed", "written and synced"),
    ("woken", "callers woken"),
];

pub(super) fn figures(group: &Group<'_>) -> Markup {
    let open = group.points.iter().any(|(_, point)| point.setting.rate.is_some());
    scrolls(
        "Figures",
        &html! {
            thead {
                tr {
                    th scope="col" { (group.over.noun()) }
                    th scope="col" { "appends/s" }
                    @if open { th scope="col" { "rate" } }
                    @for (name, _) in PERCENTILES { th scope="col" { (name) } }
                    th scope="col" { "records a commit" }
                    th scope="col" { "rotations" }
                }
            }
            tbody {
                @for &(n, point) in &group.points {
                    tr {
                        th scope="row" { (group.over.tip(point)) }
                        td { (spread(&format!("/points/{n}/appends_per_second"), point.appends_per_second, point, shown::whole)) }
                        @if open { td { (kept(point)) } }
                        @for (name, quantile) in PERCENTILES {
                            td {
                                @if !enough(point, quantile) {
                                    abbr title="too few appends to tell it from the greatest" { "—" }
                                } @else if let Some(&latency) = point.latency_us.get(name) {
                                    (spread(&format!("/points/{n}/latency_us/{name}"), latency, point, shown::micros))
                                }
                            }
                        }
                        td { (spread(&format!("/points/{n}/records_per_commit"), point.records_per_commit, point, |one| format!("{one:.1}"))) }
                        td { (units::count(point.rounds.iter().map(|round| round.rotations).sum())) }
                    }
                }
            }
        },
    )
}

/// Whether there is an append beyond the quantile in every round: else it says what the greatest says.
fn enough(point: &Point, quantile: f64) -> bool {
    let beyond = |round: &Round| units::ratio(round.appends + round.unsent, 1.0) * (1.0 - quantile) >= 1.0;
    quantile >= 1.0 || point.rounds.iter().all(beyond)
}

/// The median, and below it the ends.
fn spread(pointer: &str, spread: Spread, point: &Point, show: fn(f64) -> String) -> Markup {
    html! {
        (shown::figure(&format!("{pointer}/median"), spread.median, &show(spread.median)))
        @if point.rounds.len() > 1 {
            small {
                (shown::figure(&format!("{pointer}/min"), spread.min, &show(spread.min)))
                "–"
                (shown::figure(&format!("{pointer}/max"), spread.max, &show(spread.max)))
            }
        }
    }
}

fn kept(point: &Point) -> Markup {
    let kept = point.rounds.iter().all(|round| round.rate_kept == Some(true));
    let unsent: u64 = point.rounds.iter().map(|round| round.unsent).sum();
    html! {
        @if point.setting.rate.is_some() {
            @if kept { "kept" } @else { strong { "not kept" } }
            @if unsent > 0 { small { (units::count(unsent)) " never begun" } }
        }
    }
}

/// Of the round in the middle, by its rate.
pub(super) fn stages(group: &Group<'_>) -> Markup {
    scrolls(
        "Stages of a commit",
        &html! {
            thead {
                tr {
                    th scope="col" { (group.over.noun()) }
                    @for (_, meaning) in STAGES {
                        th scope="col" { (meaning) small { "p50" } }
                        th scope="col" { small { "p99" } }
                    }
                }
            }
            tbody {
                @for &(n, point) in &group.points {
                    @let (at, round) = middle(point);
                    tr {
                        th scope="row" { (group.over.tip(point)) }
                        @for (stage, _) in STAGES {
                            @for name in ["p50", "p99"] {
                                td {
                                    @if let Some(&us) = round.and_then(|round| round.stages_us.get(stage)?.get(name)) {
                                        (shown::figure(&format!("/points/{n}/rounds/{at}/stages_us/{stage}/{name}"), us, &shown::micros(us)))
                                    }
                                }
                            }
                        }
                    }
                }
            }
        },
    )
}

/// The round in the middle, by its rate, and its place.
pub(super) fn middle(point: &Point) -> (usize, Option<&Round>) {
    let mut order: Vec<_> = point.rounds.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.appends_per_second.total_cmp(&b.appends_per_second));
    order.get(order.len().saturating_sub(1) / 2).map_or((0, None), |&(n, round)| (n, Some(round)))
}

/// What was measured on, and how.
pub(super) fn circumstances(outcome: &Outcome) -> Markup {
    let Outcome { machine, file_system, options, .. } = outcome;
    let unknown = || "unknown".to_owned();
    let mut rows = vec![
        (
            "processor",
            format!("{} × {}", machine.processors, machine.processor.clone().unwrap_or_else(unknown)),
        ),
        ("memory", machine.memory_bytes.map_or_else(unknown, units::bytes)),
        ("kernel", machine.kernel.clone().unwrap_or_else(unknown)),
    ];
    if let Some(fs) = file_system {
        let source = fs.source.clone().unwrap_or_else(unknown);
        rows.push(("file system", format!("{} on {source}, mounted at {}", fs.kind, fs.mount_point)));
        rows.push(("mount options", fs.options.join(", ")));
        rows.push(("size", format!("{}, {} free", units::bytes(fs.size_bytes), units::bytes(fs.free_bytes))));
    } else {
        rows.push(("file system", unknown()));
    }
    if let Some(round) = outcome.points.first().and_then(|point| point.rounds.first()) {
        rows.push(("commits", round.carrier()));
    }
    let ahead = if options.write_ahead { "yes" } else { "no" };
    rows.extend([
        ("measured", format!("{} s a point behind {} s of warm-up", options.seconds, options.warm_up)),
        ("rounds", options.rounds.to_string()),
        ("segments", units::bytes(options.segment_bytes)),
        (
            "commit delay",
            if options.commit_delay_us > 0.0 {
                shown::micros(options.commit_delay_us)
            } else {
                "none".to_owned()
            },
        ),
        ("written ahead", ahead.to_owned()),
        ("ministore", outcome.version.clone()),
    ]);
    html! { dl { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
}

fn scrolls(name: &str, table: &Markup) -> Markup {
    html! { div.scrolls role="region" aria-label=(name) tabindex="0" { table { (table) } } }
}
