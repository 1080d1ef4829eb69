//! Finds differences of the environment: host, file system, options, backend. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

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

pub(super) fn differences(a: &BenchReport, b: &BenchReport) -> serde_json::Result<Vec<EnvDiff>> {
    let mut all = Vec::new();
    collect("", &of(a)?, &of(b)?, &mut all);
    all.retain(|diff| !IGNORED.contains(&&*diff.name));
    Ok(all)
}

fn of(report: &BenchReport) -> serde_json::Result<Value> {
    let BenchReport { version, complete, host, file_system, options, .. } = report;
    let mut object = Map::new();
    object.insert("version".into(), version.clone().into());
    object.insert("complete".into(), (*complete).into());
    object.insert("host".into(), serde_json::to_value(host)?);
    object.insert("file_system".into(), serde_json::to_value(file_system)?);
    object.insert("options".into(), serde_json::to_value(options)?);
    Ok(object.into())
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
