//! `bench`: a rate, percentiles, and nothing left behind.

use std::fs;

use crate::support::{Place, Run, ministore};

#[test]
fn a_rate_and_percentiles_are_told_and_the_directory_is_left_as_it_was() {
    let place = Place::new();
    let args = ["bench", "--seconds", "0.2", "--callers", "5", "--dir"];
    let ran = ministore(args).arg(place.dir.path()).run().ok();
    for name in ["rate", "durable appends/s", "p99.99", "records a commit", "backend"] {
        assert!(ran.out.contains(name), "{name}: {}", ran.out);
    }
    assert_eq!(place.snapshot().len(), 0);
}

#[test]
fn the_json_report_adds_up() {
    let place = Place::new();
    let args = ["bench", "--json", "--seconds", "0.2", "--callers", "3", "--record-bytes", "100", "--dir"];
    let report = ministore(args).arg(place.dir.path()).run().ok().json();
    let number = |name: &str| report[name].as_f64().unwrap();
    assert!(number("appends") >= 3.0, "{report}");
    assert!((number("appends") / number("seconds") - number("appends_per_second")).abs() < 1.0, "{report}");
    assert!((number("appends") / number("commits") - number("records_per_commit")).abs() < 1.0, "{report}");
    let points = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
    let latency = points.map(|name| report["append_latency_us"][name].as_f64().unwrap());
    assert!(latency.is_sorted() && latency[0] > 0.0, "{report}");
}

#[test]
fn the_distribution_is_what_the_plotter_reads() {
    let (place, scratch) = (Place::new(), Place::new());
    let file = place.path("latency.hgrm");
    let mut bench = ministore(["bench", "--json", "--seconds", "0.2", "--callers", "2", "--dir"]);
    let report = bench.arg(scratch.dir.path()).arg("--hgrm").arg(&file).run().ok().json();
    let text = fs::read_to_string(file).unwrap();
    let lines: Vec<&str> = text.lines().collect();
    assert_eq!(lines[..2], ["       Value     Percentile TotalCount 1/(1-Percentile)", ""]);
    let rows: Vec<Vec<&str>> = lines[2..]
        .iter()
        .filter(|line| !line.starts_with('#'))
        .map(|row| row.split_whitespace().collect())
        .collect();
    let last = rows.last().unwrap();
    assert_eq!((last[1], last[2]), ("1.000000000000", &*report["appends"].to_string()));
    for (line, start) in lines[lines.len() - 3..].iter().zip(["#[Mean    = ", "#[Max     = ", "#[Buckets = "])
    {
        assert!(line.starts_with(start) && line.ends_with(']'), "{line}");
    }
}

#[test]
fn the_interval_log_has_a_line_a_stage() {
    let (place, scratch) = (Place::new(), Place::new());
    let file = place.path("stages.hlog");
    let mut bench = ministore(["bench", "--json", "--seconds", "1.2", "--callers", "2", "--dir"]);
    bench.arg(scratch.dir.path()).arg("--hlog").arg(&file).run().ok();
    let text = fs::read_to_string(file).unwrap();
    for stage in ["queued", "laid_out", "committed", "woken", "group_records", "group_bytes"] {
        let lines = text.lines().filter(|line| line.starts_with(&format!("Tag={stage},"))).count();
        assert!(lines >= 2, "{lines} lines of {stage} in more than a second");
    }
}
