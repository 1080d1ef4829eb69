//! Accepted records can be read by everything that reads a journal; everything else is rejected and not written.

use std::{
    cell::Cell,
    io::Write,
    process::{Command, Stdio},
};

use bytes::Bytes;
use ministore_uring::{Append, JsonBatch, MiniStore, MiniStoreError, PendingAppend, maintenance};
use proptest::{
    collection::vec,
    prelude::*,
    strategy::ValueTree,
    test_runner::{Config, TestRunner},
};
use serde::{
    Serialize, Serializer,
    ser::{SerializeMap, SerializeSeq, SerializeStruct},
};
use serde_json::{Value, value::RawValue};

use crate::support::{Journal, for_each_backend, original_replay, replay, shout, tokio_run};

fn nested(open: &str, close: &str, levels: usize) -> String {
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}

/// JSON by its grammar that not every reader can parse, and where it fails.
fn unreadable() -> Vec<(String, usize)> {
    vec![
        (r#"{"name":"\ud83d"}"#.into(), 9),
        (r#"{"\udc00":1}"#.into(), 2),
        (r#"["\ude00\ud83d"]"#.into(), 2),
        ("1e400".into(), 0),
        (r#"{"a":[-1e400]}"#.into(), 6),
        (format!("[{}]", "9".repeat(400)), 1),
        (nested("[", "]", 128), 127),
        (nested(r#"{"a":"#, "}", 128), 127 * 5),
        (r#"{"$serde_json::private::RawValue":1}"#.into(), 1),
        (r#"[{"$serde_json::private::Number":"1e400"}]"#.into(), 2),
    ]
}

/// At the edge, and accepted.
fn readable() -> Vec<String> {
    [
        r#"{"name":"\ud83d\ude00","\uD83D\uDE00":"\u0000\uFFFF\u007f"}"#,
        "[1e308,-1e308,1.7976931348623157e308,1e-400,-0,0e999,-0.0]",
        "[18446744073709551615,18446744073709551616,-9223372036854775808,-9223372036854775809]",
        r#"{"a":1,"a":2,"":"\u2028"}"#,
        "\"\u{feff}\u{2028}\u{7f}\u{fffe}\"",
        r#"{"b":1,"$serde_json::private::RawValue":2}"#,
        "null",
    ]
    .map(String::from)
    .into_iter()
    .chain([nested("[", "]", 127), nested(r#"{"a":"#, "}", 127), "9".repeat(308)])
    .collect()
}

fn raw(json: &str) -> Box<RawValue> {
    RawValue::from_string(json.to_owned()).unwrap()
}

fn place_of<T: std::fmt::Debug>(refused: ministore_uring::Result<T>) -> (usize, u64, usize) {
    match refused {
        Err(MiniStoreError::InvalidJson { offset, line, column, .. }) => (offset, line, column),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unreadable_json_is_rejected_by_every_call() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let (blocking, good) = (store.blocking(), raw("0"));
        for (json, offset) in unreadable() {
            let (bytes, value) = (Bytes::from(json.clone()), raw(&json));
            let first = (offset, 1, offset + 1);
            assert_eq!(place_of(blocking.append_json(bytes.clone())), first, "{json}");
            assert_eq!(place_of(Append::json(bytes.clone())), first, "{json}");
            assert_eq!(place_of(blocking.append(&value)), first, "{json}");
            assert_eq!(place_of(blocking.submit(&value)), first, "{json}");
            assert_eq!(place_of(Append::record(&value)), first, "{json}");
            let second = (offset, 2, offset + 1);
            assert_eq!(place_of(blocking.append_batch([&good, &value])), second, "{json}");
            assert_eq!(place_of(Append::batch([&good, &value])), second, "{json}");
            let (offset, line, column) = place_of(blocking.append(&("deeper", &value)));
            assert!(offset >= "[\"deeper\",".len() && (line, column) == (1, offset + 1), "{json}");
            let spaced = Bytes::from(format!(" \t{json} "));
            assert_eq!(place_of(blocking.append_json(spaced)), (second.0 + 2, 1, second.2 + 2), "{json}");
            let mut batch = JsonBatch::new();
            batch.push(b"0").unwrap();
            assert_eq!(place_of(batch.push(json.as_bytes())), second, "{json}");
            assert_eq!((batch.records(), batch.bytes()), (1, 1), "{json}");
        }
        assert_eq!(store.durable_seq(), 0);
        assert_eq!(blocking.append_json("1").unwrap(), 1);
        blocking.close().unwrap();
        assert_eq!(replay::<Value>(journal.path()).unwrap(), [1]);
    });
}

#[test]
fn invalid_json_says_line_and_column() {
    let error = JsonBatch::new().push(br#"{"name":"\ud83d"}"#).unwrap_err();
    assert_eq!(error.to_string(), "invalid JSON record: a lone surrogate in a string at line 1 column 10");
    assert_eq!(error.write_outcome(), ministore_uring::WriteOutcome::NotWritten);
}

#[test]
fn edge_values_are_accepted_and_read_by_all() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let (mut lines, mut batch) = (Vec::new(), JsonBatch::new());
        for json in readable() {
            store.blocking().append_json(Bytes::from(json.clone())).unwrap();
            store.blocking().append(&raw(&json)).unwrap();
            batch.push(json.as_bytes()).unwrap();
            lines.extend([json.clone(), json]);
        }
        store.blocking().send(Append::json_batch(batch)).and_then(PendingAppend::wait).unwrap();
        lines.extend(readable());
        store.blocking().close().unwrap();
        read_by_all(&journal, &lines);
    });
}

/// JSON-like texts; those that are accepted must be readable.
#[test]
fn every_accepted_text_is_read_by_all() {
    let piece = prop_oneof![
        8 => prop::sample::select(vec![
            "{", "}", "[", "]", ",", ":", "\"", "\"a\":", "\"\\ud83d\"", "\"\\ud83d\\ude00\"", "\"\\u0000\"", "1e400",
            "-1e308", "1E+3", "-0", "0.1", "99999999999999999999", "true", "null", " ", "\t", "\u{feff}", "\"é\"",
            "\"\u{7f}\"", "{\"a\":[]}", "{}", "\"$serde_json::private::RawValue\":",
        ]).prop_map(String::from),
        1 => any::<String>().prop_map(|text| serde_json::json!(text).to_string()),
        1 => any::<f64>().prop_map(|number| serde_json::json!(number).to_string()),
        1 => "[0-9]{1,30}([.][0-9]{1,30})?([eE][+-]?[0-9]{1,3})?",
    ];
    let text = prop_oneof![
        vec(piece.clone(), 1..6).prop_map(|pieces| pieces.concat()),
        vec(piece.clone(), 0..6).prop_map(|pieces| format!("[{}]", pieces.join(","))),
        vec(piece, 0..6).prop_map(|pieces| {
            format!(
                "{{{}}}",
                pieces.iter().map(|piece| format!("\"k\":{piece}")).collect::<Vec<_>>().join(",")
            )
        }),
    ];
    let mut runner = TestRunner::deterministic();
    let texts: Vec<String> = (0..6000).map(|_| text.new_tree(&mut runner).unwrap().current()).collect();
    let journal = Journal::new();
    let store = ministore_uring::JournalOptions::new().open_blocking(journal.path()).unwrap();
    let (mut lines, mut batch) = (Vec::new(), JsonBatch::new());
    for text in texts {
        let is_value = serde_json::from_str::<Value>(&text).is_ok();
        let accepted = batch.push(text.as_bytes());
        if accepted.is_ok() {
            assert!(is_value, "{text}");
            lines.push(text.trim().to_owned());
        } else {
            assert!(!is_value || text.contains('\n') || text.contains("$serde_json"), "{text}: {accepted:?}");
        }
    }
    assert!((1000..5000).contains(&lines.len()), "{}", lines.len());
    store.blocking().send(Append::json_batch(batch)).and_then(PendingAppend::wait).unwrap();
    store.blocking().close().unwrap();
    read_by_all(&journal, &lines);
}

/// The journal contains just these lines, and every reader parses them.
fn read_by_all(journal: &Journal, lines: &[String]) {
    let values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replay::<Value>(journal.path()).unwrap(), values);
    assert_eq!(tokio_run(MiniStore::replay::<Value, _>(journal.path())).unwrap(), values);
    assert_eq!(original_replay::<Value>(journal.path()).unwrap(), values);
    assert!(maintenance::verify(journal.path()).unwrap().faults.is_empty());
    let bytes = journal.bytes();
    let records = &bytes[bytes.iter().position(|&byte| byte == b'\n').unwrap() + 1..];
    let count = lines.len().to_string();
    let python = "import sys, json\nn = 0\nfor line in sys.stdin.buffer: json.loads(line); n += 1\nprint(n)";
    for (program, args) in [("jq", vec!["-n", "[inputs | 1] | length"]), ("python3", vec!["-c", python])] {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let Ok(mut child) = child else {
            shout(&format!("SKIPPED: reading with {program}: it is not installed"));
            continue;
        };
        child.stdin.take().unwrap().write_all(records).unwrap();
        let output = child.wait_with_output().unwrap();
        let told = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), count, "{program}: {told}");
    }
}

/// The name of the struct that `RawValue` serializes as.
const RAW: &str = "$serde_json::private::RawValue";

/// A raw value of any text.
struct Raw(Vec<&'static str>);

impl Serialize for Raw {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let mut raw = serializer.serialize_struct(RAW, self.0.len())?;
        for text in &self.0 {
            raw.serialize_field(RAW, text)?;
        }
        raw.end()
    }
}

#[test]
fn serialize_without_a_value_is_rejected() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for texts in [vec![], vec![""], vec!["   "], vec!["\n"], vec!["", " "]] {
            let nothing = Raw(texts);
            let refused = store.blocking().append(&nothing);
            let Err(MiniStoreError::InvalidJson { reason, .. }) = &refused else { panic!("{refused:?}") };
            assert_eq!(reason, "empty: there is no JSON value");
            place_of(store.blocking().append_batch([&Raw(vec!["1"]), &nothing]));
            place_of(Append::record(&nothing));
            place_of(store.blocking().append(&("in a list", &nothing)));
            place_of(store.blocking().append(&std::collections::BTreeMap::from([("key", &nothing)])));
            place_of(store.blocking().append(&[Raw(vec!["1"]), Raw(vec![])]));
        }
        for texts in [vec!["1", " 2"], vec!["{"], vec!["nope"], vec!["1\n2"]] {
            place_of(store.blocking().append(&Raw(texts)));
        }
        // Of several fragments that are one value together.
        store.blocking().append(&Raw(vec!["[1", "\n", "]  "])).unwrap();
        assert_eq!(replay::<Value>(journal.path()).unwrap(), [serde_json::json!([1])]);
        assert!(journal.bytes().windows(4).any(|line| line == b"[1 ]"));
    });
}

/// Fails after some output, or before any.
struct Fails(bool);

impl Serialize for Fails {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        if self.0 {
            let mut list = serializer.serialize_seq(None)?;
            list.serialize_element(&1)?;
        }
        Err(serde::ser::Error::custom("no"))
    }
}

/// Ignores the errors of what it contains, or forgets a part.
struct Careless<'a>(&'a Cell<u32>);

impl Serialize for Careless<'_> {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        let case = self.0.get();
        if case < 2 {
            let mut list = serializer.serialize_seq(None)?;
            list.serialize_element(&Fails(case == 0)).ok();
            list.serialize_element(&2)?;
            return list.end();
        }
        let mut map = serializer.serialize_map(None)?;
        match case {
            2 | 3 => drop(map.serialize_entry("a", &Fails(case == 2))),
            4 => drop(map.serialize_key(&Fails(false))),
            5 => drop(map.serialize_key(&[1])),
            6 => map.serialize_key("a")?,
            7 => map.serialize_value(&1)?,
            _ => {
                map.serialize_key("a")?;
                map.serialize_key("b")?;
                map.serialize_value(&1)?;
            }
        }
        if [0, 2, 4, 5, 6, 8].contains(&case) {
            map.serialize_entry("c", &3)?;
        }
        map.end()
    }
}

#[test]
fn careless_serialize_never_writes_invalid_json() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let case = Cell::new(0);
        for number in 0..9 {
            case.set(number);
            let text = serde_json::to_string(&Careless(&case)).unwrap();
            assert!(serde_json::from_str::<Value>(&text).is_err(), "case {number} is harmless: {text}");
            place_of(store.blocking().append(&Careless(&case)));
            place_of(store.blocking().append(&[Careless(&case), Careless(&case)]));
            place_of(store.blocking().append_batch([Careless(&case)]));
        }
        assert_eq!(store.durable_seq(), 0);
    });
}

/// Lists or maps in each other.
enum Deep {
    List(u32),
    Map(u32),
    Variant(u32),
}

impl Serialize for Deep {
    fn serialize<S: Serializer>(&self, serializer: S) -> Result<S::Ok, S::Error> {
        match *self {
            Self::List(0) | Self::Map(0) | Self::Variant(0) => serializer.serialize_u8(1),
            Self::List(levels) => serializer.collect_seq([Self::List(levels - 1)]),
            Self::Map(levels) => serializer.collect_map([(levels, Self::Map(levels - 1))]),
            Self::Variant(levels) => {
                serializer.serialize_newtype_variant("Deep", 0, "V", &Self::Variant(levels - 1))
            }
        }
    }
}

#[test]
fn typed_nesting_is_limited_to_127_levels() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for deep in [Deep::List, Deep::Map, Deep::Variant] {
            store.blocking().append(&deep(127)).unwrap();
            place_of(store.blocking().append(&deep(128)));
            place_of(store.blocking().append_batch([deep(1), deep(500)]));
            store.blocking().append(&[deep(126), deep(126)]).unwrap();
            place_of(store.blocking().append(&[deep(1), deep(127)]));
        }
        store.blocking().append(&vec![vec![[0_u8; 0]; 300]; 2]).unwrap();
        assert_eq!(original_replay::<Value>(journal.path()).unwrap().len(), 7);
        assert_eq!(replay::<Value>(journal.path()).unwrap().len(), 7);
    });
}

#[test]
fn typed_extremes_are_accepted_and_read_by_all() {
    let journal = Journal::new();
    let store = ministore_uring::JournalOptions::new().open_blocking(journal.path()).unwrap();
    let floats = [f64::MAX, f64::MIN, f64::MIN_POSITIVE, -0.0, f64::NAN, f64::INFINITY, 5e-324];
    store.blocking().append(&floats).unwrap();
    store.blocking().append(&(f32::MAX, u128::MAX, i128::MIN, u64::MAX, i64::MIN)).unwrap();
    store
        .blocking()
        .append(&std::collections::BTreeMap::from([("$", 1), ("$ref", 2), ("a\"\n\u{0}", 3)]))
        .unwrap();
    store.blocking().append(&std::collections::BTreeMap::from([(u128::MAX, ())])).unwrap();
    let reserved = std::collections::BTreeMap::from([(RAW, 1)]);
    place_of(store.blocking().append(&reserved));
    let mut config = Config::with_cases(1000);
    config.failure_persistence = None;
    let numbers = |store: &MiniStore| {
        TestRunner::new(config).run(&any::<(f64, f32, i128)>(), |number| {
            drop(store.blocking().submit(&number).unwrap());
            Ok(())
        })
    };
    numbers(&store).unwrap();
    store.blocking().close().unwrap();
    let bytes = journal.bytes();
    let lines = String::from_utf8(bytes).unwrap();
    let lines: Vec<_> = lines.lines().skip(1).map(|line| line.trim_end().to_owned()).collect();
    assert_eq!(lines.len(), 1004);
    read_by_all(&journal, &lines);
}
