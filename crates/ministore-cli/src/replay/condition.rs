//! The conditions of `replay --where`.

use serde_json::{Number, Value, value::RawValue};

use super::pointer::Pointer;

/// `/type`: the value must exist; `/type="login"`: it must equal this value.
#[derive(Debug, Clone, PartialEq)]
pub(super) struct Condition {
    pointer: Pointer,
    /// `None`: any value.
    value: Option<Value>,
}

impl Condition {
    /// Parses a condition. A name may contain `=`: the value starts after the first `=` that is followed by JSON.
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some((_, after_first)) = text.split_once('=') else {
            return Ok(Self { pointer: Pointer::parse(text)?, value: None });
        };
        for (at, _) in text.match_indices('=') {
            if let Ok(value) = serde_json::from_str(&text[at + 1..]) {
                return Ok(Self { pointer: Pointer::parse(&text[..at])?, value: Some(value) });
            }
        }
        let quoted = Value::from(after_first);
        Err(format!(
            "'{after_first}' is not JSON: a string needs quotes, '{quoted}', and more quotes around them for the shell"
        ))
    }

    pub(super) fn holds(&self, json: &RawValue) -> bool {
        let Some(found) = self.pointer.find(json) else { return false };
        // A value that is nested too deeply to be parsed equals no value of a condition.
        let equals = |value| serde_json::from_str(found.get()).is_ok_and(|found| same(&found, value));
        self.value.as_ref().is_none_or(equals)
    }
}

/// Compares two values. JSON has one type of number: 1 equals 1.0.
fn same(one: &Value, other: &Value) -> bool {
    match (one, other) {
        (Value::Number(one), Value::Number(other)) => same_number(one, other),
        (Value::Array(one), Value::Array(other)) => {
            one.len() == other.len() && one.iter().zip(other).all(|(one, other)| same(one, other))
        }
        (Value::Object(one), Value::Object(other)) => {
            let in_other =
                |(name, value): (&String, &Value)| other.get(name).is_some_and(|other| same(value, other));
            one.len() == other.len() && one.iter().all(in_other)
        }
        _ => one == other,
    }
}

/// Compares integers exactly, other numbers as `f64`.
fn same_number(one: &Number, other: &Number) -> bool {
    let whole = |number: &Number| number.as_i64().map(i128::from).or_else(|| number.as_u64().map(i128::from));
    match (whole(one), whole(other)) {
        (Some(one), Some(other)) => one == other,
        _ => one.as_f64() == other.as_f64(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn holds(condition: &str, json: &str) -> bool {
        let json: Box<RawValue> = serde_json::from_str(json).unwrap();
        Condition::parse(condition).unwrap().holds(&json)
    }

    #[test]
    fn pointer_must_exist_and_value_must_match() {
        let json = r#"{"type": "log\u0069n", "n": 1, "deep": {"a": [1, 2.0]}, "x=y": null}"#;
        for condition in [
            "/type",
            "/type=\"login\"",
            "/n=1",
            "/n=1.0",
            "/n=10e-1",
            "/deep={\"a\":[1.0,2]}",
            "/x=y=null",
            "/x=y",
        ] {
            // The value of the last one is not JSON.
            let expected = condition != "/x=y";
            assert_eq!(
                Condition::parse(condition)
                    .is_ok_and(|it| it.holds(&serde_json::from_str::<Box<RawValue>>(json).unwrap())),
                expected,
                "{condition}"
            );
        }
        for condition in [
            "/other",
            "/type=\"Login\"",
            "/n=\"1\"",
            "/n=2",
            "/deep={\"a\":[1]}",
            "/deep={\"a\":[1,2],\"b\":0}",
            "/type/0",
        ] {
            assert!(!holds(condition, json), "{condition}");
        }
    }

    #[test]
    fn large_whole_numbers_are_not_rounded() {
        assert!(!holds("/n=9007199254740993", r#"{"n":9007199254740992}"#));
        assert!(
            !holds("=18446744073709551615", "18446744073709551614")
                && holds("=18446744073709551615", "18446744073709551615")
        );
    }

    #[test]
    fn unquoted_text_is_rejected_with_suggestion() {
        let error = Condition::parse("/type=login").unwrap_err();
        assert!(error.contains("'\"login\"'"), "{error}");
        assert!(Condition::parse("type=1").is_err());
    }
}
