//! The alert rules and the dashboard of `packaging/`: they use metrics, labels and label values that the service has.

use std::{collections::BTreeSet, fs, path::PathBuf, process::Command};

use serde_json::Value;

use super::service::ServeProcess;
use crate::support::skipped;

fn packaged(name: &str) -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../packaging").join(name)
}

/// The samples of a service that has rotated: rotations are measured then.
fn exposition() -> String {
    let mut service = ServeProcess::start(&["--metrics", "127.0.0.1:0", "--max-segment-bytes", "4KiB"]);
    let mut client = service.connect_unix().with_acks("record");
    let line = format!("\"{}\"\n", "x".repeat(1000));
    for _ in 0..20 {
        client.send(&line);
        client.receive();
    }
    service.wait_for_metric("ministore_serve_durable_lines_total", |lines| lines == 20.0);
    service.get("/metrics").1
}

/// Checks every name and label of an expression. Returns the number of names.
fn check(expression: &str, exposition: &str) -> usize {
    let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let mut names = 0;
    for prefix in ["ministore_", "process_"] {
        for (at, _) in expression.match_indices(prefix) {
            if expression[..at].ends_with(is_part) {
                continue;
            }
            let rest = &expression[at..];
            let name = &rest[..rest.find(|c| !is_part(c)).unwrap_or(rest.len())];
            let samples: Vec<&str> = exposition
                .lines()
                .filter(|line| line.strip_prefix(name).is_some_and(|rest| rest.starts_with([' ', '{'])))
                .collect();
            assert!(!samples.is_empty(), "{name} of {expression} is no metric");
            names += 1;
            let Some(labels) = rest[name.len()..].strip_prefix('{') else { continue };
            for (label, values) in
                labels[..labels.find('}').unwrap()].split(',').filter_map(|one| one.split_once('='))
            {
                // Prometheus adds these two.
                if ["job", "instance"].contains(&label) {
                    continue;
                }
                for value in values.trim_start_matches('~').trim_matches('"').split('|') {
                    let pair = format!("{label}=\"{value}\"");
                    assert!(samples.iter().any(|sample| sample.contains(&pair)), "{pair} of {expression}");
                }
            }
        }
    }
    names
}

/// Returns the expressions of the rules, which may be folded over several lines.
fn rules(text: &str) -> Vec<String> {
    let mut expressions: Vec<String> = Vec::new();
    let mut is_folded = false;
    for line in text.lines() {
        let key = line.trim_start();
        if let Some(expression) = key.strip_prefix("expr: ") {
            is_folded = expression == ">-";
            expressions.push(if is_folded { String::new() } else { expression.to_owned() });
        } else if is_folded && line.starts_with("          ") {
            expressions.last_mut().unwrap().push_str(&format!("{key} "));
        } else {
            is_folded = false;
        }
    }
    expressions
}

#[test]
fn alert_rules_use_existing_metrics() {
    let exposition = exposition();
    let text = fs::read_to_string(packaged("prometheus/ministore.rules.yml")).unwrap();
    let expressions = rules(&text);
    assert_eq!(expressions.len(), text.matches("- alert: ").count());
    for expression in &expressions {
        // Whether a service can be scraped is Prometheus' own.
        assert!(expression.starts_with("up{") || check(expression, &exposition) > 0, "{expression}");
    }
    let names: BTreeSet<_> = text.lines().filter_map(|line| line.trim().strip_prefix("- alert: ")).collect();
    let page = fs::read_to_string(packaged("../docs/reference/metrics.md")).unwrap();
    assert_eq!(names.len(), expressions.len(), "two alerts have the same name");
    for name in names {
        assert!(page.contains(&format!("`{name}`")), "{name} is not in docs/reference/metrics.md");
    }
}

#[test]
fn alert_rules_are_accepted_by_promtool() {
    let rules = packaged("prometheus/ministore.rules.yml");
    let Ok(output) = Command::new("promtool").args(["check", "rules"]).arg(rules).output() else {
        return skipped("SKIPPED: the alert rules in promtool: not installed");
    };
    assert!(output.status.success(), "{output:?}");
}

fn expressions<'a>(value: &'a Value, found: &mut Vec<&'a str>) {
    match value {
        Value::Object(object) => {
            found.extend(object.get("expr").and_then(Value::as_str));
            found.extend(object.get("definition").and_then(Value::as_str));
            object.values().for_each(|value| expressions(value, found));
        }
        Value::Array(array) => array.iter().for_each(|value| expressions(value, found)),
        _ => {}
    }
}

#[test]
fn dashboard_shows_every_metric() {
    let exposition = exposition();
    let text = fs::read_to_string(packaged("grafana/ministore.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&text).unwrap();
    let mut found = Vec::new();
    expressions(&dashboard, &mut found);
    for expression in &found {
        assert!(check(expression, &exposition) > 0, "{expression}");
    }
    let panels = dashboard["panels"].as_array().unwrap();
    let ids: BTreeSet<_> = panels.iter().map(|panel| panel["id"].as_u64().unwrap()).collect();
    assert_eq!(ids.len(), panels.len(), "two panels have the same id");
    let names = exposition.lines().filter_map(|line| line.strip_prefix("# TYPE ")?.split(' ').next());
    // Not useful over time.
    let missing: Vec<_> = names
        .filter(|name| !["ministore_durable_seq", "process_virtual_memory_bytes"].contains(name))
        .filter(|name| !found.iter().any(|expression| expression.contains(name)))
        .collect();
    assert!(missing.is_empty(), "{missing:?}");
}
