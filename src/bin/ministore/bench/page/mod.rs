//! Owns the page of `bench --report`: one file that asks nobody for anything, with pictures, figures, and the JSON that
//! they are from.

mod chart;
mod file;
mod group;
mod pictures;
mod scale;
mod shown;
mod tables;

use maud::{DOCTYPE, Markup, html};

pub(super) use self::file::{check, write};
use self::group::Group;
use super::outcome::{Outcome, Point};

/// No script runs and nothing is loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub(super) fn render(outcome: &Outcome) -> serde_json::Result<String> {
    let json = serde_json::to_string(outcome)?;
    // Inside of a string of JSON, where alone it can stand, this is the same character; for HTML it ends nothing.
    let json = json.replace('<', "\\u003c");
    let groups = group::groups(&outcome.points);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "ministore bench: " (headline(outcome)) }
                style { (chart::raw(include_str!("style.css"))) }
            }
            body {
                main {
                    (head(outcome))
                    @if let Some(chart) = pictures::rate(&groups) {
                        section aria-label="The sweep" {
                            div.charts {
                                (chart.figure())
                                @if let [group] = &*groups {
                                    @if let Some(chart) = pictures::latency(0, group) { (chart.figure()) }
                                }
                            }
                        }
                    }
                    @for (n, group) in groups.iter().enumerate() { (section(n, group, groups.len() > 1)) }
                    section {
                        h2 { "Measured on" }
                        (tables::circumstances(outcome))
                    }
                }
                footer {
                    p {
                        "Figures are medians of the rounds, with the least and the greatest below. "
                        "Latency counts until the record is durable; in an open loop from when it was due. "
                        "The page holds its data as JSON: " code { "ministore compare" } " reads what " code { "bench --json" } " writes."
                    }
                }
                script type="application/json" id="outcome" { (chart::raw(&json)) }
            }
        }
    };
    Ok(page.into_string())
}

fn head(outcome: &Outcome) -> Markup {
    let best = best(&outcome.points);
    let quickest = quickest(&outcome.points);
    html! {
        header {
            p.eyebrow { "ministore bench" }
            h1 { (headline(outcome)) }
            @if !outcome.complete { p.warning { "Interrupted: not every round was run to its end." } }
            div.cards {
                @if let Some((n, point)) = best {
                    (card("highest rate", &shown::figure(
                        &format!("/points/{n}/appends_per_second/median"),
                        point.appends_per_second.median,
                        &shown::whole(point.appends_per_second.median),
                    ), &format!("durable appends a second, {}", with(point))))
                    @if let Some(p99) = point.latency_us.get("p99") {
                        (card("p99 at that rate", &shown::figure(
                            &format!("/points/{n}/latency_us/p99/median"), p99.median, &shown::micros(p99.median),
                        ), &format!("{:.1} records a commit", point.records_per_commit.median)))
                    }
                }
                @if let Some((n, point, us)) = quickest {
                    (card("lowest p50", &shown::figure(
                        &format!("/points/{n}/latency_us/p50/median"), us, &shown::micros(us),
                    ), &format!("until durable, {}", with(point))))
                }
            }
        }
    }
}

fn card(name: &str, figure: &Markup, under: &str) -> Markup {
    html! { div.card { p.name { (name) } p.figure { (figure) } p.under { (under) } } }
}

fn with(point: &Point) -> String {
    let setting = &point.setting;
    let callers =
        if setting.callers == 1 { "1 caller".to_owned() } else { format!("{} callers", setting.callers) };
    format!("{callers}, {} B", setting.record_bytes)
}

fn headline(outcome: &Outcome) -> String {
    let kind = outcome.file_system.as_ref().map_or("an unknown file system", |fs| &fs.kind);
    match best(&outcome.points) {
        Some((_, point)) => {
            format!("{} durable appends a second on {kind}", shown::whole(point.appends_per_second.median))
        }
        None => "nothing was measured".to_owned(),
    }
}

fn best(points: &[Point]) -> Option<(usize, &Point)> {
    let all = points.iter().enumerate();
    all.max_by(|(_, a), (_, b)| a.appends_per_second.median.total_cmp(&b.appends_per_second.median))
}

fn quickest(points: &[Point]) -> Option<(usize, &Point, f64)> {
    let all = points.iter().enumerate();
    let with_p50 = all.filter_map(|(n, point)| Some((n, point, point.latency_us.get("p50")?.median)));
    with_p50.min_by(|(_, _, a), (_, _, b)| a.total_cmp(b))
}

/// A group of the sweep. Among several, each has its latency over the sweep in its own section.
fn section(n: usize, group: &Group<'_>, among_several: bool) -> Markup {
    html! {
        section {
            h2 { (group.name) }
            (tables::figures(group))
            div.charts {
                (pictures::curve(n, group).figure())
                @if among_several {
                    @if let Some(chart) = pictures::latency(n, group) { (chart.figure()) }
                }
            }
            h3 { "Over time, and records a commit" }
            div.charts {
                @for &(at, point) in &group.points {
                    @if let (number, Some(round)) = tables::middle(point) {
                        (pictures::timeline(at, &group.over.tip(point), round, number + 1, point.rounds.len()).figure())
                    }
                    (pictures::group_sizes(at, &group.over.tip(point), point).figure())
                }
            }
            h3 { "Where the time of a commit goes" }
            (tables::stages(group))
        }
    }
}
