//! `import --repair`: the records of damaged JSON lines in a journal or a new file, and the removed bytes in another one.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    os::unix::fs::PermissionsExt,
    path::Path,
    process::Command,
    time::Instant,
};

use base64::{Engine, prelude::BASE64_STANDARD};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use serde_json::Value;

use crate::support::{
    CommandExt, ProgramOutput, TIMEOUT, TestDir, kill, lines, ministore, peak_memory_kib, quarantined,
};

/// Every kind of damage.
const DAMAGED: &[u8] = b"\xef\xbb\xbf{\"a\":1}{\"a\":2}\r\n\n\0\0\0{\"a\":3}\n{\"b\":\"to{\"a\":4}\nrn\"}\n\
    {\"a\":5} {\"a\":\"\\ud800\"}\n[6]\n{\"c\":\"\xc3";

const WHOLE: &str = "{\"a\":1}\n{\"a\":2}\n{\"a\":3}\n{\"a\":4}\n{\"a\":5}\n[6]\n";

impl TestDir {
    /// Returns `ministore import --repair SOURCE`; the caller adds more arguments.
    fn repair_lines(&self, source: &str) -> Command {
        let mut command = ministore(["import", "--repair"]);
        command.arg(self.path(source));
        command
    }
}

/// Returns the removed bytes with their offsets.
fn removed(path: &Path) -> Vec<(usize, Vec<u8>)> {
    let number = |value: &Value| usize::try_from(value.as_u64().unwrap()).unwrap();
    let bytes = |entry: &Value| match (&entry["text"], &entry["base64"]) {
        (Value::String(text), _) => text.clone().into_bytes(),
        (_, Value::String(encoded)) => BASE64_STANDARD.decode(encoded).unwrap(),
        _ => vec![0; number(&entry["nul_bytes"])],
    };
    quarantined(path).iter().map(|entry| (number(&entry["offset"]), bytes(entry))).collect()
}

/// Checks that an input without its removed bytes is the records, apart from white space.
fn assert_reconstructed(input: &[u8], records: &str, removed: &[(usize, Vec<u8>)]) {
    let mut rest = input.to_vec();
    for (offset, bytes) in removed {
        assert_eq!(&input[*offset..][..bytes.len()], bytes);
        rest[*offset..][..bytes.len()].fill(b' ');
    }
    let is_text = |byte: &&u8| !byte.is_ascii_whitespace();
    assert!(rest.iter().filter(is_text).eq(records.as_bytes().iter().filter(is_text)));
}

#[test]
fn damaged_lines_are_imported_without_damage() {
    let dir = TestDir::new();
    dir.write("in.jsonl", DAMAGED);
    let output = dir.repair_lines("in.jsonl").arg(dir.journal()).arg("--json").run().code(1).json();
    assert_eq!(dir.replay(), WHOLE);
    dir.command("verify").run().ok();
    assert_eq!(dir.names(), ["in.jsonl", "journal.jsonl", "journal.jsonl.removed"]);
    assert_eq!(fs::read(dir.path("in.jsonl")).unwrap(), DAMAGED);
    let saved = dir.path("journal.jsonl.removed");
    assert_reconstructed(DAMAGED, WHOLE, &removed(&saved));
    assert_eq!(fs::metadata(&saved).unwrap().permissions().mode() & 0o777, 0o600);
    let entries = quarantined(&saved);
    let reasons: Vec<_> = entries.iter().map(|entry| entry["reason"].as_str().unwrap()).collect();
    let expected = ["byte_order_mark", "nul_bytes", "fragment", "fragment", "not_a_record", "fragment"];
    assert_eq!(reasons, expected);
    let places: Vec<_> =
        entries.iter().map(|entry| (entry["line"].clone(), entry["column"].clone())).collect();
    assert_eq!(places[1..4], [(3.into(), 1.into()), (4.into(), 1.into()), (5.into(), 1.into())]);
    assert_eq!(output["removed"]["fragment"], serde_json::json!({ "parts": 3, "bytes": 19 }));
    assert_eq!((&output["records"], &output["lines"]), (&6.into(), &8.into()));
    assert_eq!((&output["split_lines"], &output["crlf_lines"]), (&1.into(), &1.into()));
    assert_eq!(output["removed_file"], saved.to_string_lossy().into_owned());
}

#[test]
fn dry_run_reports_and_writes_nothing() {
    let dir = TestDir::new();
    dir.write("in.jsonl", DAMAGED);
    let before = dir.snapshot();
    let json = |command: &mut Command| command.args(["--dry-run", "--json"]).run().code(1).json();
    let dry = json(&mut dir.repair_lines("in.jsonl"));
    assert_eq!(dry, json(dir.repair_lines("in.jsonl").arg(dir.journal())));
    assert_eq!(dry, json(dir.repair_lines("in.jsonl").arg("--in-place")));
    assert!(dry["journal"].is_null() && dry["removed_file"].is_null() && dry["dry_run"] == true);
    assert_eq!(dir.snapshot(), before);
    let real = dir.repair_lines("in.jsonl").arg(dir.journal()).arg("--json").run().code(1).json();
    assert_eq!((&dry["removed"], &dry["records"]), (&real["removed"], &real["records"]));
}

#[test]
fn in_place_repair_creates_a_second_file() {
    let dir = TestDir::new();
    dir.write("in.jsonl", DAMAGED);
    let output = dir.repair_lines("in.jsonl").args(["--in-place", "--json"]).run().code(1).json();
    assert_eq!(output["repaired_file"], dir.path("in.repaired.jsonl").to_string_lossy().into_owned());
    assert_eq!(fs::read_to_string(dir.path("in.repaired.jsonl")).unwrap(), WHOLE);
    assert_eq!(fs::read(dir.path("in.jsonl")).unwrap(), DAMAGED);
    assert_reconstructed(DAMAGED, WHOLE, &removed(&dir.path("in.repaired.jsonl.removed")));
    let before = dir.snapshot();
    let output = dir.repair_lines("in.repaired.jsonl").arg("--in-place").run().ok();
    assert!(output.stdout.ends_with("6 records in 6 lines\nnothing to repair\n"), "{output:?}");
    assert_eq!(dir.snapshot(), before, "a sound file is not copied");
    dir.import("in.repaired.jsonl").run().ok();
    assert_eq!(dir.replay(), WHOLE);
}

#[test]
fn sound_lines_are_imported_with_exit_code_0() {
    let (dir, text) = (TestDir::new(), lines(3000));
    dir.write("in.jsonl", &text);
    dir.repair_lines("in.jsonl").arg(dir.journal()).run().ok();
    assert!(dir.replay() == text);
    assert_eq!(dir.names(), ["in.jsonl", "journal.jsonl"]);
    dir.write("windows.jsonl", text.replace('\n', "\r\n"));
    dir.repair_lines("windows.jsonl").arg("--in-place").run().code(1);
    assert!(fs::read_to_string(dir.path("windows.repaired.jsonl")).unwrap() == text);
    assert!(!dir.path("windows.repaired.jsonl.removed").exists(), "white space is not saved");
}

#[test]
fn compressed_lines_are_repaired() {
    let dir = TestDir::new();
    let file = File::create(dir.path("in.ndjson.gz")).unwrap();
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    // The content begins with a hole.
    out.write_all(b"\0\0\0\0\0{\"a\":1}\n{\"a\":").unwrap();
    out.finish().unwrap();
    dir.repair_lines("in.ndjson.gz").arg("--in-place").run().code(1);
    assert_eq!(fs::read_to_string(dir.path("in.repaired.ndjson")).unwrap(), "{\"a\":1}\n");
}

#[test]
fn repair_replaces_no_file() {
    let dir = TestDir::new();
    dir.write("in.jsonl", DAMAGED);
    for name in ["journal.jsonl", "journal.jsonl.removed", "in.repaired.jsonl", "in.repaired.jsonl.removed"] {
        dir.write(name, "mine");
        let before = dir.snapshot();
        let output = if name.starts_with("in") {
            dir.repair_lines("in.jsonl").arg("--in-place").run()
        } else {
            dir.repair_lines("in.jsonl").arg(dir.journal()).run()
        };
        assert!(output.code(73).error().contains("already exists"), "{name}");
        assert_eq!(dir.snapshot(), before, "{name}");
        fs::remove_file(dir.path(name)).unwrap();
    }
}

#[test]
fn wrong_arguments_of_a_repair_are_rejected() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    dir.write("in.jsonl", DAMAGED);
    let before = dir.snapshot();
    let output = dir.repair_lines("journal.jsonl").arg(dir.path("new.jsonl")).run().code(64);
    assert!(output.hint().contains("ministore salvage"), "{output:?}");
    dir.import("in.jsonl").arg("--dry-run").run().code(64);
    dir.import("in.jsonl").arg("--in-place").run().code(64);
    dir.repair_lines("in.jsonl").arg(dir.path("new.jsonl")).arg("--in-place").run().code(64);
    dir.repair_lines("in.jsonl").run().code(64);
    ministore(["import", "--repair", "-", "new.jsonl"]).run().code(64);
    dir.repair_lines("missing.jsonl").arg("--in-place").run().code(66);
    assert_eq!(dir.snapshot(), before);
}

/// A repair of a FIFO, which the test fills while it checks the memory of the program.
#[test]
fn memory_is_bounded() {
    let dir = TestDir::new();
    mknodat(CWD, dir.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let child = dir.repair_lines("fifo").arg(dir.journal()).arg("--json").spawn().unwrap();
    let mut fifo = BufWriter::new(OpenOptions::new().write(true).open(dir.path("fifo")).unwrap());
    let (nul, text) = (vec![0; 1 << 20], vec![b'x'; 1 << 20]);
    for _ in 0..100 {
        fifo.write_all(&nul).unwrap();
    }
    fifo.write_all(b"{\"a\":1}\n").unwrap();
    for _ in 0..40 {
        fifo.write_all(&text).unwrap();
    }
    fifo.flush().unwrap();
    // All but the content of the pipe was processed.
    let peak = peak_memory_kib(&child);
    assert!(peak < 80 << 10, "{peak} KiB");
    fifo.write_all(b"\n{\"a\":2}").unwrap();
    drop(fifo);
    let output = child.wait_with_output().unwrap();
    let report: Value = serde_json::from_slice(&output.stdout).unwrap();
    assert_eq!(report["removed"]["too_long"], serde_json::json!({ "parts": 1, "bytes": 40 << 20 }));
    assert_eq!(report["removed"]["nul_bytes"], serde_json::json!({ "parts": 1, "bytes": 100 << 20 }));
    assert_eq!(dir.replay(), "{\"a\":1}\n{\"a\":2}\n");
    let entries = quarantined(&dir.path("journal.jsonl.removed"));
    assert_eq!(entries[0]["nul_bytes"], 100 << 20);
    let long = BASE64_STANDARD.decode(entries[1]["base64"].as_str().unwrap()).unwrap();
    assert!(long.len() == 40 << 20 && long.iter().all(|&byte| byte == b'x'));
}

#[test]
fn interrupted_repair_leaves_nothing() {
    let dir = TestDir::new();
    mknodat(CWD, dir.path("fifo"), FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let mut child = dir.repair_lines("fifo").arg(dir.journal()).spawn().unwrap();
    let mut fifo = OpenOptions::new().write(true).open(dir.path("fifo")).unwrap();
    fifo.write_all(DAMAGED).unwrap();
    kill(&child, "INT");
    let started = Instant::now();
    while child.try_wait().unwrap().is_none() {
        assert!(started.elapsed() < TIMEOUT, "the repair does not end");
        drop(fifo.write_all(b"1\n"));
    }
    let output = ProgramOutput::from(child.wait_with_output().unwrap()).code(130);
    assert!(output.error().contains("was not created"), "{output:?}");
    assert_eq!(dir.names(), ["fifo"]);
}

/// The file of removed bytes does not fit.
#[test]
fn full_disk_leaves_no_repaired_file() {
    let dir = TestDir::new();
    dir.write("in.jsonl", "1\n".to_owned() + &"not JSON\n".repeat(50_000));
    let command = dir.repair_lines("in.jsonl");
    let mut limited = Command::new("sh");
    limited.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"]);
    let output = limited.arg(command.get_program()).args(command.get_args()).arg("--in-place").run().code(74);
    assert!(output.error().contains("in.repaired.jsonl.removed"), "{output:?}");
    assert_eq!(dir.names(), ["in.jsonl"]);
}
