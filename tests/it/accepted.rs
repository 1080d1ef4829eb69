//! Every reader can parse every accepted record; other records are rejected and not written.

mod serialize;

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

use crate::support::{TempJournal, for_each_backend, legacy_replay, print_notice, replay, tokio_run};

fn nested(open: &str, close: &str, levels: usize) -> String {
    format!("{}1{}", open.repeat(levels), close.repeat(levels))
}

/// Returns texts that are JSON by its grammar but that some readers cannot parse, with the offset of the problem.
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

/// Returns unusual texts that are accepted.
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

fn position_of<T: std::fmt::Debug>(rejected: ministore_uring::Result<T>) -> (usize, u64, usize) {
    match rejected {
        Err(MiniStoreError::InvalidJson { offset, line, column, .. }) => (offset, line, column),
        other => panic!("{other:?}"),
    }
}

#[test]
fn unreadable_json_is_rejected_by_every_call() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        let (blocking, good) = (store.blocking(), raw("0"));
        for (json, offset) in unreadable() {
            let (bytes, value) = (Bytes::from(json.clone()), raw(&json));
            let first = (offset, 1, offset + 1);
            assert_eq!(position_of(blocking.append_json(bytes.clone())), first, "{json}");
            assert_eq!(position_of(Append::json(bytes.clone())), first, "{json}");
            assert_eq!(position_of(blocking.append(&value)), first, "{json}");
            assert_eq!(position_of(blocking.submit(&value)), first, "{json}");
            assert_eq!(position_of(Append::record(&value)), first, "{json}");
            let second = (offset, 2, offset + 1);
            assert_eq!(position_of(blocking.append_batch([&good, &value])), second, "{json}");
            assert_eq!(position_of(Append::batch([&good, &value])), second, "{json}");
            let (offset, line, column) = position_of(blocking.append(&("deeper", &value)));
            assert!(offset >= "[\"deeper\",".len() && (line, column) == (1, offset + 1), "{json}");
            let spaced = Bytes::from(format!(" \t{json} "));
            assert_eq!(position_of(blocking.append_json(spaced)), (second.0 + 2, 1, second.2 + 2), "{json}");
            let mut batch = JsonBatch::new();
            batch.push(b"0").unwrap();
            assert_eq!(position_of(batch.push(json.as_bytes())), second, "{json}");
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
        let journal = TempJournal::new();
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
        check_all_readers(&journal, &lines);
    });
}

/// Appends random JSON-like texts. All readers must be able to parse the accepted ones.
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
    let journal = TempJournal::new();
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
    check_all_readers(&journal, &lines);
}

/// Checks that the journal contains these lines only and that every reader parses them.
fn check_all_readers(journal: &TempJournal, lines: &[String]) {
    let values: Vec<Value> = lines.iter().map(|line| serde_json::from_str(line).unwrap()).collect();
    assert_eq!(replay::<Value>(journal.path()).unwrap(), values);
    assert_eq!(tokio_run(MiniStore::replay::<Value, _>(journal.path())).unwrap(), values);
    assert_eq!(legacy_replay::<Value>(journal.path()).unwrap(), values);
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
            print_notice(&format!("SKIPPED: reading with {program}: it is not installed"));
            continue;
        };
        child.stdin.take().unwrap().write_all(records).unwrap();
        let output = child.wait_with_output().unwrap();
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(String::from_utf8_lossy(&output.stdout).trim(), count, "{program}: {errors}");
    }
}
