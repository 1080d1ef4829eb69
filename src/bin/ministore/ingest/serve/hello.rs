//! Owns the first line of a client that has something to say to the service itself. Pure.
//!
//! Line 1 of a connection, and only that, is a hello if it is an object with the one key `ministore`: then it is never
//! data, whatever stands in it. A client whose data could begin so sends a hello before it.

use std::collections::BTreeMap;

use serde::Deserialize;
use serde_json::value::RawValue;

const KEY: &str = "ministore";

/// What a client wants to be told.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Acks {
    /// Nothing, but why it is disconnected.
    #[default]
    None,
    /// A line for each record.
    Record,
    /// A line for each batch, as the service made them.
    Batch,
}

impl Acks {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::None => "none",
            Self::Record => "record",
            Self::Batch => "batch",
        }
    }
}

/// What stands in the hello.
#[derive(Debug, PartialEq, Eq, Default, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct Hello {
    #[serde(default)]
    pub(super) ack: Acks,
    #[serde(default)]
    pub(super) token: Option<String>,
}

/// `None`: the line is data. `Some(Err)`: it is a hello that cannot be understood.
pub(super) fn read(first_line: &[u8]) -> Option<Result<Hello, String>> {
    let object: BTreeMap<String, &RawValue> = serde_json::from_slice(first_line).ok()?;
    let hello = object.get(KEY).filter(|_| object.len() == 1)?;
    Some(serde_json::from_str(hello.get()).map_err(|error| {
        let reason = error.to_string();
        reason.rsplit_once(" at line ").map_or(&*reason, |(reason, _)| reason).to_owned()
    }))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asks(ack: Acks) -> Option<Result<Hello, String>> {
        Some(Ok(Hello { ack, token: None }))
    }

    #[test]
    fn a_hello_is_an_object_with_one_key() {
        assert_eq!(read(br#"{"ministore":{}}"#), asks(Acks::None));
        assert_eq!(read(br#" { "ministore" : {"ack":"record"} } "#), asks(Acks::Record));
        assert_eq!(read(br#"{"mini\u0073tore":{"ack":"batch"}}"#), asks(Acks::Batch));
        let token = read(br#"{"ministore":{"token":"abc"}}"#).unwrap().unwrap().token;
        assert_eq!(token.as_deref(), Some("abc"));
    }

    #[test]
    fn data_is_not_taken_for_a_hello() {
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
    fn a_hello_that_is_not_understood_is_never_data() {
        for line in [r#"{"ministore":1}"#, r#"{"ministore":{"ack":"all"}}"#, r#"{"ministore":{"tokens":""}}"#]
        {
            let reason = read(line.as_bytes()).unwrap().unwrap_err();
            assert!(!reason.contains("line"), "{reason}");
        }
    }
}
