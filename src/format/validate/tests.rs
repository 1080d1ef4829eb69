use proptest::{collection::vec, prelude::*, sample::select};

use super::*;
use crate::internals::fuzz;

fn rejection(json: &str) -> (usize, String) {
    let Rejection { offset, reason } = check(json.as_bytes(), NESTING_LEVELS_MAX).unwrap_err();
    (offset, reason.into_owned())
}

fn nested(open: &str, inner: &str, close: &str, levels: usize) -> String {
    format!("{}{inner}{}", open.repeat(levels), close.repeat(levels))
}

/// Checks against `serde_json::Value`, as JSON text and as a `RawValue`.
fn assert_agrees_with_value(json: &[u8]) {
    fuzz::encode(json);
}

#[test]
fn rejection_names_first_invalid_byte() {
    for (json, offset, reason) in [
        (r#"{"name":"\ud83d"}"#, 9, "a lone surrogate in a string"),
        (r#"{"\ud83d":1}"#, 2, "a lone surrogate in a string"),
        (r#""\udc00""#, 1, "a lone surrogate in a string"),
        (r#""\ud83d\ud83d""#, 1, "a lone surrogate in a string"),
        (r#""\ud83dx""#, 1, "a lone surrogate in a string"),
        (r#""\ud83d\n""#, 1, "a lone surrogate in a string"),
        ("[1,1e400]", 3, "number out of range"),
        ("-1e400", 0, "number out of range"),
        ("\"a\u{1}\"", 2, "a control character inside a string"),
        ("\u{feff}1", 0, "expected value"),
        ("[1,\n2]", 3, "a line feed inside the value"),
        ("\"a\nb\"", 2, "a line feed inside the value"),
        (r#"{"$serde_json::private::RawValue":"1"}"#, 1, "a first key that serde_json reserves for itself"),
        (
            r#"[{"\u0024serde_json::private::Number":"1"}]"#,
            2,
            "a first key that serde_json reserves for itself",
        ),
        ("", 0, "empty: there is no JSON value"),
        ("{\"a\":1", 5, "EOF while parsing an object"),
        ("[1,]", 3, "expected value"),
        ("{\"a\":1,}", 7, "key must be a string"),
        ("01", 1, "invalid number"),
        ("-", 0, "EOF while parsing a value"),
        ("1.x", 2, "invalid number"),
        ("nul", 2, "EOF while parsing a value"),
        ("\"\\x\"", 2, "invalid escape"),
    ] {
        assert_eq!(rejection(json), (offset, reason.to_owned()), "{json}");
    }
}

#[test]
fn nesting_is_accepted_up_to_limit() {
    for (open, close) in [("[", "]"), ("{\"a\":", "}"), ("[{\"a\":", "}]")] {
        let levels_each = open.matches(['[', '{']).count();
        for levels in 126..=130 {
            let json = nested(open, "1", close, levels / levels_each);
            let levels = levels / levels_each * levels_each;
            assert_eq!(check(json.as_bytes(), NESTING_LEVELS_MAX).is_ok(), levels <= 127, "{json}");
            assert_agrees_with_value(json.as_bytes());
        }
    }
    for inner in ["", "[]", "{}", "1,2", "[],[]"] {
        for levels in 125..=129 {
            assert_agrees_with_value(nested("[", inner, "]", levels).as_bytes());
        }
    }
}

#[test]
fn lower_nesting_limit_is_applied() {
    assert_eq!(check(b"[[1]]", 2), Ok(()));
    assert!(check(b"[[1]]", 1).is_err() && check(b"[]", 0).is_err());
    assert_eq!(check(b"1", 0), Ok(()));
}

#[test]
fn long_numbers_agree_with_value() {
    let digits = |count: usize| "9".repeat(count);
    let zeros = |count: usize| "0".repeat(count);
    let mut numbers: Vec<String> = [
        "1e308",
        "1e309",
        "1.7976931348623157e308",
        "1.7976931348623159e308",
        "17976931348623157e292",
        "1e-400",
        "0e400",
        "-0",
        "-0.0e999999999999",
        "1e99999999999999999999",
        "1e-99999999999999999999",
        "18446744073709551616",
        "-9223372036854775809",
        "1e0000000000000000001",
        "1E+308",
        "1E+310",
        "0.1e309",
        "0.01e309",
    ]
    .map(String::from)
    .into();
    for count in [199, 200, 201, 308, 309, 310, 5000] {
        numbers.extend([
            digits(count),
            format!("1{}", zeros(count)),
            format!("0.{}1e{}", zeros(count), count + 300),
            format!("0.{}1e{}", zeros(count), count + 320),
            format!("1{}e-{count}", zeros(count)),
            format!("1.{}", digits(count)),
        ]);
    }
    for number in numbers {
        assert_agrees_with_value(number.as_bytes());
        assert_agrees_with_value(format!("-{number}").as_bytes());
        assert_agrees_with_value(format!("[{number}]").as_bytes());
    }
}

/// Numbers near the largest may round up to infinity: no parser rounds an accepted one so.
#[test]
fn numbers_near_the_largest_are_finite_if_accepted() {
    for last in 0..100_000 {
        let number = format!("1.797693134862{last:05}e308");
        let is_accepted = check(number.as_bytes(), NESTING_LEVELS_MAX).is_ok();
        let is_finite = number.parse::<f64>().is_ok_and(f64::is_finite);
        let is_value = serde_json::from_str::<serde_json::Value>(&number).is_ok();
        assert_eq!(is_accepted, is_finite && is_value, "{number}");
    }
}

#[test]
fn every_byte_in_any_context_agrees_with_value() {
    let contexts: [(&str, &str); 9] = [
        ("", ""),
        ("[1", "2]"),
        ("\"", "\""),
        ("\"\\", "0000\""),
        ("{\"a\"", "1}"),
        ("[", "1]"),
        ("1", "1"),
        ("\"\\u00", "1\""),
        ("\"1234567", "\""),
    ];
    for byte in 0..=u8::MAX {
        for (before, after) in contexts {
            assert_agrees_with_value(&[before.as_bytes(), &[byte], after.as_bytes()].concat());
        }
    }
}

#[test]
fn every_pair_of_escapes_agrees_with_value() {
    let units =
        ["0000", "0022", "d7ff", "d800", "dbff", "dc00", "dfff", "e000", "FFFF", "DbFf", "12g4", "+123"];
    for first in units {
        assert_agrees_with_value(format!("\"\\u{first}\"").as_bytes());
        assert_agrees_with_value(format!("{{\"\\u{first}\":1}}").as_bytes());
        for second in units {
            assert_agrees_with_value(format!("\"\\u{first}\\u{second}\"").as_bytes());
        }
    }
}

/// Generates pieces of JSON, valid and invalid.
fn piece() -> impl Strategy<Value = Vec<u8>> {
    let pieces: [&[u8]; 40] = [
        b"{",
        b"}",
        b"[",
        b"]",
        b",",
        b":",
        b"\"",
        b"\\",
        b" ",
        b"\t",
        b"\r",
        b"\n",
        b"0",
        b"-",
        b"1",
        b"9.5",
        b"e",
        b"E+",
        b".",
        b"1e400",
        b"-1e400",
        b"1e308",
        b"true",
        b"false",
        b"null",
        b"nul",
        b"\"a\":",
        b"\"b\"",
        b"\\ud83d",
        b"\\ude00",
        b"\\u0000",
        b"\\n",
        b"\xff",
        "\u{e4}".as_bytes(),
        b"\x01",
        "\u{feff}".as_bytes(),
        b"{\"a\":1}",
        b"[]",
        b"\"$serde_json::private::RawValue\":",
        b"99999999999999999999",
    ];
    select(pieces.map(<[u8]>::to_vec).to_vec())
}

/// Generates valid JSON text.
fn valid() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        select(vec!["null", "true", "-0", "1.5e10", "18446744073709551615", "\"\"", "{}", "[]"])
            .prop_map(String::from),
        any::<f64>().prop_map(|number| serde_json::json!(number).to_string()),
        any::<i64>().prop_map(|number| number.to_string()),
        any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
        vec(any::<u16>(), 0..4).prop_map(|units| {
            format!("\"{}\"", units.iter().map(|unit| format!("\\u{unit:04x}")).collect::<String>())
        }),
    ];
    leaf.prop_recursive(6, 40, 5, |inner| {
        prop_oneof![
            vec(inner.clone(), 0..5).prop_map(|elements| format!("[{}]", elements.join(" , "))),
            vec(("[a-z$\\\\]{0,3}", inner), 0..5).prop_map(|members| {
                let member = |(key, value): &(String, String)| format!("{}:{value}", serde_json::json!(key));
                format!("{{{}}}", members.iter().map(member).collect::<Vec<_>>().join(","))
            }),
        ]
    })
}

proptest! {
    #[test]
    fn pieces_of_json_agree_with_value(pieces in vec(piece(), 0..16)) {
        assert_agrees_with_value(&pieces.concat());
    }

    #[test]
    fn valid_json_agrees_with_value(json in valid()) {
        assert_agrees_with_value(json.as_bytes());
    }

    #[test]
    fn changed_json_agrees_with_value(json in valid(), at in any::<prop::sample::Index>(), piece in piece(), truncate: bool) {
        let mut json = json.into_bytes();
        let at = at.index(json.len());
        if truncate {
            json.truncate(at);
        }
        json.splice(at..at, piece);
        assert_agrees_with_value(&json);
    }
}
