//! The head of the page: the main result, when, where and how it was measured, and the most important figures.

use std::time::{Duration, UNIX_EPOCH};

use maud::{Markup, html};

use super::{format, group::XAxis};
use crate::{
    bench::report::{BenchReport, Point, Summary},
    units,
};

pub(super) fn head(report: &BenchReport) -> Markup {
    html! {
        header {
            p.eyebrow { "ministore bench" }
            h1 { (headline(report)) }
            p.run {
                time { (httpdate::fmt_http_date(UNIX_EPOCH + Duration::from_secs(report.started))) }
                @if let Some(hostname) = &report.host.hostname { " on " span.host { (hostname) } }
            }
            @if !report.command.is_empty() { p.run { code { (report.command) } } }
            @if !report.complete { p.warning { "Interrupted: some rounds are missing." } }
            div.cards {
                @if let Some(open) = OpenLoop::of(&report.points) { (open.cards()) } @else { (closed_loop(report)) }
                @if let Some((n, point, p50)) = quickest(&report.points) {
                    (card("lowest p50", &format::median(
                        &format!("/points/{n}/latency_us/p50"), p50, format::micros,
                    ), &format!("until durable, {}", with(point))))
                }
            }
        }
    }
}

/// Describes the main result in one line, for the title.
pub(super) fn headline(report: &BenchReport) -> String {
    let kind = report.file_system.as_ref().map_or("unknown file system", |fs| &fs.kind);
    if let Some(open) = OpenLoop::of(&report.points) {
        return open.headline(kind);
    }
    match best(&report.points) {
        Some((_, point)) => {
            format!(
                "{} durable appends per second on {kind}",
                units::rounded(point.appends_per_second.median)
            )
        }
        None => "nothing was measured".to_owned(),
    }
}

/// The main result of an open loop: the highest rate that was kept in every round, otherwise the lowest rate.
struct OpenLoop<'a> {
    n: usize,
    point: &'a Point,
    rate: f64,
    is_kept: bool,
}

impl<'a> OpenLoop<'a> {
    fn of(points: &'a [Point]) -> Option<Self> {
        let all = points.iter().enumerate().filter_map(|(n, point)| {
            let is_kept = point.rounds.iter().all(|round| round.rate_met == Some(true));
            Some(Self { n, point, rate: point.setting.rate?, is_kept })
        });
        // A high rate that was kept says more than a low one; of rates that were not kept the lowest.
        let value = |one: &Self| if one.is_kept { one.rate } else { -one.rate };
        all.max_by(|a, b| value(a).total_cmp(&value(b)))
    }

    fn headline(&self, kind: &str) -> String {
        let p99 = self
            .point
            .latency_us
            .get("p99")
            .map_or_else(String::new, |p99| format!(", p99 {}", format::micros(p99.median)));
        let kept = if self.is_kept { "kept" } else { "not kept" };
        format!("{} appends per second {kept} on {kind}{p99}", self.rate)
    }

    fn cards(&self) -> Markup {
        let Self { n, point, rate, is_kept } = self;
        html! {
            (card(
                if *is_kept { "rate kept" } else { "rate not kept" },
                &format::figure(&format!("/points/{n}/rate"), *rate, &rate.to_string()),
                &format!("appends due per second, {}\u{a0}B", point.setting.record_bytes),
            ))
            (p99_card(*n, point, "from when it was due until durable"))
            (card("durable", &format::median(
                &format!("/points/{n}/appends_per_second"), point.appends_per_second, units::rounded,
            ), "appends per second"))
        }
    }
}

fn closed_loop(report: &BenchReport) -> Markup {
    html! {
        @if let Some((n, point)) = best(&report.points) {
            (card("highest rate", &format::median(
                &format!("/points/{n}/appends_per_second"), point.appends_per_second, units::rounded,
            ), &format!("durable appends per second, {}", with(point))))
            (p99_card(n, point, "until durable"))
            (card("records per commit", &format::median(
                &format!("/points/{n}/records_per_commit"), point.records_per_commit, |one| format!("{one:.1}"),
            ), "sharing one write and sync"))
        }
    }
}

fn p99_card(n: usize, point: &Point, under: &str) -> Markup {
    html! {
        @if let Some(&p99) = point.latency_us.get("p99") {
            (card("p99 at that rate", &format::median(
                &format!("/points/{n}/latency_us/p99"), p99, format::micros,
            ), under))
        }
    }
}

fn card(name: &str, figure: &Markup, under: &str) -> Markup {
    html! { div.card { p.name { (name) } p.figure { (figure) } p.under { (under) } } }
}

fn with(point: &Point) -> String {
    let over = if point.setting.rate.is_some() { XAxis::Rate } else { XAxis::Clients };
    format!("{}, {}\u{a0}B", over.tip(point), point.setting.record_bytes)
}

fn best(points: &[Point]) -> Option<(usize, &Point)> {
    let all = points.iter().enumerate();
    all.max_by(|(_, a), (_, b)| a.appends_per_second.median.total_cmp(&b.appends_per_second.median))
}

fn quickest(points: &[Point]) -> Option<(usize, &Point, Summary)> {
    let all = points.iter().enumerate();
    let with_p50 = all.filter_map(|(n, point)| Some((n, point, *point.latency_us.get("p50")?)));
    with_p50.min_by(|(_, _, a), (_, _, b)| a.median.total_cmp(&b.median))
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::bench::{
        page::tests::report,
        report::{Round, Summary},
    };

    /// A report of an open loop: rates, and whether they were kept in both rounds.
    fn open_loop(points: &[(f64, [bool; 2])]) -> BenchReport {
        let mut report = report(points.len());
        for (point, (rate, kept)) in report.points.iter_mut().zip(points) {
            point.setting.rate = Some(*rate);
            let p99 = Summary { median: rate * 2.0, ..Summary::default() };
            point.latency_us.insert("p99".to_owned(), p99);
            let round = point.rounds.remove(0);
            point.rounds = kept.map(|kept| Round { rate_met: Some(kept), ..round.clone() }).to_vec();
        }
        report.file_system = None;
        report
    }

    #[test]
    fn open_loop_says_whether_the_rate_was_kept() {
        let of = |points: &[(f64, [bool; 2])]| headline(&open_loop(points));
        let on = "on unknown file system";
        assert_eq!(of(&[(500.0, [true, true])]), format!("500 appends per second kept {on}, p99 1.00 ms"));
        assert_eq!(
            of(&[(500.0, [true, false])]),
            format!("500 appends per second not kept {on}, p99 1.00 ms")
        );
        let several = [(100.0, [true; 2]), (250.0, [true; 2]), (500.0, [true, false]), (1000.0, [false; 2])];
        assert_eq!(of(&several), format!("250 appends per second kept {on}, p99 500 µs"));
        assert_eq!(of(&several[2..]), format!("500 appends per second not kept {on}, p99 1.00 ms"));
        let page = head(&open_loop(&several)).into_string();
        assert!(page.contains("rate kept") && page.contains("data-json=\"/points/1/rate\""), "{page}");
    }

    #[test]
    fn head_has_date_host_and_command() {
        let mut report = report(1);
        report.started = 1_700_000_000;
        report.host.hostname = Some("machine".to_owned());
        report.command = "ministore bench -c '1,2' --dir 'a b'".to_owned();
        let page = head(&report).into_string();
        for text in ["Tue, 14 Nov 2023 22:13:20 GMT", ">machine<", "<code>ministore bench -c &#39;1,2&#39;"] {
            let text = text.replace("&#39;", "'");
            assert!(page.contains(&text), "{text} in {page}");
        }
    }
}
