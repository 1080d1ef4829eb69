//! The results as Markdown.

use std::fmt::Write as _;

use super::{
    bench_case::{BenchCase, Role},
    phases::Measurement,
    results::Results,
    targets::{baseline, best_peer, bulk_baseline, evaluate, grouped},
};

pub fn size(bytes: usize) -> String {
    if bytes >= 1024 && bytes.is_multiple_of(1024) {
        format!("{} KiB", bytes / 1024)
    } else {
        format!("{bytes} B")
    }
}

pub fn markdown(results: &Results) -> String {
    let mut text = targets(results);
    for record_bytes in results.sizes() {
        write!(text, "\n## Records of {}\n", size(record_bytes)).ok();
        text.push_str(&rates(results, record_bytes));
        text.push_str(&ratios(results, record_bytes));
        text.push_str(&latencies(results, record_bytes));
        text.push_str(&limits(results, record_bytes));
    }
    text.push_str(&errors(results));
    text
}

fn targets(results: &Results) -> String {
    let evaluated = evaluate(results);
    if evaluated.is_empty() {
        return String::new();
    }
    let mut text = String::from(
        "\n## Targets (records of 300 B)\n\n| | medians | ratio | target | |\n| --- | --- | ---: | --- | --- |\n",
    );
    for target in evaluated {
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

/// Formats a table with one line per case and one column per number of callers.
fn grid(
    results: &Results,
    record_bytes: usize,
    is_included: impl Fn(BenchCase) -> bool,
    config: impl Fn(Measurement, usize) -> String,
) -> String {
    let callers = results.callers();
    let mut lines = String::new();
    for case in results.cases().into_iter().filter(|case| is_included(*case)) {
        let found = |callers: usize| results.median(case, callers, record_bytes);
        if callers.iter().all(|callers| results.row(case, *callers, record_bytes).is_none()) {
            continue;
        }
        let configs = callers
            .iter()
            .map(|count| found(*count).map_or("–".into(), |measurement| config(measurement, *count)));
        writeln!(lines, "| {} | {} |", case.label(), configs.collect::<Vec<_>>().join(" | ")).ok();
    }
    if lines.is_empty() {
        return lines;
    }
    let heads: Vec<String> = callers.iter().map(|count| grouped_count(*count)).collect();
    format!("| callers | {} |\n| --- |{}\n{lines}", heads.join(" | "), " ---: |".repeat(callers.len()))
}

pub(super) fn grouped_count(count: usize) -> String {
    if count < 100 { count.to_string() } else { grouped(count as f64) }
}

fn titled(title: &str, table: String) -> String {
    if table.is_empty() { table } else { format!("\n{title}\n\n{table}") }
}

fn rates(results: &Results, record_bytes: usize) -> String {
    let table =
        grid(results, record_bytes, |_| true, |measurement, _| grouped(measurement.records_per_second));
    titled("Durable records a second, medians over the rounds:", table)
}

fn ratios(results: &Results, record_bytes: usize) -> String {
    let ours = |callers| results.median(BenchCase::Append, callers, record_bytes);
    let by_ours = |measurement: Measurement, callers: usize| {
        ours(callers)
            .map_or("–".into(), |ours| times(measurement.records_per_second / ours.records_per_second))
    };
    let by_peer = |measurement: Measurement, callers: usize| {
        best_peer(results, callers, record_bytes)
            .map_or("–".into(), |(_, best)| times(measurement.records_per_second / best.records_per_second))
    };
    let ours = grid(results, record_bytes, |case| case != BenchCase::Append, by_ours);
    let ours = if results.cases().contains(&BenchCase::Append) { ours } else { String::new() };
    let peers = grid(results, record_bytes, |case| case.role() != Role::Limit, by_peer);
    let peers =
        if results.cases().iter().any(|case| case.role() == Role::Peer) { peers } else { String::new() };
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
        |measurement, _| {
            let [p50, p99, p999] = [measurement.p50_us, measurement.p99_us, measurement.p999_us].map(grouped);
            format!("{p50} / {p99} / {p999}")
        },
    );
    titled("Latency in µs, p50 / p99 / p99.9:", table)
}

fn limits(results: &Results, record_bytes: usize) -> String {
    let mut text = pipelined(results, record_bytes);
    if let Some((case, measurement)) = baseline(results, record_bytes) {
        let rounds = results.row(case, 1, record_bytes).map_or(&[][..], |row| &row.rounds);
        let of_rounds = || rounds.iter().map(|round| round.p50_us);
        let (least, most) = (of_rounds().fold(f64::INFINITY, f64::min), of_rounds().fold(0.0, f64::max));
        writeln!(
            text,
            "\nThe floor for {} is the cheaper way, {}: p50 {} µs, from {} to {} µs in the rounds: the disk's moods.",
            size(record_bytes),
            case.name(),
            grouped(measurement.p50_us),
            grouped(least),
            grouped(most)
        )
        .ok();
    }
    text
}

fn pipelined(results: &Results, record_bytes: usize) -> String {
    let mut lines = String::new();
    let limit = bulk_baseline(results, record_bytes).map(|(_, measurement)| measurement.bytes_per_second);
    for case in results.cases() {
        let Some(measurement) = results.median(case, 0, record_bytes) else { continue };
        let records = match case.role() {
            Role::Limit => "–".into(),
            _ => grouped(measurement.records_per_second),
        };
        let share = limit.map_or("–".into(), |limit| times(measurement.bytes_per_second / limit));
        let megabytes = grouped(measurement.bytes_per_second / 1e6);
        let [p50, p99, p999] = [measurement.p50_us, measurement.p99_us, measurement.p999_us].map(grouped);
        writeln!(lines, "| {} | {records} | {megabytes} | {share} | {p50} / {p99} / {p999} |", case.label())
            .ok();
    }
    if lines.is_empty() {
        return lines;
    }
    let head = "| in bulk | records/s | MB/s | of the best 1 MiB writes | a call's latency in µs, p50 / p99 / p99.9 |\n\
                | --- | ---: | ---: | ---: | ---: |";
    titled("In bulk, whatever the number of callers:", format!("{head}\n{lines}"))
}

fn errors(results: &Results) -> String {
    let mut text = String::new();
    for row in results.rows() {
        for error in &row.errors {
            let (label, size) = (row.case.label(), size(row.record_bytes));
            writeln!(text, "* {label}, {} callers, {size}: `{}`", row.callers, error.replace('\n', " ")).ok();
        }
    }
    titled("What gave no figures:", text)
}
