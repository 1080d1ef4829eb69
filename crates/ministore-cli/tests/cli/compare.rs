//! `compare`: what differs beyond the rounds' own spread, from measurements made up for it.

use std::path::PathBuf;

use serde_json::{Value, json};

use crate::support::{Place, Ran, Run, ministore};

/// A measurement of one point, a round for each rate; latencies are what they would be in a closed loop.
pub(crate) fn measured(clients: u32, rates: &[f64]) -> Value {
    of_appends(1_000_000, clients, rates)
}

fn of_appends(appends: u64, clients: u32, rates: &[f64]) -> Value {
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
            "preallocate": true, "sync_mode": "auto",
        },
        "points": [{
            "clients": clients, "record_bytes": 300, "backend": "auto", "rate": null,
            "appends_per_second": spread, "latency_us": {}, "records_per_commit": spread, "curve": [],
            "group_sizes": [], "rounds": rates.iter().map(round).collect::<Value>(),
        }],
    })
}

fn compare(a: &Value, b: &Value, args: &[&str]) -> Ran {
    let place = Place::new();
    let paths: [PathBuf; 2] = [place.write("a.json", a.to_string()), place.write("b.json", b.to_string())];
    ministore(["compare"]).args(args).args(paths).run()
}

/// The verdicts of all figures, the rate's first.
fn verdicts(ran: &Ran) -> Vec<String> {
    let told = ran.json();
    let figures = told["points"][0]["figures"].as_array().unwrap();
    figures.iter().map(|figure| figure["verdict"].as_str().unwrap().to_owned()).collect()
}

/// The rate and every percentile alike; the maximum is never judged.
fn all(verdict: &str) -> [&str; 7] {
    let mut all = [verdict; 7];
    all[6] = "too_few_appends";
    all
}

#[test]
fn a_percentile_that_few_appends_make_is_not_judged() {
    let (a, b) = (of_appends(1_000, 1, &[2.0; 3]), of_appends(1_000, 1, &[1.0; 3]));
    let few = "too_few_appends";
    let expected = ["worse", "worse", "worse", "worse", few, few, few];
    assert_eq!(verdicts(&compare(&a, &b, &["--json"]).code(1)), expected);
}

#[test]
fn a_rate_below_all_rounds_is_worse_and_so_are_its_latencies() {
    let (a, b) = (measured(1, &[100.0, 105.0, 110.0]), measured(1, &[80.0, 90.0, 85.0]));
    let ran = compare(&a, &b, &["--json"]).code(1);
    assert_eq!(verdicts(&ran), all("worse"));
    let change = ran.json()["points"][0]["figures"][0]["change"].as_f64().unwrap();
    assert!((change - (85.0 / 105.0 - 1.0)).abs() < 1e-9, "{change}");
    let ran = compare(&a, &b, &[]).code(1);
    assert!(ran.out.contains("-19.0%  ") && ran.out.contains("WORSE"), "{}", ran.out);
    assert!(ran.out.contains("B is worse: 6 figures worse and 0 better"), "{}", ran.out);
    assert_eq!(verdicts(&compare(&b, &a, &["--json"]).ok()), all("better"));
}

#[test]
fn what_is_within_the_spread_or_tolerated_is_the_same() {
    let a = measured(1, &[100.0, 105.0, 110.0]);
    assert_eq!(verdicts(&compare(&a, &measured(1, &[80.0, 85.0, 101.0]), &["--json"]).ok()), all("same"));
    let b = measured(1, &[99.0, 99.0, 99.0]);
    assert_eq!(verdicts(&compare(&a, &b, &["--json"]).code(1)), all("worse"));
    assert_eq!(verdicts(&compare(&a, &b, &["--json", "--tolerate", "10"]).ok()), all("same"));
}

#[test]
fn of_two_rounds_nothing_can_be_said() {
    let ran = compare(&measured(1, &[100.0, 100.0]), &measured(1, &[1.0, 1.0]), &[]).ok();
    assert!(ran.out.contains("fewer than 3 rounds") && !ran.out.contains("WORSE"), "{}", ran.out);
}

#[test]
fn unfair_comparison_is_reported() {
    let (a, mut b) = (measured(1, &[1.0; 3]), measured(1, &[1.0; 3]));
    b["host"]["kernel"] = "6.2".into();
    b["options"]["duration_seconds"] = 2.0.into();
    b["points"][0]["rounds"][0]["direct_io"] = false.into();
    b["points"][0]["rounds"][0]["sync_mode"] = "fdatasync".into();
    let ran = compare(&a, &b, &[]).ok();
    for text in [
        "host.kernel: \"6.1\" in A, \"6.2\" in B",
        "options.duration_seconds: 1.0 in A",
        "buffered writes, fdatasync\" in B",
    ] {
        assert!(ran.out.contains(text), "{text}: {}", ran.out);
    }
    assert!(
        compare(&a, &a, &["--json"]).ok().json()["environment_differences"].as_array().unwrap().is_empty()
    );
}

#[test]
fn points_that_only_one_has_are_named_and_none_in_common_is_an_error() {
    let (mut a, b) = (measured(1, &[1.0; 3]), measured(16, &[1.0; 3]));
    assert!(compare(&a, &b, &[]).code(65).error().contains("b.json: no point in common"));
    a["points"].as_array_mut().unwrap().push(b["points"][0].clone());
    let ran = compare(&a, &b, &[]).ok();
    assert!(ran.out.contains("only in A: 1 clients, 300 bytes, auto"), "{}", ran.out);
}

#[test]
fn what_is_no_measurement_is_refused_with_its_path() {
    let place = Place::new();
    let good = place.write("good.json", measured(1, &[1.0; 3]).to_string());
    let mut other = measured(1, &[1.0; 3]);
    other["schema"] = "ministore-bench/9".into();
    let mut torn = measured(1, &[1.0; 3]);
    torn["points"][0]["rounds"][0]["latency_us"] = 7.into();
    let cases = [
        ("{\"schema\":".to_owned(), "EOF"),
        ("{}".to_owned(), "schema is missing"),
        ("[1]".to_owned(), "invalid type"),
        (other.to_string(), "ministore-bench/9"),
        (torn.to_string(), "invalid type"),
    ];
    for (text, told) in cases {
        let bad = place.write("bad.json", text);
        let ran = ministore(["compare"]).args([&good, &bad]).run().code(65);
        assert!(ran.error().contains("bad.json: ") && ran.error().contains(told), "{}", ran.err);
        assert!(ran.hint().contains("bench --json"), "{}", ran.err);
    }
    let ran = ministore(["compare"]).args([&good, &place.path("missing.json")]).run().code(66);
    assert!(ran.error().contains("missing.json: cannot read"), "{}", ran.err);
}

#[test]
fn what_bench_writes_can_be_compared() {
    let (place, scratch) = (Place::new(), Place::new());
    let args = ["bench", "--json", "--duration", "0.05s", "--rounds", "3", "--clients", "1,2", "--dir"];
    let told = ministore(args).arg(scratch.dir.path()).run().ok().out;
    let file = place.write("a.json", told);
    let same = ministore(["compare"]).args([&file, &file]).run().ok();
    assert!(same.out.contains("B is not worse: 0 figures worse and 0 better"), "{}", same.out);
}
