//! Damaged journals and files that are not journals: every command ends with an exit code and one line, without a panic.

use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use crate::support::{CommandExt, ProgramOutput, TestDir};

/// Enough for the program and a line of a few megabytes, too little to read a file of a gigabyte into memory.
const MEMORY_KIB: u64 = 600 << 10;

const READERS: [&str; 4] = ["verify", "inspect", "replay", "repair"];

fn journal() -> TestDir {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n2\n").ok();
    dir.ingest().run_with_stdin(b"3\n").ok();
    dir
}

/// Runs a subcommand with limited memory and time: `timeout` ends a command that blocks on a FIFO with 124.
fn bounded(dir: &TestDir, subcommand: &str) -> ProgramOutput {
    let mut command = Command::new("sh");
    let script = format!("ulimit -v {MEMORY_KIB}; exec timeout 120 \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_ministore"), subcommand]).arg(dir.journal());
    if subcommand == "salvage" {
        command.arg(dir.path("salvaged.jsonl"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).run()
}

fn assert_no_crash(what: &str, output: &ProgramOutput) {
    assert!(output.code.is_some_and(|code| code != 124 && code != 101), "{what}: {output:?}");
    assert!(!output.stderr.contains("panicked") && output.errors().len() <= 1, "{what}: {output:?}");
}

#[test]
fn non_regular_file_is_rejected_at_once() {
    for kind in ["fifo", "directory", "/dev/zero", "/dev/null", "loop"] {
        let dir = TestDir::new();
        let path = dir.journal();
        match kind {
            "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
            "directory" => fs::create_dir(&path).unwrap(),
            "loop" => symlink(&path, &path).unwrap(),
            device => symlink(device, &path).unwrap(),
        }
        for subcommand in READERS.into_iter().chain(["salvage"]) {
            let output = bounded(&dir, subcommand);
            assert_no_crash(kind, &output);
            assert!(
                output.code != Some(0)
                    && (output.error().contains("journal.jsonl") || output.error().contains(kind)),
                "{kind} {subcommand}: {output:?}"
            );
        }
        assert!(!dir.path("salvaged.jsonl").exists(), "{kind}");
    }
}

#[test]
fn directory_with_name_of_segment_is_named_in_hint() {
    for suffix in ["001", "2024", "next", "holds", "lock"] {
        let dir = journal();
        let in_the_way = dir.path(&format!("journal.jsonl.{suffix}"));
        let _ = fs::remove_file(&in_the_way);
        fs::create_dir(&in_the_way).unwrap();
        let output = dir.ingest().run_with_stdin(b"4\n");
        assert!(
            output.code != Some(0) && output.hint().contains("is a directory: move it away"),
            "{output:?}"
        );
        assert!(output.hint().contains(&*in_the_way.to_string_lossy()), "{output:?}");
    }
}

#[test]
fn link_to_nothing_is_explained() {
    let dir = journal();
    let link = dir.path("link.jsonl");
    symlink("nowhere", &link).unwrap();
    for (subcommand, path) in [("ingest", &link), ("verify", &link)] {
        let output = crate::support::ministore([subcommand.as_ref(), path.as_os_str()]).run_with_stdin(b"");
        assert!(output.code != Some(0) && output.hint().contains("leads to no file"), "{output:?}");
    }
    assert!(!dir.path("link.jsonl.lock").exists());
}

#[test]
fn fifo_as_segment_does_not_block_readers() {
    let dir = journal();
    let fifo = dir.path("journal.jsonl.001");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for subcommand in READERS.into_iter().chain(["salvage"]) {
        let output = bounded(&dir, subcommand).code(74);
        assert!(output.error().contains("journal.jsonl.001"), "{subcommand}: {output:?}");
    }
}

#[test]
fn invalid_contents_return_a_code_and_one_line() {
    let sound = fs::read(journal().journal()).unwrap();
    let crlf = sound.split(|&byte| byte == b'\n').collect::<Vec<_>>().join(&b"\r\n"[..]);
    let shapes: [(&str, Vec<u8>, i32, i32); 6] = [
        ("CRLF", crlf, 1, 65),
        ("twice", [&sound[..], &sound].concat(), 1, 65),
        ("a byte order mark", [b"\xef\xbb\xbf", &sound[..]].concat(), 1, 65),
        ("zeros", vec![0; 1 << 20], 1, 65),
        ("a million bytes", vec![b'x'; 1_000_000], 1, 65),
        ("something else", b"#!/bin/sh\necho no\n".to_vec(), 1, 65),
    ];
    for (what, bytes, verify_code, replay_code) in shapes {
        let dir = TestDir::new();
        dir.write("journal.jsonl", &bytes);
        let verify = bounded(&dir, "verify");
        assert_eq!(verify.code, Some(verify_code), "{what}: {verify:?}");
        assert!(verify.stdout.contains("byte ") && verify.stdout.contains("line "), "{what}: {verify:?}");
        let replay = bounded(&dir, "replay");
        assert_eq!((replay.code, replay.errors().len()), (Some(replay_code), 1), "{what}: {replay:?}");
        for subcommand in ["inspect", "salvage"] {
            assert_no_crash(what, &bounded(&dir, subcommand));
        }
        assert!(fs::read(dir.journal()).unwrap() == bytes, "{what}: changed");
        assert_no_crash(what, &bounded(&dir, "repair"));
    }
}

#[test]
fn trailing_zeros_use_bounded_memory() {
    let dir = journal();
    let file = fs::OpenOptions::new().write(true).open(dir.journal()).unwrap();
    file.set_len(64 << 20).unwrap();
    let output = bounded(&dir, "verify");
    assert_no_crash("zeros after the records", &output);
}
