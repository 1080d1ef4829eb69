//! Encodes the responses to a client: one JSON object per line. Pure.

use std::ops::RangeInclusive;

use ministore_uring::{MiniStoreError, WriteOutcome};
use serde_json::json;

use super::handshake::AckMode;

/// The response to a handshake.
pub(super) fn hello(acks: AckMode, max_record_bytes: usize) -> String {
    line(&json!({ "ok": { "ack": acks, "max_record_bytes": max_record_bytes } }))
}

/// A record is durable.
pub(super) fn record(seq: u64, line: u64) -> String {
    format!("{{\"ok\":{seq},\"line\":{line}}}\n")
}

/// A batch is durable: the sequence numbers of its first and last record, and the line of the last one.
pub(super) fn batch(seqs: &RangeInclusive<u64>, line: u64) -> String {
    format!("{{\"ok\":[{},{}],\"line\":{line}}}\n", seqs.start(), seqs.end())
}

/// The action for a bad line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum BadLineAction {
    Disconnect,
    Skip,
    Quarantine,
}

impl BadLineAction {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Disconnect => "disconnect",
            Self::Skip => "skip",
            Self::Quarantine => "quarantine",
        }
    }
}

/// A line is not a record.
pub(super) fn bad(number: u64, reason: &str, action: BadLineAction) -> String {
    line(&json!({ "error": reason, "line": number, "write_outcome": "not_written", "action": action.name() }))
}

/// Records that were accepted did not become durable; the connection is closed.
pub(super) fn failed(error: &MiniStoreError, lines: &RangeInclusive<u64>) -> String {
    let write_outcome = match error.write_outcome() {
        WriteOutcome::NotWritten => "not_written",
        _ => "unknown",
    };
    let (line_first, line_last) = (lines.start(), lines.end());
    line(&json!({
        "error": error.to_string(), "line": line_first, "last_line": line_last, "write_outcome": write_outcome,
        "action": "disconnect",
    }))
}

/// The connection is closed; `next` is the first line that was not accepted.
pub(super) fn closing(reason: &str, next: u64) -> String {
    line(&json!({ "error": reason, "line": next, "action": "disconnect" }))
}

/// The response to an HTTP request, which is not a line of JSON.
pub(super) fn http_error(reason: &str) -> String {
    let length = reason.len() + 1;
    format!(
        "HTTP/1.1 400 Bad Request\r\nContent-Type: text/plain\r\nContent-Length: {length}\r\nConnection: close\r\n\r\n{reason}\n"
    )
}

fn line(value: &serde_json::Value) -> String {
    format!("{value}\n")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn response_is_one_line_of_json() {
        let answers = [
            hello(AckMode::Record, 1024),
            record(7, 2),
            batch(&(7..=9), 4),
            bad(3, "not JSON: \"quoted\"\n", BadLineAction::Skip),
            failed(&MiniStoreError::QueueFull, &(1..=2)),
            closing("the service is shutting down", 5),
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
