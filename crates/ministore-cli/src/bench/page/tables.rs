//! The tables of the page: figures, commit stages, environment.

use maud::{Markup, html};

use super::{format, group::Group};
use crate::{
    bench::report::{BenchReport, PERCENTILES, Point, Round, Summary},
    units,
};

const STAGES: [(&str, &str); 4] =
    [("queue_wait", "queue wait"), ("encode", "encode"), ("sync", "write and sync"), ("notify", "notify")];

pub(super) fn figures(group: &Group<'_>) -> Markup {
    let open = group.points.iter().any(|(_, point)| point.setting.rate.is_some());
    scrollable(
        "Figures",
        &html! {
            thead {
                tr {
                    th scope="col" { (group.over.noun()) }
                    th scope="col" { "appends/s" }
                    @if open { th scope="col" { "rate" } }
                    @for (name, _) in PERCENTILES { th scope="col" { (name) } }
                    th scope="col" { "records per commit" }
                    th scope="col" { "rotations" }
                }
            }
            tbody {
                @for &(n, point) in &group.points {
                    tr {
                        th scope="row" { (group.over.tip(point)) }
                        td { (spread(&format!("/points/{n}/appends_per_second"), point.appends_per_second, point, units::rounded)) }
                        @if open { td { (rate_met(point)) } }
                        @for (name, quantile) in PERCENTILES {
                            td {
                                @if !enough(point, quantile) {
                                    abbr title="too few appends to distinguish it from the maximum" { "—" }
                                } @else if let Some(&latency) = point.latency_us.get(name) {
                                    (spread(&format!("/points/{n}/latency_us/{name}"), latency, point, format::micros))
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

/// Whether every round has appends beyond the quantile; otherwise it equals the maximum.
fn enough(point: &Point, quantile: f64) -> bool {
    let beyond =
        |round: &Round| units::ratio(round.appends + round.not_started, 1.0) * (1.0 - quantile) >= 1.0;
    quantile >= 1.0 || point.rounds.iter().all(beyond)
}

/// The median, and below it minimum and maximum.
fn spread(pointer: &str, spread: Summary, point: &Point, show: fn(f64) -> String) -> Markup {
    html! {
        (format::median(pointer, spread, show))
        @if point.rounds.len() > 1 {
            small {
                (format::figure(&format!("{pointer}/min"), spread.min, &show(spread.min)))
                "–"
                (format::figure(&format!("{pointer}/max"), spread.max, &show(spread.max)))
            }
        }
    }
}

fn rate_met(point: &Point) -> Markup {
    let met = point.rounds.iter().all(|round| round.rate_met == Some(true));
    let not_started: u64 = point.rounds.iter().map(|round| round.not_started).sum();
    html! {
        @if point.setting.rate.is_some() {
            @if met { "met" } @else { strong { "not met" } }
            @if not_started > 0 { small { (units::count(not_started)) " not started" } }
        }
    }
}

/// The commit stages of the round with the median rate.
pub(super) fn stages(group: &Group<'_>) -> Markup {
    scrollable(
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
                                        (format::figure(&format!("/points/{n}/rounds/{at}/stages_us/{stage}/{name}"), us, &format::micros(us)))
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

/// Returns the round with the median rate and its index.
pub(super) fn middle(point: &Point) -> (usize, Option<&Round>) {
    let mut order: Vec<_> = point.rounds.iter().enumerate().collect();
    order.sort_by(|(_, a), (_, b)| a.appends_per_second.total_cmp(&b.appends_per_second));
    order.get(order.len().saturating_sub(1) / 2).map_or((0, None), |&(n, round)| (n, Some(round)))
}

/// The environment and the options.
pub(super) fn environment(report: &BenchReport) -> Markup {
    let BenchReport { host, file_system, options, .. } = report;
    let unknown = || "unknown".to_owned();
    let mut rows = vec![
        ("host", host.hostname.clone().unwrap_or_else(unknown)),
        ("processor", format!("{} × {}", host.processors, host.processor.clone().unwrap_or_else(unknown))),
        ("memory", host.memory_bytes.map_or_else(unknown, units::bytes)),
        ("kernel", host.kernel.clone().unwrap_or_else(unknown)),
    ];
    if let Some(fs) = file_system {
        let source = fs.source.clone().unwrap_or_else(unknown);
        rows.push(("file system", format!("{} on {source}, mounted at {}", fs.kind, fs.mount_point)));
        rows.push(("mount options", fs.options.join(", ")));
        rows.push(("size", format!("{}, {} free", units::bytes(fs.size_bytes), units::bytes(fs.free_bytes))));
    } else {
        rows.push(("file system", unknown()));
    }
    if let Some(round) = report.points.first().and_then(|point| point.rounds.first()) {
        rows.push(("commits", round.write_path()));
    }
    let yes_no = |yes| if yes { "yes" } else { "no" };
    rows.extend([
        (
            "measured",
            format!(
                "{} s per point after {} s of warm-up",
                options.duration_seconds, options.warm_up_seconds
            ),
        ),
        ("rounds", options.rounds.to_string()),
        ("segments", units::bytes(options.max_segment_bytes)),
        (
            "commit delay",
            if options.commit_delay_us > 0.0 {
                format::micros(options.commit_delay_us)
            } else {
                "none".to_owned()
            },
        ),
        ("preallocate", yes_no(options.preallocate).to_owned()),
        ("spin", yes_no(options.spin).to_owned()),
        ("ministore", report.version.clone()),
    ]);
    html! { dl { @for (name, value) in rows { div { dt { (name) } dd { (value) } } } } }
}

fn scrollable(name: &str, table: &Markup) -> Markup {
    html! {
        div.scrolls role="region" aria-label=(name) tabindex="0" { table { (table) } }
        p.scroll-hint aria-hidden="true" { "scroll sideways for more columns →" }
    }
}
