//! Owns what makes a comparison unfair: another machine, file system or option, another backend at work. Pure.

use serde::Serialize;
use serde_json::{Map, Value};

use crate::bench::outcome::Outcome;

/// Something that was not the same.
#[derive(Debug, Clone, PartialEq, Serialize)]
pub(super) struct Unlike {
    /// `machine.kernel`, `options.seconds`, …
    pub(super) what: String,
    pub(super) a: Value,
    pub(super) b: Value,
}

/// What changes with every run.
const PASSED_OVER: [&str; 3] = ["file_system.free_bytes", "options.rounds", "machine.memory_bytes"];

pub(super) fn unlike(a: &Outcome, b: &Outcome) -> serde_json::Result<Vec<Unlike>> {
    let mut all = Vec::new();
    differences("", &of(a)?, &of(b)?, &mut all);
    all.retain(|unlike| !PASSED_OVER.contains(&&*unlike.what));
    Ok(all)
}

fn of(outcome: &Outcome) -> serde_json::Result<Value> {
    let Outcome { version, complete, machine, file_system, options, .. } = outcome;
    let mut object = Map::new();
    object.insert("version".into(), version.clone().into());
    object.insert("complete".into(), (*complete).into());
    object.insert("machine".into(), serde_json::to_value(machine)?);
    object.insert("file_system".into(), serde_json::to_value(file_system)?);
    object.insert("options".into(), serde_json::to_value(options)?);
    Ok(object.into())
}

fn differences(what: &str, a: &Value, b: &Value, all: &mut Vec<Unlike>) {
    match (a, b) {
        (Value::Object(a), Value::Object(b)) => {
            for (name, one) in a {
                let what = if what.is_empty() { name.clone() } else { format!("{what}.{name}") };
                differences(&what, one, b.get(name).unwrap_or(&Value::Null), all);
            }
        }
        _ if a == b => {}
        _ => all.push(Unlike { what: what.to_owned(), a: a.clone(), b: b.clone() }),
    }
}
