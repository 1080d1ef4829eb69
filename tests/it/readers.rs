//! All kinds of readers of a journal that is open, closed, crashed or recovered.

use std::{
    io::{BufRead, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use futures_lite::StreamExt;
use ministore_uring::{Header, JournalOptions, MiniStoreError, Reader};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json, value::RawValue};

use crate::support::{
    NAME, TempJournal, block_on, for_each_backend, legacy_replay, numbered, print_notice, replay, seal_ends,
};

fn records() -> Vec<Value> {
    let texts = (0..30).map(|n| json!({"n": n, "text": "ü\t\"\n\u{2028}".repeat(n)}));
    texts.chain([json!(null), json!(1.5), json!("bare"), json!([])]).collect()
}

/// Calls `check` with the same records in an open, a closed, a crashed and a recovered journal.
fn in_every_state(options: &JournalOptions, check: impl Fn(&str, &Path)) {
    let open = TempJournal::new();
    let store = options.clone().open_blocking(open.path()).unwrap();
    for (index, record) in records().iter().enumerate() {
        store.blocking().append(record).unwrap();
        if index == 17 {
            store.blocking().rotate().unwrap();
        }
    }
    check("open", open.path());
    let crashed = TempJournal::of(&open.files());
    check("crashed", crashed.path());
    store.blocking().close().unwrap();
    check("closed", open.path());
    // The first append overwrites the last LF of the file with padding.
    let mut files = crashed.files();
    tear_last_group(files.get_mut(NAME).unwrap());
    let recovered = TempJournal::of(&files);
    let store = options.clone().open_blocking(recovered.path()).unwrap();
    assert!(store.open_report().truncated.is_some());
    store.blocking().append(records().last().unwrap()).unwrap();
    check("recovered", recovered.path());
}

fn for_each_header(test: impl Fn(&JournalOptions)) {
    for_each_backend(|options| {
        for header in [Header::Comment, Header::Json] {
            test(&options.clone().header(header));
        }
    });
}

/// Erases a part of the last group, as a crash during its commit does.
fn tear_last_group(bytes: &mut [u8]) {
    let end = seal_ends(bytes).pop().unwrap();
    bytes[end - 20..end].fill(b' ');
}

/// Returns every line of both files of the journal except for the headers.
fn record_lines(path: &Path) -> Vec<u8> {
    let mut lines = Vec::new();
    for file in [path.with_extension("jsonl.001"), path.to_path_buf()] {
        let bytes = std::fs::read(file).unwrap();
        let start = bytes.iter().position(|&b| b == b'\n').map_or(bytes.len(), |at| at + 1);
        lines.extend_from_slice(&bytes[start..]);
        if lines.last() != Some(&b'\n') {
            lines.push(b'\n');
        }
    }
    lines
}

/// Pipes the lines through a program; `None` if it is not installed.
fn pipe_through(program: &str, args: &[&str], lines: &[u8]) -> Option<Vec<Value>> {
    let started = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        print_notice(&format!("SKIPPED: reading with {program}: not installed"));
        return None;
    };
    let mut input = child.stdin.take().unwrap();
    let lines = lines.to_vec();
    let writer = thread::spawn(move || input.write_all(&lines));
    let output = child.wait_with_output().unwrap();
    writer.join().unwrap().unwrap();
    assert!(output.status.success(), "{program}: {output:?}");
    Some(output.stdout.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect())
}

fn replay_parallel<R: serde::de::DeserializeOwned + Send + 'static>(
    path: &Path,
) -> Result<Vec<R>, MiniStoreError> {
    block_on(Reader::open(path).unwrap().replay_parallel())
}

/// Reads the records from `seq` on as raw records, and checks that none is copied.
fn raw_records(path: &Path, seq: u64) -> Vec<(u64, Value)> {
    let mut lines = Reader::open(path).unwrap().raw_records_from(seq);
    let mut read = Vec::new();
    while let Some(line) = lines.next_record().unwrap() {
        let raw: &RawValue = line.parse().unwrap();
        assert_eq!((raw.get().as_bytes(), raw.get().as_ptr()), (line.json, line.json.as_ptr()), "copied");
        read.push((line.seq, serde_json::from_str(raw.get()).unwrap()));
    }
    read
}

#[test]
fn ministore_0_1_7_reads_every_state() {
    for_each_backend(|options| {
        in_every_state(&options, |state, path| {
            assert_eq!(legacy_replay::<Value>(path).unwrap(), records(), "{state}");
        });
    });
}

#[test]
fn every_reader_reads_every_state() {
    for_each_header(|options| {
        in_every_state(options, |state, path| {
            assert_eq!(replay::<Value>(path).unwrap(), records(), "{state}");
            assert_eq!(replay_parallel::<Value>(path).unwrap(), records(), "{state}");
            let expected: Vec<_> = (1..).zip(records()).collect();
            assert_eq!(numbered::<Value>(path).unwrap(), expected, "{state}");
            assert_eq!(raw_records(path, 0), expected, "{state}");
        });
    });
}

#[test]
fn jq_reads_every_line() {
    for_each_backend(|options| {
        in_every_state(&options, |state, path| {
            if let Some(read) = pipe_through("jq", &["-c", "."], &record_lines(path)) {
                assert_eq!(read, records(), "{state}");
            }
        });
    });
}

#[test]
fn python_reads_every_line() {
    let script = "import sys, json\nfor line in sys.stdin.buffer: print(json.dumps(json.loads(line)))";
    for_each_backend(|options| {
        in_every_state(&options, |state, path| {
            if let Some(read) = pipe_through("python3", &["-c", script], &record_lines(path)) {
                assert_eq!(read, records(), "{state}");
            }
        });
    });
}

#[test]
fn line_reader_reads_every_line() {
    for_each_header(|options| {
        in_every_state(options, |state, path| {
            let lines = record_lines(path);
            let read: Vec<Value> =
                lines.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
            assert_eq!(read, records(), "{state}");
        });
    });
}

#[test]
fn reading_starts_at_any_seq() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for n in 1..=12u64 {
            store.blocking().append(&n).unwrap();
            if n % 4 == 0 {
                store.blocking().rotate().unwrap();
            }
        }
        for from in 0..=14 {
            let read: Vec<_> = Reader::open(journal.path())
                .unwrap()
                .records_from::<u64>(from)
                .map(|record| record.map(|record| (record.seq, record.value)).unwrap())
                .collect();
            let expected: Vec<_> = (from.max(1)..=12).map(|n| (n, n)).collect();
            assert_eq!(read, expected, "from {from}");
            let read: Vec<_> = raw_records(journal.path(), from).into_iter().map(|(seq, _)| seq).collect();
            assert!(read.into_iter().eq(from.max(1)..=12), "lines from {from}");
        }
    });
}

#[test]
fn records_are_a_stream_on_any_executor() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch(1..=1000u64).unwrap();
        let read: Vec<u64> = block_on(
            Reader::open(journal.path())
                .unwrap()
                .records_stream::<u64>(901)
                .map(|record| record.map(|record| record.seq).unwrap())
                .collect(),
        );
        assert_eq!(read, (901..=1000).collect::<Vec<_>>());
        // Dropped before its end: its thread must not wait for the dropped stream.
        let mut dropped = Reader::open(journal.path()).unwrap().records_stream::<u64>(0);
        assert_eq!(block_on(dropped.next()).unwrap().unwrap().value, 1);
        drop(dropped);
    });
}

#[test]
fn unparsable_record_is_reported_and_next_is_read() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([json!(1), json!("two"), json!(3)]).unwrap();
        let read: Vec<_> = Reader::open(journal.path())
            .unwrap()
            .records::<u64>()
            .map(|record| match record {
                Ok(record) => Ok(record.value),
                Err(MiniStoreError::Record { seq, line, segment, .. }) => {
                    assert_eq!(segment, journal.path());
                    Err((seq, line))
                }
                Err(other) => panic!("{other}"),
            })
            .collect();
        assert_eq!(read, [Ok(1), Err((2, 3)), Ok(3)]);
        let mut lines = Reader::open(journal.path()).unwrap().raw_records();
        lines.next_record().unwrap();
        let error = lines.next_record().unwrap().unwrap().parse::<u64>().unwrap_err();
        assert!(matches!(error, MiniStoreError::Record { seq: 2, line: 3, .. }), "{error:?}");
        assert_eq!(lines.next_record().unwrap().unwrap().parse::<u64>().unwrap(), 3);
    });
}

#[test]
fn group_larger_than_the_buffer_is_read() {
    for_each_backend(|options| {
        let journal = TempJournal::new();
        let store = options.max_segment_bytes(64 << 20).open_blocking(journal.path()).unwrap();
        let text = |n: u8| char::from(b'a' + n).to_string().repeat(1 << 20);
        store.blocking().append(&"before").unwrap();
        assert_eq!(store.blocking().append_batch((0..9).map(text)).unwrap(), 2..11);
        store.blocking().append(&"after").unwrap();
        let read = numbered::<String>(journal.path()).unwrap();
        assert_eq!(read.len(), 11);
        assert!((0..9).all(|n| read[usize::from(n) + 1] == (u64::from(n) + 2, text(n))));
        assert_eq!(read[10], (11, "after".into()));
        let replayed = replay_parallel::<String>(journal.path()).unwrap();
        assert!(replayed.iter().eq(read.iter().map(|(_, text)| text)));
    });
}

/// Writes a journal of several segments and more blocks than threads, with one record of another type.
fn long_journal(options: &JournalOptions, odd: u64, count: u64) -> TempJournal {
    let journal = TempJournal::new();
    let store = options.clone().open_blocking(journal.path()).unwrap();
    for first in (1..=count).step_by(1000) {
        let numbers = first..(first + 1000).min(count + 1);
        let texts = numbers.map(|n| if n == odd { json!("odd") } else { json!([n, "x".repeat(200)]) });
        store.blocking().append_batch(texts).unwrap();
    }
    store.blocking().close().unwrap();
    journal
}

#[test]
fn parallel_replay_is_ordered_until_first_error() {
    const COUNT: u64 = 9_000;
    let options = JournalOptions::new().max_segment_bytes(1 << 20);
    let journal = long_journal(&options, 0, COUNT);
    let replayed = replay_parallel::<(u64, String)>(journal.path()).unwrap();
    assert!(replayed.iter().map(|(n, _)| *n).eq(1..=COUNT));
    for odd in [1, 2, COUNT / 2, COUNT] {
        let journal = long_journal(&options, odd, COUNT);
        let [one_by_one, parallel] =
            [replay::<(u64, String)>(journal.path()), replay_parallel(journal.path())].map(|replayed| {
                match replayed {
                    Err(MiniStoreError::Deserialize { line, source }) => (line as u64, source.to_string()),
                    other => panic!("{odd}: {:?} records", other.map(|all| all.len())),
                }
            });
        assert_eq!(one_by_one.0, odd + 1);
        assert_eq!(parallel, one_by_one);
    }
}

#[test]
fn parallel_replay_reports_faults_in_order() {
    let options = JournalOptions::new().max_segment_bytes(1 << 20);
    for (odd, parse_fault_first) in [(5, true), (0, false)] {
        let journal = long_journal(&options, odd, 9_000);
        let mut files = journal.files();
        let newest = files.get_mut(NAME).unwrap();
        let at = newest.len() / 2;
        newest[at] ^= 1;
        let damaged = TempJournal::of(&files);
        let fault = replay_parallel::<(u64, String)>(damaged.path()).unwrap_err();
        assert_eq!(
            matches!(fault, MiniStoreError::Deserialize { line: 6, .. }),
            parse_fault_first,
            "{fault}"
        );
        assert_eq!(matches!(fault, MiniStoreError::Corrupt { .. }), !parse_fault_first, "{fault}");
        let one_by_one = replay::<(u64, String)>(damaged.path()).unwrap_err();
        assert_eq!(fault.to_string(), one_by_one.to_string());
    }
}

/// A record type that panics while one record is parsed.
#[derive(Debug)]
struct PanicsOnParse;

impl<'de> Deserialize<'de> for PanicsOnParse {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, _) = <(u64, String)>::deserialize(deserializer)?;
        assert_ne!(number, 6_000, "panic in a test");
        Ok(Self)
    }
}

#[test]
fn parallel_replay_propagates_panics() {
    let journal = long_journal(&JournalOptions::new(), 0, 9_000);
    let path = journal.path().to_path_buf();
    let replayed = thread::spawn(move || replay_parallel::<PanicsOnParse>(&path).map(|all| all.len())).join();
    let panic = replayed.expect_err("some records are missing");
    assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains("panic in a test")));
}
