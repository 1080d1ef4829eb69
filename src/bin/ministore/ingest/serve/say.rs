//! Owns what the service says to a client: one JSON object a line. Pure.

use std::ops::RangeInclusive;

use ministore_uring::{MiniStoreError, RecordFate};
use serde_json::json;

use super::hello::Acks;

/// The answer to a hello.
pub(super) fn welcome(acks: Acks, line_bytes_max: usize) -> String {
    line(&json!({ "ok": { "ack": acks.name(), "max_line_bytes": line_bytes_max } }))
}

/// A record is durable.
pub(super) fn record(seq: u64, line: u64) -> String {
    format!("{{\"ok\":{seq},\"line\":{line}}}\n")
}

/// A batch is durable: the numbers of its first and its last record, and the line of the last one.
pub(super) fn batch(seqs: &RangeInclusive<u64>, line: u64) -> String {
    format!("{{\"ok\":[{},{}],\"line\":{line}}}\n", seqs.start(), seqs.end())
}

/// What becomes of a bad line, and of the connection.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Then {
    Closed,
    Skipped,
    Quarantined,
}

impl Then {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Closed => "closed",
            Self::Skipped => "skipped",
            Self::Quarantined => "quarantined",
        }
    }
}

/// A line is no record.
pub(super) fn bad(number: u64, reason: &str, then: Then) -> String {
    line(&json!({ "error": reason, "line": number, "record": "not written", "then": then.name() }))
}

/// Records that were accepted did not become durable; the connection is closed.
pub(super) fn failed(error: &MiniStoreError, lines: &RangeInclusive<u64>) -> String {
    let fate = match error.record_fate() {
        RecordFate::NotWritten => "not written",
        _ => "unknown",
    };
    let (line_first, line_last) = (lines.start(), lines.end());
    line(&json!({
        "error": error.to_string(), "line": line_first, "last_line": line_last, "record": fate, "then": "closed",
    }))
}

/// The connection is closed; `next` is the first line that was not taken.
pub(super) fn closing(reason: &str, next: u64) -> String {
    line(&json!({ "error": reason, "line": next, "then": "closed" }))
}

fn line(value: &serde_json::Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_answer_is_one_line_of_json() {
        let answers = [
            welcome(Acks::Record, 1024),
            record(7, 2),
            batch(&(7..=9), 4),
            bad(3, "not JSON: \"quoted\"\n", Then::Skipped),
            failed(&MiniStoreError::Busy, &(1..=2)),
            closing("the service ends", 5),
        ];
        for answer in answers {
            let text = answer.strip_suffix('\n').unwrap();
            assert!(
                !text.contains('\n') && serde_json::from_str::<serde_json::Value>(text).is_ok(),
                "{text}"
            );
        }
    }
}
