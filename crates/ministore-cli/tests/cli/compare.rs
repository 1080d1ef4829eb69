//! `compare` of generated reports: which differences exceed the spread of the rounds.

use std::{fs, path::PathBuf};

use serde_json::{Value, json};

use crate::support::{CommandExt, ProgramOutput, TestDir, ministore};

/// Returns a report of one point, with one round per rate and the latencies of a closed loop.
pub(crate) fn bench_report(clients: u32, rates: &[f64]) -> Value {
    report_of_appends(1_000_000, clients, rates)
}

fn report_of_appends(appends: u64, clients: u32, rates: &[f64]) -> Value {
    let spread = json!({ "median": 0.0, "min": 0.0, "max": 0.0 });
    let round = |rate: &f64| {
        let names = ["p50", "p90", "p99", "p99.9", "p99.99", "max"];
        let latency: Value = names.map(|name| (name.to_owned(), json!(1e6 / rate))).into_iter().collect();
        json!({
            "backend": "io_uring", "direct_io": true, "sync_mode": "dsync", "seconds": 1.0, "appends": appends,
            "appends_per_second": rate,
            "not_started": 0, "rate_met": null, "latency_us": latency, "schedule_lag_us": {}, "commits": 10,
            "records_per_commit": 10.0, "group_records": {}, "rotations": 0, "stages_us": {}, "timeline": [],
        })
    };
    json!({
        "schema": "ministore-bench/1", "version": "0.1.0", "started": 0, "complete": true,
        "host": { "kernel": "6.1", "processor": "X", "processors": 2, "memory_bytes": 1 },
        "file_system": null,
        "options": {
            "duration_seconds": 1.0, "warm_up_seconds": 0.0, "rounds": rates.len(), "max_segment_bytes": 1, "commit_delay_us": 0.0,
            "preallocate": true, "spin": true, "sync_mode": "auto",
        },
        "points": [{
            "clients": clients, "record_bytes": 300, "backend": "auto", "rate": null,
            "appends_per_second": spread, "latency_us": {}, "records_per_commit": spread, "curve": [],
            "group_sizes": [], "rounds": rates.iter().map(round).collect::<Value>(),
        }],
    })
}

fn compare(a: &Value, b: &Value, args: &[&str]) -> ProgramOutput {
    let dir = TestDir::new();
    let paths: [PathBuf; 2] = [dir.write("a.json", a.to_string()), dir.write("b.json", b.to_string())];
    ministore(["compare"]).args(args).args(paths).run()
}

/// Returns the verdicts of all figures, that of the rate first.
fn verdicts(output: &ProgramOutput) -> Vec<String> {
    let json = output.json();
    let figures = json["points"][0]["figures"].as_array().unwrap();
    figures.iter().map(|figure| figure["verdict"].as_str().unwrap().to_owned()).collect()
}

/// Returns this verdict for the rate and every percentile; the maximum is never judged.
fn all_figures(verdict: &str) -> [&str; 7] {
    let mut all = [verdict; 7];
    all[6] = "too_few_appends";
    all
}

#[test]
fn percentile_of_few_appends_is_not_judged() {
    let (a, b) = (report_of_appends(1_000, 1, &[2.0; 3]), report_of_appends(1_000, 1, &[1.0; 3]));
    let few = "too_few_appends";
    let expected = ["worse", "worse", "worse", "worse", few, few, few];
    assert_eq!(verdicts(&compare(&a, &b, &["--json"]).code(1)), expected);
}

#[test]
fn rate_below_all_rounds_is_worse() {
    let (a, b) = (bench_report(1, &[100.0, 105.0, 110.0]), bench_report(1, &[80.0, 90.0, 85.0]));
    let output = compare(&a, &b, &["--json"]).code(1);
    assert_eq!(verdicts(&output), all_figures("worse"));
    let change = output.json()["points"][0]["figures"][0]["change"].as_f64().unwrap();
    assert!((change - (85.0 / 105.0 - 1.0)).abs() < 1e-9, "{change}");
    let output = compare(&a, &b, &[]).code(1);
    assert!(output.stdout.contains("-19.0%  ") && output.stdout.contains("WORSE"), "{}", output.stdout);
    assert!(output.stdout.contains("B is worse: 6 figures worse and 0 better"), "{}", output.stdout);
    assert_eq!(verdicts(&compare(&b, &a, &["--json"]).ok()), all_figures("better"));
}

#[test]
fn change_within_spread_or_tolerance_is_same() {
    let a = bench_report(1, &[100.0, 105.0, 110.0]);
    assert_eq!(
        verdicts(&compare(&a, &bench_report(1, &[80.0, 85.0, 101.0]), &["--json"]).ok()),
        all_figures("same")
    );
    let b = bench_report(1, &[99.0, 99.0, 99.0]);
    assert_eq!(verdicts(&compare(&a, &b, &["--json"]).code(1)), all_figures("worse"));
    assert_eq!(verdicts(&compare(&a, &b, &["--json", "--tolerate", "10"]).ok()), all_figures("same"));
}

#[test]
fn two_rounds_are_too_few_to_judge() {
    let output = compare(&bench_report(1, &[100.0, 100.0]), &bench_report(1, &[1.0, 1.0]), &[]).ok();
    assert!(
        output.stdout.contains("fewer than 3 rounds") && !output.stdout.contains("WORSE"),
        "{}",
        output.stdout
    );
}

#[test]
fn environment_differences_are_reported() {
    let (a, mut b) = (bench_report(1, &[1.0; 3]), bench_report(1, &[1.0; 3]));
    b["host"]["kernel"] = "6.2".into();
    b["options"]["duration_seconds"] = 2.0.into();
    b["points"][0]["rounds"][0]["direct_io"] = false.into();
    b["points"][0]["rounds"][0]["sync_mode"] = "fdatasync".into();
    let output = compare(&a, &b, &[]).ok();
    for text in [
        "host.kernel: \"6.1\" in A, \"6.2\" in B",
        "options.duration_seconds: 1.0 in A",
        "buffered writes, fdatasync\" in B",
    ] {
        assert!(output.stdout.contains(text), "{text}: {}", output.stdout);
    }
    assert!(
        compare(&a, &a, &["--json"]).ok().json()["environment_differences"].as_array().unwrap().is_empty()
    );
}

#[test]
fn unmatched_points_are_named() {
    let (mut a, b) = (bench_report(1, &[1.0; 3]), bench_report(16, &[1.0; 3]));
    assert!(compare(&a, &b, &[]).code(65).error().contains("b.json: no point in common"));
    a["points"].as_array_mut().unwrap().push(b["points"][0].clone());
    let output = compare(&a, &b, &[]).ok();
    assert!(output.stdout.contains("only in A: 1 clients, 300 bytes, auto"), "{}", output.stdout);
}

#[test]
fn invalid_report_is_rejected_with_path() {
    let dir = TestDir::new();
    let good = dir.write("good.json", bench_report(1, &[1.0; 3]).to_string());
    let mut other = bench_report(1, &[1.0; 3]);
    other["schema"] = "ministore-bench/9".into();
    let mut torn = bench_report(1, &[1.0; 3]);
    torn["points"][0]["rounds"][0]["latency_us"] = 7.into();
    let cases = [
        ("{\"schema\":".to_owned(), "EOF"),
        ("{}".to_owned(), "schema is missing"),
        ("[1]".to_owned(), "invalid type"),
        (other.to_string(), "ministore-bench/9"),
        (torn.to_string(), "invalid type"),
    ];
    for (text, reason) in cases {
        let bad = dir.write("bad.json", text);
        let output = ministore(["compare"]).args([&good, &bad]).run().code(65);
        assert!(
            output.error().contains("bad.json: ") && output.error().contains(reason),
            "{}",
            output.stderr
        );
        assert!(output.hint().contains("bench --json"), "{}", output.stderr);
    }
    let output = ministore(["compare"]).args([&good, &dir.path("missing.json")]).run().code(66);
    assert!(output.error().contains("missing.json: cannot read"), "{}", output.stderr);
}

#[test]
fn bench_output_can_be_compared() {
    let (dir, scratch) = (TestDir::new(), TestDir::new());
    let args = ["bench", "--json", "--duration", "0.05s", "--rounds", "3", "--clients", "1,2", "--dir"];
    let report = ministore(args).arg(scratch.root()).run().ok().stdout;
    let file = dir.write("a.json", report);
    let same = ministore(["compare"]).args([&file, &file]).run().ok();
    let with_mark = dir.write("bom.json", [b"\xef\xbb\xbf", &fs::read(&file).unwrap()[..]].concat());
    ministore(["compare"]).args([&with_mark, &file]).run().ok();
    assert!(same.stdout.contains("B is not worse: 0 figures worse and 0 better"), "{}", same.stdout);
}
