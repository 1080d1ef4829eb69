//! Cases modelled on public reports, and property tests.

#![allow(clippy::print_stderr, reason = "tests")]

use std::{fs, path::Path};

use proptest::{collection::vec, prelude::*, sample::select};

use super::{Damage, Reason, RepairEvent, properties};

fn is_record(value: &[u8]) -> bool {
    crate::ingest::line::check(value).is_ok()
}

/// Returns the records of an input and what was removed from it, with reasons.
fn repair(input: &str) -> (Vec<String>, Vec<(Reason, String)>, Damage) {
    let (mut records, mut removed) = (Vec::new(), Vec::new());
    let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
    let mut report = |event: RepairEvent<'_>| {
        match event {
            RepairEvent::Record { record, .. } => records.push(text(record)),
            RepairEvent::Removed { reason, bytes, .. } => removed.push((reason, text(bytes))),
            RepairEvent::NulBytes { length, .. } => removed.push((Reason::NulBytes, length.to_string())),
            RepairEvent::LongLine { piece, .. } => removed.push((Reason::TooLong, text(piece))),
        }
        Ok::<(), std::convert::Infallible>(())
    };
    let mut repair = super::LineRepair::new(1000, is_record);
    repair.push(input.as_bytes(), &mut report).unwrap();
    let damage = repair.finish(&mut report).unwrap();
    properties::check(input.as_bytes(), 7, 1000, is_record);
    (records, removed, damage)
}

#[track_caller]
fn assert_repaired(input: &str, records: &[&str], removed: &[(Reason, &str)]) -> Damage {
    let (found, found_removed, damage) = repair(input);
    assert_eq!(found, records);
    assert_eq!(found_removed.iter().map(|(reason, text)| (*reason, &**text)).collect::<Vec<_>>(), removed);
    assert!(!damage.is_none());
    damage
}

/// github.com/igrigorik/gharchive.org/issues/17, github.com/Appsilon/shiny.telemetry/issues/199: records without LF between
/// them, and a blank line for each LF that was written later.
#[test]
fn fused_records_are_split() {
    let input = "{\"a\":[1],\"user\":[\"test user\"]}{\"a\":[2],\"user\":[\"}{\"]}\n\n{\"a\":[3]}\n";
    let records = ["{\"a\":[1],\"user\":[\"test user\"]}", "{\"a\":[2],\"user\":[\"}{\"]}", "{\"a\":[3]}"];
    let damage = assert_repaired(input, &records, &[]);
    assert_eq!((damage.lines, damage.split_lines, damage.records), (3, 1, 3));
}

/// github.com/gastownhall/gascity/issues/5336: after an unclean shutdown the tail of the file is NUL bytes, and the next start
/// appends its first record to them.
#[test]
fn record_after_nul_bytes_is_kept() {
    let nul = "\0".repeat(300);
    let input = format!("{{\"seq\":1}}\n{nul}{{\"seq\":2,\"type\":\"controller.started\"}}\n{{\"seq\":3}}\n");
    let records = ["{\"seq\":1}", "{\"seq\":2,\"type\":\"controller.started\"}", "{\"seq\":3}"];
    assert_repaired(&input, &records, &[(Reason::NulBytes, "300")]);
}

/// github.com/docker/for-linux/issues/140, github.com/logrotate/logrotate/issues/286: the file begins with a hole that is longer
/// than any line, because its writer did not notice that the file was truncated.
#[test]
fn hole_longer_than_any_line_is_removed() {
    let input = format!("{}{{\"log\":\"I0722 06:25\\n\"}}\n", "\0".repeat(5000));
    assert_repaired(&input, &["{\"log\":\"I0722 06:25\\n\"}"], &[(Reason::NulBytes, "5000")]);
}

/// github.com/justrach/codegraff/issues/242: holes in the middle, and a record without its beginning.
#[test]
fn record_with_a_hole_is_removed() {
    let input = "{\"ev\":\"a\",\"detail\":\"co\0\0\0\0cting\"}\n,\"ev\":\"ws\",\"detail\":\"connecting\"}\n{\"ev\":\"b\"}\n";
    assert_repaired(
        input,
        &["{\"ev\":\"b\"}"],
        &[
            (Reason::Fragment, "{\"ev\":\"a\",\"detail\":\"co"),
            (Reason::NulBytes, "4"),
            (Reason::Fragment, "cting\"}"),
            (Reason::Fragment, ",\"ev\":\"ws\",\"detail\":\"connecting\"}"),
        ],
    );
}

/// github.com/Tracer-Cloud/opensre/issues/5750: the next record is appended to a last line that a crash has torn.
#[test]
fn record_appended_to_a_torn_one_is_kept() {
    let torn = "{\"id\": \"partial\", \"type\": \"custom_message\", \"text\": \"tor";
    let next = "{\"id\": \"c1\", \"text\": \"after-the-crash\"}";
    assert_repaired(&format!("{torn}{next}\n"), &[next], &[(Reason::Fragment, torn)]);
}

/// github.com/PrimeIntellect-ai/prime-agent/pull/1785: a torn last line. A number may be torn, too.
#[test]
fn torn_last_line_is_removed() {
    assert_repaired(
        "{\"n\":1}\n{\"n\":2,\"o\":{\"p\":3}",
        &["{\"n\":1}"],
        &[(Reason::Fragment, "{\"n\":2,\"o\":{\"p\":3}")],
    );
    assert_repaired("1\n12", &["1"], &[(Reason::Fragment, "12")]);
    let (records, removed, damage) = repair("{\"n\":1}\n{\"n\":2}");
    assert_eq!((records.len(), removed.len(), damage.lines, damage.is_none()), (2, 0, 2, true));
}

/// github.com/anima-research/animachat/issues/121, github.com/serilog/serilog-sinks-file/issues/99: a record is written in the
/// middle of another one, whose end is on the next line.
#[test]
fn interleaved_record_is_kept() {
    let (start, inner, end) =
        ("{\"t\":1,\"text\":\"one ", "{\"t\":2,\"by\":{\"id\":\"x\"}}", "two\",\"by\":{\"id\":\"y\"}}");
    assert_repaired(
        &format!("{start}{inner}\n{end}\n"),
        &[inner],
        &[(Reason::Fragment, start.trim_end()), (Reason::Fragment, end)],
    );
}

/// github.com/PrismorSec/prismor/pull/197: welded records, the last of which is torn.
#[test]
fn record_before_a_torn_one_is_kept() {
    let (whole, torn) = ("{\"path\": \"/tmp/on.png\"}", "{\"ts\": \"2026-07-15T07:5");
    assert_repaired(&format!("{whole}{torn}\n"), &[whole], &[(Reason::Fragment, torn)]);
}

/// github.com/wbolster/jsonlines/issues/68, github.com/vercel/vercel/issues/393: files of Windows programs, also several in one.
#[test]
fn bom_and_crlf_are_removed() {
    let mark = (Reason::ByteOrderMark, "\u{feff}");
    let input = "\u{feff}{\"a\":1}\r\n{\"a\":2}\r\n\u{feff}{\"a\":3}\r\n7\r\n";
    let damage = assert_repaired(input, &["{\"a\":1}", "{\"a\":2}", "{\"a\":3}", "7"], &[mark, mark]);
    assert_eq!((damage.crlf_lines, damage.lines), (4, 4));
    assert_repaired("{}\r\n", &["{}"], &[]);
}

#[test]
fn too_long_line_is_removed_in_pieces() {
    let long = "x".repeat(600);
    let input = format!("{{}}\n{long}\"{long}\n[]\n");
    let (records, removed, damage) = repair(&input);
    assert_eq!(records, ["{}", "[]"]);
    let text: String = removed.iter().map(|(_, text)| &**text).collect();
    assert_eq!(text, format!("{long}\"{long}"));
    let totals = damage.removed[&Reason::TooLong];
    assert_eq!((totals.parts, totals.bytes), (1, 1201));
}

#[test]
fn repair_lines_corpus_passes() {
    let corpus = Path::new(env!("CARGO_MANIFEST_DIR")).join("../../fuzz/corpus/repair_lines");
    let Ok(inputs) = fs::read_dir(corpus) else {
        eprintln!("\nSKIPPED: the inputs of repair_lines: a published crate has no fuzz/");
        return;
    };
    let mut count = 0;
    for input in inputs {
        properties::check_fuzzed(&fs::read(input.unwrap().path()).unwrap(), is_record);
        count += 1;
    }
    assert!(count > 10, "{count} inputs: the corpus is missing");
}

/// A line of a file, as it was written and as it is found.
#[derive(Debug, Clone)]
enum DamagedLine {
    Fused {
        records: Vec<String>,
        between: &'static str,
        end: &'static str,
    },
    /// Several records, of which the last is torn at this byte.
    Torn(Vec<String>, usize),
    /// The second record is written in the middle of the first.
    Interleaved(String, String, usize),
    /// NUL bytes replace a part of a record.
    Hole(String, usize, usize),
    Surrounded(&'static str, String, &'static str),
}

/// Objects with text that looks like JSON. No string begins with a colon, so that no text between two strings is an object.
fn record() -> impl Strategy<Value = String> {
    let text = || {
        select(&["", "a", "{", "}", "x{ ", "{\"a\":1}", "\\", "\"", "é", "[1,", "]", ", {", "\u{1}\t"])
            .prop_map(serde_json::Value::from)
    };
    let leaf = prop_oneof![text(), any::<i8>().prop_map(Into::into), Just(serde_json::Value::Null)];
    let value = leaf.prop_recursive(3, 12, 3, move |inner| {
        prop_oneof![
            vec(inner.clone(), 0..3).prop_map(serde_json::Value::from),
            vec((text(), inner), 0..3).prop_map(|members| {
                members.into_iter().map(|(key, value)| (key.as_str().unwrap().to_owned(), value)).collect()
            }),
        ]
    });
    // Different numbers, so that no record is mistaken for another one.
    (any::<u64>(), vec(value, 0..3)).prop_map(|(number, values)| {
        let members = ('a'..).map(String::from).zip(values);
        let members = std::iter::once(("n".to_owned(), number.into())).chain(members);
        members.collect::<serde_json::Value>().to_string()
    })
}

fn damaged_line() -> impl Strategy<Value = DamagedLine> {
    let end = select(&["\n", "\r\n", "\0\0\n", "\n\n", ",\n", " trailing text\n"][..]);
    let between = select(&["", " ", "\0", "\u{feff}"][..]);
    prop_oneof![
        (vec(record(), 1..4), between, end).prop_map(|(records, between, end)| DamagedLine::Fused {
            records,
            between,
            end
        }),
        (vec(record(), 1..3), any::<usize>()).prop_map(|(records, at)| DamagedLine::Torn(records, at)),
        (record(), record(), any::<usize>()).prop_map(|(a, b, at)| DamagedLine::Interleaved(a, b, at)),
        (record(), any::<usize>(), any::<usize>())
            .prop_map(|(a, at, length)| DamagedLine::Hole(a, at, length)),
        (select(&["", "\u{feff}", "\0", "text "][..]), record(), select(&["\n", "\0\0\0\n"][..]))
            .prop_map(|(before, record, end)| DamagedLine::Surrounded(before, record, end)),
    ]
}

/// Appends a line to a file, and its records: `true` if they must be found, `false` if they may.
fn write(line: &DamagedLine, file: &mut Vec<u8>, written: &mut Vec<(String, bool)>) {
    match line {
        DamagedLine::Fused { records, between, end } => {
            file.extend_from_slice((records.join(between) + end).as_bytes());
            written.extend(records.iter().map(|record| (record.clone(), true)));
        }
        DamagedLine::Torn(records, at) => {
            let text = records.concat();
            let last = &records[records.len() - 1];
            file.extend_from_slice(&text.as_bytes()[..text.len() - last.len() + at % last.len()]);
            file.push(b'\n');
            written.extend(records[..records.len() - 1].iter().map(|record| (record.clone(), true)));
        }
        DamagedLine::Interleaved(outer, inner, at) => {
            let (start, end) = outer.as_bytes().split_at(1 + at % (outer.len() - 1));
            for part in [start, inner.as_bytes(), b"\n", end, b"\n"] {
                file.extend_from_slice(part);
            }
            written.push((inner.clone(), false));
        }
        DamagedLine::Hole(record, at, length) => {
            let start = 1 + at % (record.len() - 1);
            let end = start + 1 + length % (record.len() - start);
            let mut bytes = record.as_bytes().to_vec();
            bytes[start..end.min(record.len())].fill(0);
            file.extend_from_slice(&bytes);
            file.push(b'\n');
        }
        DamagedLine::Surrounded(before, record, end) => {
            for part in [before, &**record, end] {
                file.extend_from_slice(part.as_bytes());
            }
            written.push((record.clone(), true));
        }
    }
}

proptest! {
    #![proptest_config(ProptestConfig { failure_persistence: None, ..ProptestConfig::with_cases(500) })]

    /// No record is invented, none that is whole is lost, and all other bytes are reported.
    #[test]
    fn records_of_a_damaged_file_are_found(lines in vec(damaged_line(), 0..6), chunk in 1_usize..40) {
        let (mut file, mut written) = (Vec::new(), Vec::new());
        lines.iter().for_each(|line| write(line, &mut file, &mut written));
        let mut found = properties::check(&file, chunk, 1 << 20, is_record).into_iter().peekable();
        for (record, is_certain) in written {
            let is_found = found.next_if(|found| *found == record.as_bytes()).is_some();
            prop_assert!(is_found || !is_certain, "lost {record} in {:?}", String::from_utf8_lossy(&file));
        }
        let invented = found.next();
        prop_assert!(invented.is_none(), "{invented:?} in {:?}", String::from_utf8_lossy(&file));
    }

    #[test]
    fn every_byte_of_any_input_is_reported(
        parts in vec(select(&["{", "}", "[", "]", "\"", ":", ",", "\\", "\\u", "1", "a", " ", "\r", "\n", "\0", "\u{feff}", "{\"a\":1}"][..]), 0..60),
        bytes in vec(any::<u8>(), 0..20),
        chunk in 1_usize..20,
        text_bytes_max in 1_usize..100,
    ) {
        let input = [parts.concat().into_bytes(), bytes].concat();
        // A record that is longer than the maximum would be removed from the repaired lines.
        let fits = |value: &[u8]| value.len() <= text_bytes_max && is_record(value);
        properties::check(&input, chunk, text_bytes_max, fits);
    }
}
