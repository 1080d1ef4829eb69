//! Readers of every kind, of a journal that is open, closed, crashed or recovered.

use std::{
    io::{BufRead, Write},
    path::Path,
    process::{Command, Stdio},
    thread,
};

use futures_lite::StreamExt;
use ministore_uring::{JournalOptions, MiniStoreError, Reader};
use serde::{Deserialize, Deserializer};
use serde_json::{Value, json, value::RawValue};

use crate::support::{
    Journal, NAME, block_on, for_each_backend, numbered, original_replay, replay, seal_ends, shout,
};

fn records() -> Vec<Value> {
    let texts = (0..30).map(|n| json!({"n": n, "text": "ü\t\"\n\u{2028}".repeat(n)}));
    texts.chain([json!(null), json!(1.5), json!("bare"), json!([])]).collect()
}

/// The same records in a journal that is open, one that is closed, one that crashed, and that one recovered.
fn in_every_state(options: &JournalOptions, check: impl Fn(&str, &Path)) {
    let open = Journal::new();
    let store = options.clone().open_blocking(open.path()).unwrap();
    for (index, record) in records().iter().enumerate() {
        store.blocking().append(record).unwrap();
        if index == 17 {
            store.blocking().rotate().unwrap();
        }
    }
    check("open", open.path());
    let crashed = Journal::of(&open.files());
    check("crashed", crashed.path());
    store.blocking().close().unwrap();
    check("closed", open.path());
    // A reader of lines may not have read the file's last LF just before it gives way to padding: that happens once,
    // at the first append.
    let mut files = crashed.files();
    cut_last_record(files.get_mut(NAME).unwrap());
    let recovered = Journal::of(&files);
    let store = options.clone().open_blocking(recovered.path()).unwrap();
    assert!(store.open_report().truncated.is_some());
    store.blocking().append(records().last().unwrap()).unwrap();
    check("recovered", recovered.path());
}

/// As if the crash had hit the last commit.
fn cut_last_record(bytes: &mut [u8]) {
    let end = seal_ends(bytes).pop().unwrap();
    bytes[end - 20..end].fill(b' ');
}

/// Every line after the first of every file of the journal.
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

/// What a program makes of the lines, or `None` where it is not installed.
fn through(program: &str, args: &[&str], lines: &[u8]) -> Option<Vec<Value>> {
    let started = Command::new(program).args(args).stdin(Stdio::piped()).stdout(Stdio::piped()).spawn();
    let Ok(mut child) = started else {
        shout(&format!("SKIPPED: reading with {program}: not installed"));
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

/// What the lines from `seq` on say, each read without copying.
fn lent(path: &Path, seq: u64) -> Vec<(u64, Value)> {
    let mut lines = Reader::open(path).unwrap().raw_records_from(seq);
    let mut seen = Vec::new();
    while let Some(line) = lines.next_record().unwrap() {
        let raw: &RawValue = line.parse().unwrap();
        assert_eq!((raw.get().as_bytes(), raw.get().as_ptr()), (line.json, line.json.as_ptr()), "copied");
        seen.push((line.seq, serde_json::from_str(raw.get()).unwrap()));
    }
    seen
}

#[test]
fn the_original_reads_a_journal_in_every_state() {
    for_each_backend(|options| {
        in_every_state(&options, |state, path| {
            assert_eq!(original_replay::<Value>(path).unwrap(), records(), "{state}");
        });
    });
}

#[test]
fn we_read_a_journal_in_every_state() {
    for_each_backend(|options| {
        in_every_state(&options, |state, path| {
            assert_eq!(replay::<Value>(path).unwrap(), records(), "{state}");
            assert_eq!(replay_parallel::<Value>(path).unwrap(), records(), "{state}");
            let expected: Vec<_> = (1..).zip(records()).collect();
            assert_eq!(numbered::<Value>(path).unwrap(), expected, "{state}");
            assert_eq!(lent(path, 0), expected, "{state}");
        });
    });
}

#[test]
fn jq_reads_every_line() {
    for_each_backend(|options| {
        in_every_state(&options, |state, path| {
            if let Some(seen) = through("jq", &["-c", "."], &record_lines(path)) {
                assert_eq!(seen, records(), "{state}");
            }
        });
    });
}

#[test]
fn python_reads_every_line() {
    let script = "import sys, json\nfor line in sys.stdin.buffer: print(json.dumps(json.loads(line)))";
    for_each_backend(|options| {
        in_every_state(&options, |state, path| {
            if let Some(seen) = through("python3", &["-c", script], &record_lines(path)) {
                assert_eq!(seen, records(), "{state}");
            }
        });
    });
}

#[test]
fn a_line_reader_reads_every_line() {
    for_each_backend(|options| {
        in_every_state(&options, |state, path| {
            let lines = record_lines(path);
            let seen: Vec<Value> =
                lines.lines().map(|line| serde_json::from_str(&line.unwrap()).unwrap()).collect();
            assert_eq!(seen, records(), "{state}");
        });
    });
}

#[test]
fn reading_starts_at_any_number() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        for n in 1..=12u64 {
            store.blocking().append(&n).unwrap();
            if n % 4 == 0 {
                store.blocking().rotate().unwrap();
            }
        }
        for from in 0..=14 {
            let seen: Vec<_> = Reader::open(journal.path())
                .unwrap()
                .records_from::<u64>(from)
                .map(|record| record.map(|record| (record.seq, record.value)).unwrap())
                .collect();
            let expected: Vec<_> = (from.max(1)..=12).map(|n| (n, n)).collect();
            assert_eq!(seen, expected, "from {from}");
            let seen: Vec<_> = lent(journal.path(), from).into_iter().map(|(seq, _)| seq).collect();
            assert!(seen.into_iter().eq(from.max(1)..=12), "lines from {from}");
        }
    });
}

#[test]
fn records_are_a_stream_on_any_executor() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch(1..=1000u64).unwrap();
        let seen: Vec<u64> = block_on(
            Reader::open(journal.path())
                .unwrap()
                .records_stream::<u64>(901)
                .map(|record| record.map(|record| record.seq).unwrap())
                .collect(),
        );
        assert_eq!(seen, (901..=1000).collect::<Vec<_>>());
        // Left before its end: its thread must not wait for a reader that is gone.
        let mut abandoned = Reader::open(journal.path()).unwrap().records_stream::<u64>(0);
        assert_eq!(block_on(abandoned.next()).unwrap().unwrap().value, 1);
        drop(abandoned);
    });
}

#[test]
fn unparsable_record_is_reported_and_next_is_read() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.open_blocking(journal.path()).unwrap();
        store.blocking().append_batch([json!(1), json!("two"), json!(3)]).unwrap();
        let seen: Vec<_> = Reader::open(journal.path())
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
        assert_eq!(seen, [Ok(1), Err((2, 3)), Ok(3)]);
        let mut lines = Reader::open(journal.path()).unwrap().raw_records();
        lines.next_record().unwrap();
        let error = lines.next_record().unwrap().unwrap().parse::<u64>().unwrap_err();
        assert!(matches!(error, MiniStoreError::Record { seq: 2, line: 3, .. }), "{error:?}");
        assert_eq!(lines.next_record().unwrap().unwrap().parse::<u64>().unwrap(), 3);
    });
}

#[test]
fn a_group_larger_than_a_reader_holds_is_read() {
    for_each_backend(|options| {
        let journal = Journal::new();
        let store = options.max_segment_bytes(64 << 20).open_blocking(journal.path()).unwrap();
        let text = |n: u8| char::from(b'a' + n).to_string().repeat(1 << 20);
        store.blocking().append(&"before").unwrap();
        assert_eq!(store.blocking().append_batch((0..9).map(text)).unwrap(), 2..11);
        store.blocking().append(&"behind").unwrap();
        let seen = numbered::<String>(journal.path()).unwrap();
        assert_eq!(seen.len(), 11);
        assert!((0..9).all(|n| seen[usize::from(n) + 1] == (u64::from(n) + 2, text(n))));
        assert_eq!(seen[10], (11, "behind".into()));
        let replayed = replay_parallel::<String>(journal.path()).unwrap();
        assert!(replayed.iter().eq(seen.iter().map(|(_, text)| text)));
    });
}

/// A journal of more blocks than there are threads, over three segments, with one record that is no number.
fn long_journal(options: &JournalOptions, odd: u64, count: u64) -> Journal {
    let journal = Journal::new();
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
fn a_parallel_replay_is_in_order_and_stops_at_the_first_fault() {
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
        let damaged = Journal::of(&files);
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

/// Breaks off at one record.
#[derive(Debug)]
struct Fragile;

impl<'de> Deserialize<'de> for Fragile {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        let (number, _) = <(u64, String)>::deserialize(deserializer)?;
        assert_ne!(number, 6_000, "planted");
        Ok(Self)
    }
}

#[test]
fn a_panic_while_parsing_in_parallel_reaches_the_caller() {
    let journal = long_journal(&JournalOptions::new(), 0, 9_000);
    let path = journal.path().to_path_buf();
    let replayed = thread::spawn(move || replay_parallel::<Fragile>(&path).map(|all| all.len())).join();
    let panic = replayed.expect_err("some records are missing");
    assert!(panic.downcast_ref::<String>().is_some_and(|text| text.contains("planted")));
}
