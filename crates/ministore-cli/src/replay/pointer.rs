//! JSON pointers (RFC 6901). Finds the bytes of a value in a record, without parsing numbers or reordering members.

use std::{borrow::Cow, fmt};

use serde::{
    Deserializer,
    de::{DeserializeSeed, Error, IgnoredAny, MapAccess, SeqAccess, Visitor},
};
use serde_json::value::RawValue;

/// A parsed pointer, such as `/a/0/b`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Pointer {
    tokens: Vec<String>,
}

impl Pointer {
    pub(super) fn parse(text: &str) -> Result<Self, String> {
        let Some(tokens) = text.strip_prefix('/') else {
            let empty = Self { tokens: Vec::new() };
            return if text.is_empty() {
                Ok(empty)
            } else {
                Err("a JSON pointer begins with '/'".to_owned())
            };
        };
        let tokens = tokens.split('/').map(unescape).collect::<Option<_>>();
        tokens
            .map(|tokens| Self { tokens })
            .ok_or_else(|| "'~' is written '~0', and '/' in a name '~1'".to_owned())
    }

    /// Returns the value in this JSON, if it exists. Of several members with the same name, the last one counts.
    pub(super) fn find<'a>(&self, json: &'a RawValue) -> Option<&'a RawValue> {
        self.tokens.iter().try_fold(json, |value, token| member(value, token))
    }
}

fn unescape(token: &str) -> Option<String> {
    let mut parts = token.split('~');
    let mut text = parts.next().unwrap_or_default().to_owned();
    for part in parts {
        let rest = part.strip_prefix('0').map(|rest| ('~', rest));
        let (escaped, rest) = rest.or_else(|| part.strip_prefix('1').map(|rest| ('/', rest)))?;
        text.push(escaped);
        text.push_str(rest);
    }
    Some(text)
}

fn member<'a>(value: &'a RawValue, token: &str) -> Option<&'a RawValue> {
    let mut json = serde_json::Deserializer::from_str(value.get());
    // The rest of the record is not validated: it was valid JSON when it was appended.
    match value.get().bytes().next()? {
        b'{' => json.deserialize_map(MemberVisitor(token)).ok()?,
        b'[' => json.deserialize_seq(ElementVisitor(index(token)?)).ok()?,
        _ => None,
    }
}

/// Parses the index of an element. A sign or a leading zero is invalid.
fn index(token: &str) -> Option<usize> {
    let digits = token.bytes().all(|byte| byte.is_ascii_digit());
    let leading_zero = token.len() > 1 && token.starts_with('0');
    if digits && !leading_zero { token.parse().ok() } else { None }
}

/// Returns the value of the member with this name.
struct MemberVisitor<'t>(&'t str);

impl<'de> Visitor<'de> for MemberVisitor<'_> {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, mut members: A) -> Result<Self::Value, A::Error> {
        let mut found = None;
        while let Some(is_match) = members.next_key_seed(NameMatcher(self.0))? {
            if is_match {
                found = Some(members.next_value()?);
            } else {
                members.next_value::<IgnoredAny>()?;
            }
        }
        Ok(found)
    }
}

/// Returns the element with this index.
struct ElementVisitor(usize);

impl<'de> Visitor<'de> for ElementVisitor {
    type Value = Option<&'de RawValue>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("an array")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut elements: A) -> Result<Self::Value, A::Error> {
        for _ in 0..self.0 {
            if elements.next_element::<IgnoredAny>()?.is_none() {
                return Ok(None);
            }
        }
        let found = elements.next_element()?;
        while elements.next_element::<IgnoredAny>()?.is_some() {}
        Ok(found)
    }
}

/// Compares a name with this one without copying it.
struct NameMatcher<'t>(&'t str);

impl<'de> DeserializeSeed<'de> for NameMatcher<'_> {
    type Value = bool;

    fn deserialize<D: Deserializer<'de>>(self, name: D) -> Result<bool, D::Error> {
        name.deserialize_str(self)
    }
}

impl Visitor<'_> for NameMatcher<'_> {
    type Value = bool;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str("a name")
    }

    fn visit_str<E: Error>(self, name: &str) -> Result<bool, E> {
        Ok(name == self.0)
    }
}

/// Formats it as on the command line.
impl fmt::Display for Pointer {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.tokens.iter().try_for_each(|token| write!(f, "/{}", escape(token)))
    }
}

fn escape(token: &str) -> Cow<'_, str> {
    if token.contains(['~', '/']) { token.replace('~', "~0").replace('/', "~1").into() } else { token.into() }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use serde_json::Value;

    use super::*;

    fn found(pointer: &str, json: &str) -> Option<String> {
        let json: Box<RawValue> = serde_json::from_str(json).unwrap();
        Pointer::parse(pointer).unwrap().find(&json).map(|value| value.get().to_owned())
    }

    /// The examples of RFC 6901, section 5.
    #[test]
    fn rfc_6901_examples_are_resolved() {
        let document = r#"{ "foo": ["bar", "baz"], "": 0, "a/b": 1, "c%d": 2, "e^f": 3, "g|h": 4, "i\\j": 5, "k\"l": 6, " ": 7, "m~n": 8 }"#;
        let cases = [
            ("", document),
            ("/foo", r#"["bar", "baz"]"#),
            ("/foo/0", "\"bar\""),
            ("/", "0"),
            ("/a~1b", "1"),
            ("/c%d", "2"),
            ("/e^f", "3"),
            ("/g|h", "4"),
            ("/i\\j", "5"),
            ("/k\"l", "6"),
            ("/ ", "7"),
            ("/m~0n", "8"),
        ];
        for (pointer, value) in cases {
            assert_eq!(found(pointer, document).as_deref(), Some(value), "{pointer}");
        }
    }

    #[test]
    fn value_bytes_are_unchanged() {
        assert_eq!(
            found("/a", r#"{"a": {"z": 1.50, "b":12345678901234567890123}}"#).unwrap(),
            r#"{"z": 1.50, "b":12345678901234567890123}"#
        );
        assert_eq!(found("/ä", r#"{"\u00e4": "\u00e4"}"#).unwrap(), r#""\u00e4""#);
        assert_eq!(found("/a", r#"{"a": 1, "a": 2}"#).unwrap(), "2", "the last counts");
    }

    #[test]
    fn missing_value_is_not_found() {
        for (pointer, json) in [
            ("/a", "1"),
            ("/a", "[1]"),
            ("/-", "[1]"),
            ("/01", "[1, 2]"),
            ("/1", "[1]"),
            ("/+0", "[1]"),
            ("/a/b", "{\"a\":null}"),
        ] {
            assert_eq!(found(pointer, json), None, "{pointer} in {json}");
        }
    }

    #[test]
    fn invalid_pointer_is_rejected() {
        for text in ["a", "/~", "/~2", "/a~"] {
            assert!(Pointer::parse(text).is_err(), "{text}");
        }
        for text in ["", "/", "/a~1b~0", "//"] {
            assert_eq!(Pointer::parse(text).unwrap().to_string(), text);
        }
    }

    fn value() -> impl Strategy<Value = Value> {
        let leaf = prop_oneof![
            Just(Value::Null),
            any::<bool>().prop_map(Value::from),
            any::<i64>().prop_map(Value::from),
            "[a-c~/\"]{0,2}".prop_map(Value::from)
        ];
        leaf.prop_recursive(3, 20, 4, |inner| {
            prop_oneof![
                prop::collection::vec(inner.clone(), 0..4).prop_map(Value::from),
                prop::collection::vec(("[a-c~/\"]{0,1}", inner), 0..4)
                    .prop_map(|members| Value::Object(members.into_iter().collect())),
            ]
        })
    }

    proptest! {
        #[test]
        fn result_equals_that_of_parsed_value(value in value(), tokens in prop::collection::vec("[a-c~/\"0-2]{0,1}", 0..4)) {
            let pointer: String = tokens.iter().map(|token| format!("/{}", escape(token))).collect();
            let expected = value.pointer(&pointer);
            let found = found(&pointer, &value.to_string()).map(|json| serde_json::from_str(&json).unwrap());
            prop_assert_eq!(found.as_ref(), expected, "{}", pointer);
        }
    }
}
