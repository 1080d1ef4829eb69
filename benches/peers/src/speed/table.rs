//! The results as Markdown.

use std::fmt::Write as _;

use super::{
    entrant::{Entrant, Role},
    phases::Figures,
    results::Results,
    targets::{best_peer, bulk_floor, floor, grouped, judge},
};

/// A size as people say it.
#[must_use]
pub fn size(bytes: usize) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} B")
    }
}

/// Every table.
#[must_use]
pub fn markdown(results: &Results) -> String {
    let mut text = targets(results);
    for record_bytes in results.sizes() {
        write!(text, "\n## Records of {}\n", size(record_bytes)).ok();
        text.push_str(&rates(results, record_bytes));
        text.push_str(&ratios(results, record_bytes));
        text.push_str(&latencies(results, record_bytes));
        text.push_str(&limits(results, record_bytes));
    }
    text.push_str(&refusals(results));
    text
}

fn targets(results: &Results) -> String {
    let judged = judge(results);
    if judged.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## Targets (records of 300 B)\n\n| | medians | ratio | target | |\n| --- | --- | ---: | --- | --- |\n",
    );
    for target in judged {
        let met = if target.met { "met" } else { "**missed**" };
        writeln!(
            text,
            "| {} | {} | {:.2} | {} | {met} |",
            target.what, target.measured, target.ratio, target.bound
        )
        .ok();
    }
    text
}

/// One line an entrant, one column a number of callers.
fn grid(
    results: &Results,
    record_bytes: usize,
    wanted: impl Fn(Entrant) -> bool,
    cell: impl Fn(Figures, usize) -> String,
) -> String {
    let callers = results.callers();
    let mut lines = String::new();
    for entrant in results.entrants().into_iter().filter(|entrant| wanted(*entrant)) {
        let found = |callers: usize| results.median(entrant, callers, record_bytes);
        if callers.iter().all(|callers| results.row(entrant, *callers, record_bytes).is_none()) {
            continue;
        }
        let cells =
            callers.iter().map(|count| found(*count).map_or("–".into(), |figures| cell(figures, *count)));
        writeln!(lines, "| {} | {} |", entrant.label(), cells.collect::<Vec<_>>().join(" | ")).ok();
    }
    if lines.is_empty() {
        return lines;
    }
    let heads: Vec<String> = callers.iter().map(|count| grouped_count(*count)).collect();
    format!("| callers | {} |\n| --- |{}\n{lines}", heads.join(" | "), " ---: |".repeat(callers.len()))
}

fn grouped_count(count: usize) -> String {
    if count < 100 { count.to_string() } else { grouped(count as f64) }
}

fn titled(title: &str, table: String) -> String {
    if table.is_empty() { table } else { format!("\n{title}\n\n{table}") }
}

fn rates(results: &Results, record_bytes: usize) -> String {
    let table = grid(results, record_bytes, |_| true, |figures, _| grouped(figures.records_per_second));
    titled("Durable records a second, medians over the rounds:", table)
}

fn ratios(results: &Results, record_bytes: usize) -> String {
    let ours = |callers| results.median(Entrant::Append, callers, record_bytes);
    let by_ours = |figures: Figures, callers: usize| {
        ours(callers).map_or("–".into(), |ours| times(figures.records_per_second / ours.records_per_second))
    };
    let by_peer = |figures: Figures, callers: usize| {
        best_peer(results, callers, record_bytes)
            .map_or("–".into(), |(_, best)| times(figures.records_per_second / best.records_per_second))
    };
    let ours = grid(results, record_bytes, |entrant| entrant != Entrant::Append, by_ours);
    let ours = if results.entrants().contains(&Entrant::Append) { ours } else { String::new() };
    let peers = grid(results, record_bytes, |entrant| entrant.role() != Role::Limit, by_peer);
    let peers = if results.entrants().iter().any(|entrant| entrant.role() == Role::Peer) {
        peers
    } else {
        String::new()
    };
    titled("The same as a multiple of ours (`append`):", ours)
        + &titled("The same as a multiple of the best peer's at that number of callers:", peers)
}

fn times(ratio: f64) -> String {
    if ratio < 0.095 { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
}

fn latencies(results: &Results, record_bytes: usize) -> String {
    let table = grid(
        results,
        record_bytes,
        |_| true,
        |figures, _| {
            let [p50, p99, p999] = [figures.p50_us, figures.p99_us, figures.p999_us].map(grouped);
            format!("{p50} / {p99} / {p999}")
        },
    );
    titled("Latency in µs, p50 / p99 / p99.9:", table)
}

fn limits(results: &Results, record_bytes: usize) -> String {
    let mut text = bulk(results, record_bytes);
    if let Some((way, figures)) = floor(results, record_bytes) {
        let rounds = results.row(way, 1, record_bytes).map_or(&[][..], |row| &row.rounds);
        let of_rounds = || rounds.iter().map(|round| round.p50_us);
        let (least, most) = (of_rounds().fold(f64::INFINITY, f64::min), of_rounds().fold(0.0, f64::max));
        writeln!(
            text,
            "\nThe floor for {} is the cheaper way, {}: p50 {} µs, from {} to {} µs in the rounds: the disk's moods.",
            size(record_bytes),
            way.name(),
            grouped(figures.p50_us),
            grouped(least),
            grouped(most)
        )
        .ok();
    }
    text
}

fn bulk(results: &Results, record_bytes: usize) -> String {
    let mut lines = String::new();
    let limit = bulk_floor(results, record_bytes).map(|(_, figures)| figures.bytes_per_second);
    for entrant in results.entrants() {
        let Some(figures) = results.median(entrant, 0, record_bytes) else { continue };
        let records = match entrant.role() {
            Role::Limit => "–".into(),
            _ => grouped(figures.records_per_second),
        };
        let share = limit.map_or("–".into(), |limit| times(figures.bytes_per_second / limit));
        let megabytes = grouped(figures.bytes_per_second / 1e6);
        let [p50, p99, p999] = [figures.p50_us, figures.p99_us, figures.p999_us].map(grouped);
        writeln!(
            lines,
            "| {} | {records} | {megabytes} | {share} | {p50} / {p99} / {p999} |",
            entrant.label()
        )
        .ok();
    }
    if lines.is_empty() {
        return lines;
    }
    let head = "| in bulk | records/s | MB/s | of the best 1 MiB writes | a call's latency in µs, p50 / p99 / p99.9 |\n\
                | --- | ---: | ---: | ---: | ---: |";
    titled("In bulk, whatever the number of callers:", format!("{head}\n{lines}"))
}

fn refusals(results: &Results) -> String {
    let mut text = String::new();
    for row in results.rows() {
        for refusal in &row.refusals {
            let (label, size) = (row.entrant.label(), size(row.record_bytes));
            writeln!(text, "* {label}, {} callers, {size}: `{}`", row.callers, refusal.replace('\n', " "))
                .ok();
        }
    }
    titled("What gave no figures:", text)
}
