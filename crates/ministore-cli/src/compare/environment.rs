//! Finds differences of the environment: host, file system, options, backend. Pure.

use serde::Serialize;
use serde_json::{Value, json};

use crate::bench::report::BenchReport;

/// A difference of the environment.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct EnvDiff {
    /// `host.kernel`, `options.rounds`, …
    pub(super) name: String,
    pub(super) a: Value,
    pub(super) b: Value,
}

/// Values that may change with every run. A container has a new host name each time.
const IGNORED: [&str; 4] = ["file_system.free_bytes", "options.rounds", "host.memory_bytes", "host.hostname"];

pub(super) fn differences(a: &BenchReport, b: &BenchReport) -> Vec<EnvDiff> {
    let mut all = Vec::new();
    collect("", &of(a), &of(b), &mut all);
    all.retain(|diff| !IGNORED.contains(&&*diff.name));
    all
}

fn of(report: &BenchReport) -> Value {
    let BenchReport { version, complete, host, file_system, options, .. } = report;
    json!({
        "version": version, "complete": complete, "host": host, "file_system": file_system, "options": options,
    })
}

fn collect(name: &str, a: &Value, b: &Value, all: &mut Vec<EnvDiff>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for (key, one) in a {
                let name = if name.is_empty() { key.clone() } else { format!("{name}.{key}") };
                collect(&name, one, b.get(key).unwrap_or(&Value::Null), all);
            }
        }
        _ if a == b => {}
        _ => all.push(EnvDiff { name: name.to_owned(), a: a.clone(), b: b.clone() }),
    }
}
