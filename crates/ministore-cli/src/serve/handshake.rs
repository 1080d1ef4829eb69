//! Parses the handshake, the first line of a client that requests acknowledgements or authenticates. Pure.
//!
//! Line 1 of a connection is a handshake if it is an object with the single key `ministore`; then it is never a record,
//! regardless of its value. A client whose data could start like that sends a handshake first.

use std::collections::BTreeMap;

use serde::{Deserialize, Serialize};
use serde_json::value::RawValue;

const KEY: &str = "ministore";

/// The acknowledgements that a client requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum AckMode {
    /// None, only the reason of a disconnect.
    #[default]
    None,
    /// One response per record.
    Record,
    /// One response per batch.
    Batch,
}

/// The content of a handshake.
#[derive(Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Handshake {
    #[serde(default)]
    pub(super) ack: AckMode,
    #[serde(default)]
    pub(super) token: Option<String>,
}

/// Returns `None` if the line is data and `Some(Err)` if it is an invalid handshake.
pub(super) fn read(first_line: &[u8]) -> Option<Result<Handshake, String>> {
    let object: BTreeMap<String, &RawValue> = serde_json::from_slice(first_line).ok()?;
    let handshake = object.get(KEY).filter(|_| object.len() == 1)?;
    Some(serde_json::from_str(handshake.get()).map_err(|error| {
        let reason = error.to_string();
        reason.rsplit_once(" at line ").map_or(&*reason, |(reason, _)| reason).to_owned()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn parsed(ack: AckMode) -> Option<Result<Handshake, String>> {
        Some(Ok(Handshake { ack, token: None }))
    }

    #[test]
    fn handshake_is_an_object_with_one_key() {
        assert_eq!(read(br#"{"ministore":{}}"#), parsed(AckMode::None));
        assert_eq!(read(br#" { "ministore" : {"ack":"record"} } "#), parsed(AckMode::Record));
        assert_eq!(read(br#"{"mini\u0073tore":{"ack":"batch"}}"#), parsed(AckMode::Batch));
        let token = read(br#"{"ministore":{"token":"abc"}}"#).unwrap().unwrap().token;
        assert_eq!(token.as_deref(), Some("abc"));
    }

    #[test]
    fn data_is_not_a_handshake() {
        let lines = [
            "{}",
            "1",
            "\"ministore\"",
            "[\"ministore\"]",
            r#"{"ministore":{},"n":1}"#,
            r#"{"a":{"ministore":{}}}"#,
            "{",
            "",
        ];
        for line in lines {
            assert_eq!(read(line.as_bytes()), None, "{line}");
        }
    }

    #[test]
    fn invalid_handshake_is_not_data() {
        for line in [r#"{"ministore":1}"#, r#"{"ministore":{"ack":"all"}}"#, r#"{"ministore":{"tokens":""}}"#]
        {
            let reason = read(line.as_bytes()).unwrap().unwrap_err();
            assert!(!reason.contains("line"), "{reason}");
        }
    }
}
