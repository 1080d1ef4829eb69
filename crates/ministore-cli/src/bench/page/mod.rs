//! The page of `bench --report`: a self-contained HTML file with charts, tables, and the JSON data.

mod chart;
mod charts;

mod format;
mod group;
mod head;
mod scale;
mod tables;

use maud::{DOCTYPE, Markup, html};

use self::group::Group;
use super::report::BenchReport;

/// No script runs and nothing is loaded.
const POLICY: &str = "default-src 'none'; style-src 'unsafe-inline'; base-uri 'none'; form-action 'none'";

pub(super) fn render(report: &BenchReport) -> serde_json::Result<String> {
    let json = serde_json::to_string(report)?;
    // Inside a JSON string this is the same character, but it cannot end the HTML element.
    let json = json.replace('<', "\\u003c");
    let groups = group::groups(&report.points);
    let page = html! {
        (DOCTYPE)
        html lang="en" {
            head {
                meta charset="utf-8";
                meta http-equiv="Content-Security-Policy" content=(POLICY);
                meta name="viewport" content="width=device-width, initial-scale=1";
                meta name="color-scheme" content="light dark";
                title { "ministore bench: " (head::headline(report)) }
                style { (chart::raw(include_str!("style.css"))) }
            }
            body {
                main {
                    (head::head(report))
                    @if let Some(chart) = charts::rate(&groups) {
                        section aria-label="The sweep" {
                            div.charts {
                                (chart.figure())
                                @if let Some(chart) = charts::sharing(&groups) { (chart.figure()) }
                            }
                        }
                    }
                    @for (n, group) in groups.iter().enumerate() { (section(n, group)) }
                    section {
                        h2 { "Measured on" }
                        (tables::environment(report))
                    }
                }
                footer {
                    p {
                        "Figures are medians of the rounds, with minimum and maximum below. "
                        "Latency is measured until the record is durable; in an open loop from when it was due. "
                        "The page contains its data as JSON: " code { "ministore compare" } " reads what " code { "bench --json" } " writes."
                    }
                }
                script type="application/json" id="report" { (chart::raw(&json)) }
            }
        }
    };
    Ok(page.into_string())
}

/// A group of the sweep.
fn section(n: usize, group: &Group<'_>) -> Markup {
    html! {
        section {
            h2 { (group.name) }
            (tables::figures(group))
            div.charts {
                @if let Some(chart) = charts::latency(n, group) { (chart.figure()) }
                (charts::curve(n, group).figure())
            }
            h3 { "Over time, and records per commit" }
            div.charts {
                @for &(at, point) in &group.points {
                    @if let (number, Some(round)) = tables::middle(point) {
                        (charts::timeline(at, &group.over.tip(point), round, number + 1, point.rounds.len()).figure())
                    }
                    (charts::group_sizes(at, &group.over.tip(point), point).figure())
                }
            }
            h3 { "Stages of a commit" }
            (tables::stages(group))
        }
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;

    use serde_json::Value;

    use super::*;
    use crate::{
        bench::report::{BenchOptions, BenchPoint, Point, Round, SCHEMA, Summary},
        host::{FileSystem, HostInfo},
    };

    const HOSTILE: &str = "</script><script>alert(1)</script><!-- & \" ' \u{2028}";

    pub(super) fn report(points: usize) -> BenchReport {
        let hostile = || Some(HOSTILE.to_owned());
        let latency_us: BTreeMap<_, _> = [("p50".to_owned(), 1.5), ("p99".to_owned(), 2.5)].into();
        let round = Round {
            backend: HOSTILE.into(),
            direct_io: true,
            sync_mode: HOSTILE.into(),
            seconds: 1.0,
            appends: 0,
            appends_per_second: 0.0,
            not_started: 0,
            rate_met: None,
            latency_us,
            schedule_lag_us: BTreeMap::new(),
            commits: 0,
            records_per_commit: 0.0,
            group_records: BTreeMap::new(),
            rotations: 0,
            stages_us: BTreeMap::new(),
            timeline: Vec::new(),
        };
        let point = |clients| Point {
            setting: BenchPoint { clients, record_bytes: 300, backend: HOSTILE.into(), rate: None },
            appends_per_second: Summary::default(),
            latency_us: [("p50".to_owned(), Summary::default())].into(),
            records_per_commit: Summary::default(),
            curve: Vec::new(),
            group_sizes: Vec::new(),
            rounds: vec![round.clone()],
        };
        BenchReport {
            schema: SCHEMA.into(),
            version: HOSTILE.into(),
            started: 0,
            command: HOSTILE.into(),
            complete: false,
            host: HostInfo {
                hostname: hostile(),
                kernel: hostile(),
                processor: hostile(),
                processors: 1,
                memory_bytes: None,
            },
            file_system: Some(FileSystem {
                kind: HOSTILE.into(),
                source: hostile(),
                mount_point: HOSTILE.into(),
                options: vec![HOSTILE.into()],
                size_bytes: 0,
                free_bytes: 0,
            }),
            options: BenchOptions {
                duration_seconds: 1.0,
                warm_up_seconds: 0.0,
                rounds: 1,
                max_segment_bytes: 1,
                commit_delay_us: 0.0,
                preallocate: true,
                spin: true,
                sync_mode: HOSTILE.into(),
            },
            points: (1..).take(points).map(point).collect(),
        }
    }

    #[test]
    fn untrusted_text_is_escaped() {
        let page = render(&report(2)).unwrap();
        assert_eq!(page.matches("<script").count(), 1, "the JSON's own");
        assert_eq!(page.matches("</script>").count(), 1);
        assert!(!page.contains("<!--") && page.contains("&lt;script&gt;alert(1)"));
        let start = "id=\"report\">";
        let from = page.find(start).unwrap() + start.len();
        let json = &page[from..page.find("</script>").unwrap()];
        let json: Value = serde_json::from_str(json).unwrap();
        assert_eq!(json["host"]["kernel"], HOSTILE, "and is the same in the JSON");
    }

    #[test]
    fn page_renders_with_any_number_of_points() {
        for points in 0..3 {
            let page = render(&report(points)).unwrap();
            assert!(page.ends_with("</html>") && !page.contains("NaN") && !page.contains("inf\""), "{page}");
        }
    }
}
