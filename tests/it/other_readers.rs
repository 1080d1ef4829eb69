//! Readers of other projects on journals whose header is a JSON object: the commands of `docs/how-to/query.md` read closed,
//! killed and open journals from the first byte of each file.

use std::{
    fs,
    io::{BufRead, BufReader, Read},
    path::{Path, PathBuf},
    process::{Command, Output},
};

use ministore_uring::{Header, JournalOptions, MiniStore};
use serde_json::{Value, json};

use crate::support::{NAME, TempJournal, child, child_args, print_notice, report, reported};

const DOCUMENT: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/docs/how-to/query.md");

/// Prints the numbers of the records that an example has read, each checked.
const PRINT_NUMBERS: &str = r#"
if hasattr(records, "fetchall"):
    records = [dict(zip(records.columns, row)) for row in records.fetchall()]
elif hasattr(records, "to_dicts"):
    records = records.to_dicts()
elif hasattr(records, "to_dict"):
    records = records.to_dict("records")
for record in records:
    assert set(record) == {"n", "unit", "times", "text", "list"}, record
    assert record["text"] == record["unit"] * int(record["times"]), record
print([int(record["n"]) for record in records])
"#;

fn options() -> JournalOptions {
    JournalOptions::new().header(Header::Json)
}

fn record(n: u64, unit: &str, times: usize) -> Value {
    json!({"n": n, "unit": unit, "times": times, "text": unit.repeat(times), "list": [{"n": n}]})
}

/// Appends 60 records, with a rotation after the twentieth.
fn append_records(store: &MiniStore) {
    for n in 0..60 {
        store.blocking().append(&record(n, "ü\t\"\n\u{2028}", n as usize % 50)).unwrap();
        if n == 19 {
            store.blocking().rotate().unwrap();
        }
    }
}

/// Copies a segment to `events.jsonl` in a directory of its own, as another program finds it.
fn copy_of(segment: &Path) -> TempJournal {
    let dir = TempJournal::new();
    fs::copy(segment, dir.dir().join("events.jsonl")).unwrap();
    dir
}

/// Returns the interpreter with DuckDB, pandas and Polars that `.ci/install` installs in the target directory.
fn python() -> Option<PathBuf> {
    let target = Path::new(env!("CARGO_TARGET_TMPDIR")).parent()?;
    let path = target.join("readers/bin/python3");
    if path.exists() {
        return Some(path);
    }
    print_notice("SKIPPED: reading with DuckDB, pandas and Polars: .ci/install has not installed them");
    None
}

/// Returns the examples of the document in a language.
fn examples(language: &str) -> Vec<String> {
    let text = fs::read_to_string(DOCUMENT).unwrap();
    let fence = format!("```{language}\n");
    let blocks = text.split(&fence).skip(1);
    blocks.map(|block| block.split("```").next().unwrap().to_owned()).collect()
}

fn text_of(what: &str, output: &Output) -> String {
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{what}: {errors}");
    String::from_utf8(output.stdout.clone()).unwrap()
}

/// Checks that each example returns these records of a segment and no other.
fn check_examples(state: &str, segment: &Path, numbers: &[u64]) {
    let dir = copy_of(segment);
    let python_examples = examples("python");
    assert_eq!(python_examples.len(), 4, "a Python example of each reader");
    let expected = serde_json::to_value(numbers).unwrap();
    if let Some(python) = python() {
        for example in python_examples {
            let script = example.clone() + PRINT_NUMBERS;
            let output = Command::new(&python).args(["-c", &script]).current_dir(dir.dir()).output().unwrap();
            let found: Value = serde_json::from_str(&text_of(&example, &output)).unwrap();
            assert_eq!(found, expected, "{state}: {example}");
        }
    }
    let jq = examples("sh").into_iter().find(|example| example.starts_with("jq")).unwrap();
    if Command::new("jq").arg("--version").output().is_err() {
        return print_notice("SKIPPED: reading with jq: it is not installed");
    }
    let output = Command::new("sh").args(["-c", &jq]).current_dir(dir.dir()).output().unwrap();
    let found: Vec<Value> = serde_json::Deserializer::from_str(&text_of(&jq, &output))
        .into_iter::<Value>()
        .map(|record| record.unwrap()["n"].clone())
        .collect();
    assert_eq!(Value::from(found), expected, "{state}: {jq}");
}

fn check_both_segments(state: &str, journal: &TempJournal) {
    check_examples(state, &journal.file(".001"), &Vec::from_iter(0..20));
    check_examples(state, &journal.file(""), &Vec::from_iter(20..60));
}

#[test]
fn open_and_closed_journals_are_read_whole() {
    let journal = TempJournal::new();
    let store = options().open_blocking(journal.path()).unwrap();
    append_records(&store);
    assert!(journal.bytes().ends_with(b"    "), "an open journal has padding");
    check_both_segments("open", &journal);
    store.blocking().close().unwrap();
    check_both_segments("closed", &journal);
}

#[test]
fn journal_of_killed_process_is_read_whole() {
    if let Some(args) = child_args() {
        let store = options().open_blocking(&args[0]).unwrap();
        append_records(&store);
        report("appended");
        // Returns when the parent exits, unless it kills this process first.
        let _ = std::io::stdin().read(&mut [0]);
        return;
    }
    let journal = TempJournal::new();
    let name = "other_readers::journal_of_killed_process_is_read_whole";
    let mut writer = child(name, &[journal.path().to_str().unwrap()]).spawn().unwrap();
    let mut output = BufReader::new(writer.stdout.take().unwrap());
    assert!(output.by_ref().lines().any(|line| reported(&line.unwrap()) == Some("appended")));
    writer.kill().unwrap();
    writer.wait().unwrap();
    assert!(journal.bytes().ends_with(b"    "), "nothing removed the padding");
    check_both_segments("killed", &journal);
}

/// With this much data a journal has as much padding as it ever gets.
#[test]
fn large_open_journal_is_read_whole() {
    let journal = TempJournal::new();
    let store = options().open_blocking(journal.path()).unwrap();
    for batch in 0..250u64 {
        let records = (0..100).map(|index| record(batch * 100 + index, "0123456789", 100));
        store.blocking().append_batch(records).unwrap();
    }
    let bytes = journal.bytes();
    let padding = bytes.iter().rev().take_while(|&&byte| byte == b' ').count();
    assert!(((2 << 20)..=(8 << 20)).contains(&padding), "{padding} bytes of padding");
    assert_eq!(journal.names().first().map(String::as_str), Some(NAME));
    check_examples("large", journal.path(), &Vec::from_iter(0..25_000));
}
