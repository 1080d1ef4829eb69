use std::convert::Infallible;

use super::*;

/// Returns the parts of a line; a removed one begins with its reason.
fn parts(text: &str) -> Vec<String> {
    let is_record = |value: &[u8]| crate::ingest::line::check(value).is_ok();
    let mut parts = Vec::new();
    let report = |part: LinePart| {
        parts.push(match (part.removed, &text[part.range]) {
            (None, record) => record.to_owned(),
            (Some(reason), removed) => format!("{reason:?} {removed}"),
        });
        Ok::<(), Infallible>(())
    };
    split(text.as_bytes(), true, &is_record, report).unwrap();
    parts
}

#[test]
fn whole_line_is_kept() {
    for line in ["1", r#""a""#, "null", "[1]", r#"{"a":[1,{}]}"#, " \t{} \r"] {
        assert_eq!(parts(line), [line.trim()], "{line}");
    }
    assert_eq!([parts(""), parts(" \t\r")], [[""; 0]; 2]);
}

#[test]
fn objects_and_arrays_are_split() {
    assert_eq!(parts(r#"{"a":1}{"b":"}{"} {}"#), [r#"{"a":1}"#, r#"{"b":"}{"}"#, "{}"]);
    assert_eq!(parts("[1][2]"), ["[1]", "[2]"]);
    for line in ["1 2", "true false", r#""a""b""#] {
        assert_eq!(parts(line), [format!("Fragment {line}")], "other values are not split");
    }
}

#[test]
fn text_around_a_record_is_removed() {
    assert_eq!(parts(r#"{"a":1} and more"#), [r#"{"a":1}"#, "Fragment and more"]);
    assert_eq!(parts(r#"{"a":1},"#), [r#"{"a":1}"#, "Fragment ,"]);
    assert_eq!(parts(r#"I0722 x.go] {"a":1}"#), ["Fragment I0722 x.go]", r#"{"a":1}"#]);
    assert_eq!(parts(r#"x {"a":1} y"#), [r#"Fragment x {"a":1} y"#], "the text may quote it");
    assert_eq!(parts(r#"[12] {"a":1}"#), ["Fragment [12]", r#"{"a":1}"#]);
    assert_eq!(
        parts("\u{feff}{}\u{feff} {}"),
        ["ByteOrderMark \u{feff}", "{}", "ByteOrderMark \u{feff}", "{}"]
    );
}

#[test]
fn record_after_a_torn_one_is_kept() {
    let expected = |torn: &str| [format!("Fragment {torn}"), r#"{"d":3}"#.to_owned()];
    for torn in [r#"{"a":1,"b":{"c":2}"#, r#"{"a":"te"#, r#"{"a":"x: "#, "{", r#"st","z":1}"#, r#"{"a":1}}"#]
    {
        let line = format!(r#"{torn}{{"d":3}}"#);
        assert_eq!(parts(&line), expected(torn.trim_end()), "{line}");
    }
    let line = r#"{"a":1{"b":2}{"c":3}{"d"#;
    assert_eq!(parts(line), [r#"Fragment {"a":1"#, r#"{"b":2}"#, r#"{"c":3}"#, r#"Fragment {"d"#]);
}

/// A value inside a torn record was never a record.
#[test]
fn nested_value_is_not_kept() {
    for line in [
        r#"{"a":1,"b":{"c":2}"#,
        r#"{"a":{"c":2}"#,
        r#"{"c":2},"d":1}"#,
        r#"{"c":2}}"#,
        r#"{"c":2}]}"#,
        r#"x","b":{"c":2}}"#,
        r#"x","b":[{"c":2},{"d":3}"#,
        r#"{"a":1,,"b":{"c":2}}"#,
        r#"{"a":1,"b" {"c":2}}"#,
        r#"{"text":"say {"c":2}"}"#,
        r#"a","text":"{\"c\":2}"#,
    ] {
        assert_eq!(parts(line), [format!("Fragment {line}")], "{line}");
    }
}

#[test]
fn value_that_no_journal_accepts_is_removed() {
    let bad = r#"{"a":"\ud800"}"#;
    assert_eq!(parts(bad), [format!("NotARecord {bad}")]);
    assert_eq!(parts(&format!("{bad}{{}}")), [format!("NotARecord {bad}"), "{}".to_owned()]);
    assert_eq!(parts(r#"{"a":1.2.3}{}"#), [r#"NotARecord {"a":1.2.3}"#, "{}"]);
}

#[test]
fn work_is_linear_in_the_input() {
    for (unit, end) in [
        ("{", ""),
        ("[", ""),
        (r#"{""#, ""),
        (r#"{"a":"#, ""),
        (r#"{"a":"{"#, ""),
        (r#""{   "#, ""),
        (r#"{"{"#, ""),
        (r#"{"a":1}"#, ""),
        (r#"{"a":1}"#, "]"),
        (r#"{"a":1},"#, ""),
        (r#"{"a":1}x"#, ""),
        (r#"{"a":1"#, ""),
        (r#"{"a":"\"#, ""),
        (r#"x{"a":{"b":1}"#, "}"),
        ("{ ", r#""a":1}"#),
        ("[1]", "x"),
    ] {
        let text = unit.repeat(5000) + end;
        let (is_record, report) = (|_: &[u8]| true, |_| Ok::<(), Infallible>(()));
        let mut splitter =
            Splitter { text: text.as_bytes(), is_record: &is_record, report, done: 0, examined: 0 };
        splitter.run(false).unwrap();
        let bytes = text.len();
        assert!(splitter.examined <= EXAMINED_MAX * bytes, "{unit}: {} of {bytes}", splitter.examined);
    }
}
