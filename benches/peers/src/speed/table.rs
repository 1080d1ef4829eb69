//! The results as Markdown.

use std::fmt::Write as _;

use super::{
    bench_case::{BenchCase, Role},
    phases::Measurement,
    plan::TARGET_ROUNDS,
    records::RecordKind,
    results::Results,
    targets::{Target, baseline, best_peer, bulk_baseline, evaluate, grouped},
};

pub fn markdown(results: &Results) -> String {
    let mut text = targets(results);
    for records in results.kinds() {
        write!(text, "\n## Records of {records}\n").ok();
        text.push_str(&rates(results, records));
        text.push_str(&ratios(results, records));
        text.push_str(&latencies(results, records));
        text.push_str(&one_caller(results, records));
        text.push_str(&limits(results, records));
    }
    text.push_str(&errors(results));
    text
}

fn targets(results: &Results) -> String {
    let table = target_table(&evaluate(results));
    if table.is_empty() {
        return table;
    }
    let rounds = results.rows().map(|row| row.rounds.len()).max().unwrap_or(0);
    let few = if rounds < TARGET_ROUNDS {
        format!("Too few rounds for a verdict: {rounds} of {TARGET_ROUNDS}.\n\n")
    } else {
        String::new()
    };
    format!(
        "\n## Targets\n\n{few}Records of 300 B where nothing else is said. Missed: more than 3 % beyond.\n\n{table}"
    )
}

/// Formats targets, or returns nothing if there are none.
pub fn target_table(targets: &[Target]) -> String {
    if targets.is_empty() {
        return String::new();
    }
    let mut text = String::from("| | medians | ratio | target | |\n| --- | --- | ---: | --- | --- |\n");
    for Target { what, measured, ratio, bound, met } in targets {
        let met = if *met { "met" } else { "**missed**" };
        writeln!(text, "| {what} | {measured} | {ratio:.2} | {bound} | {met} |").ok();
    }
    text
}

/// Formats a table with one line per case and one column per number of callers.
fn grid(
    results: &Results,
    records: RecordKind,
    is_included: impl Fn(BenchCase) -> bool,
    config: impl Fn(Measurement, usize) -> String,
) -> String {
    let callers: Vec<usize> =
        results.callers().into_iter().filter(|callers| results.has(*callers, records)).collect();
    let mut lines = String::new();
    for case in results.cases().into_iter().filter(|case| is_included(*case)) {
        let found = |callers: usize| results.median(case, callers, records);
        if callers.iter().all(|callers| results.row(case, *callers, records).is_none()) {
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

fn rates(results: &Results, records: RecordKind) -> String {
    let table = grid(results, records, |_| true, |measurement, _| grouped(measurement.records_per_second));
    titled("Durable records a second, medians over the rounds:", table)
}

fn ratios(results: &Results, records: RecordKind) -> String {
    let ours = |callers| results.median(BenchCase::Append, callers, records);
    let by_ours = |measurement: Measurement, callers: usize| {
        ours(callers)
            .map_or("–".into(), |ours| times(measurement.records_per_second / ours.records_per_second))
    };
    let by_peer = |measurement: Measurement, callers: usize| {
        best_peer(results, callers, records)
            .map_or("–".into(), |(_, best)| times(measurement.records_per_second / best.records_per_second))
    };
    let ours = grid(results, records, |case| case != BenchCase::Append, by_ours);
    let ours = if results.cases().contains(&BenchCase::Append) { ours } else { String::new() };
    let peers = grid(results, records, |case| case.role() != Role::Limit, by_peer);
    let peers =
        if results.cases().iter().any(|case| case.role() == Role::Peer) { peers } else { String::new() };
    titled("The same as a multiple of ours (`append`):", ours)
        + &titled("The same as a multiple of the best peer's at that number of callers:", peers)
}

fn times(ratio: f64) -> String {
    if ratio < 0.095 { format!("{ratio:.3}") } else { format!("{ratio:.2}") }
}

fn latency(measurement: Measurement) -> String {
    let [p50, p99, p999] = [measurement.p50_us, measurement.p99_us, measurement.p999_us].map(grouped);
    format!("{p50} / {p99} / {p999}")
}

fn latencies(results: &Results, records: RecordKind) -> String {
    let table = grid(results, records, |_| true, |measurement, _| latency(measurement));
    titled("Latency in µs, p50 / p99 / p99.9:", table)
}

/// Shows what one caller costs: a caller that spins has a lower latency and uses more processor time.
fn one_caller(results: &Results, records: RecordKind) -> String {
    let mut lines = String::new();
    for case in results.cases() {
        let Some(measurement) = results.median(case, 1, records) else { continue };
        let per_record = measurement.processors / measurement.records_per_second * 1e6;
        writeln!(
            lines,
            "| {} | {} | {:.2} | {} |",
            case.label(),
            grouped(measurement.p50_us),
            measurement.processors,
            grouped(per_record)
        )
        .ok();
    }
    if lines.is_empty() {
        return lines;
    }
    let head = "| one caller | p50 in µs | processors used | processor time per record in µs |\n\
                | --- | ---: | ---: | ---: |";
    let title = "Processor time of one caller, in user and kernel mode. Half-busy workers: with that of the other tasks, about \
                 half of each worker.";
    titled(title, format!("{head}\n{lines}"))
}

fn limits(results: &Results, records: RecordKind) -> String {
    let mut text = pipelined(results, records);
    if let Some((case, measurement)) = baseline(results, records) {
        let rounds = results.row(case, 1, records).map_or(&[][..], |row| &row.rounds);
        let of_rounds = || rounds.iter().map(|round| round.p50_us);
        let (least, most) = (of_rounds().fold(f64::INFINITY, f64::min), of_rounds().fold(0.0, f64::max));
        writeln!(
            text,
            "\nThe floor for {} is the cheaper way, {}: p50 {} µs, from {} to {} µs in the rounds: the disk's moods.",
            records,
            case.name(),
            grouped(measurement.p50_us),
            grouped(least),
            grouped(most)
        )
        .ok();
    }
    text
}

fn pipelined(results: &Results, records: RecordKind) -> String {
    let mut lines = String::new();
    let bytes_per_second = |measurement: Measurement| measurement.bytes_per_second;
    let in_place = bulk_baseline(results, records).map(|(_, measurement)| bytes_per_second(measurement));
    for case in results.cases() {
        let Some(measurement) = results.median(case, 0, records) else { continue };
        let share = |limit: Option<f64>| {
            limit.map_or("–".into(), |limit| times(measurement.bytes_per_second / limit))
        };
        let rate = match case.role() {
            Role::Limit => "–".into(),
            _ => grouped(measurement.records_per_second),
        };
        let growing = case.growing_floor().and_then(|floor| results.median(floor, 0, records));
        let columns = [
            rate,
            grouped(measurement.bytes_per_second / 1e6),
            measurement.write_bytes.map_or("–".into(), |bytes| grouped(bytes / 1024.0)),
            share(in_place),
            share(growing.map(bytes_per_second)),
            format!("{:.2}", measurement.processors),
            latency(measurement),
        ];
        writeln!(lines, "| {} | {} |", case.label(), columns.join(" | ")).ok();
    }
    if lines.is_empty() {
        return lines;
    }
    let head = "| in bulk | records/s | MB/s | a write in KiB, mean | of the best 1 MiB writes in place | of the growing floor | \
                processors used | a call's latency in µs, p50 / p99 / p99.9 |\n\
                | --- | ---: | ---: | ---: | ---: | ---: | ---: | ---: |";
    titled("In bulk, whatever the number of callers:", format!("{head}\n{lines}"))
}

fn errors(results: &Results) -> String {
    let mut text = String::new();
    for row in results.rows() {
        for error in &row.errors {
            let (label, records) = (row.case.label(), row.records);
            writeln!(text, "* {label}, {} callers, {records}: `{}`", row.callers, error.replace('\n', " "))
                .ok();
        }
    }
    titled("What gave no figures:", text)
}
