//! The program on what is no journal any more, or never was: an exit code, one clear line, no panic, and an end.

use std::{
    fs,
    os::unix::fs::symlink,
    process::{Command, Stdio},
};

use crate::support::{Place, Ran, Run};

/// More than the program and a line of some megabytes need; less than a file of a gigabyte, read whole, would.
const MEMORY_KIB: u64 = 600 << 10;

const READERS: [&str; 4] = ["verify", "inspect", "replay", "repair"];

fn journal() -> Place {
    let place = Place::new();
    place.ingest().run_with(b"1\n2\n").ok();
    place.ingest().run_with(b"3\n").ok();
    place
}

/// Within bounds of memory, and of time: whoever waits for a FIFO is ended by `timeout`, with 124.
fn bounded(place: &Place, subcommand: &str) -> Ran {
    let mut command = Command::new("sh");
    let script = format!("ulimit -v {MEMORY_KIB}; exec timeout 120 \"$@\"");
    command.args(["-c", &script, "sh", env!("CARGO_BIN_EXE_ministore"), subcommand]).arg(place.journal());
    if subcommand == "salvage" {
        command.arg(place.path("salvaged.jsonl"));
    }
    command.stdin(Stdio::null()).stdout(Stdio::piped()).stderr(Stdio::piped()).run()
}

fn assert_tidy(what: &str, ran: &Ran) {
    assert!(ran.code.is_some_and(|code| code != 124 && code != 101), "{what}: {ran:?}");
    assert!(!ran.err.contains("panicked") && ran.errors().len() <= 1, "{what}: {ran:?}");
}

#[test]
fn what_is_no_regular_file_is_refused_at_once() {
    for kind in ["fifo", "directory", "/dev/zero", "/dev/null", "loop"] {
        let place = Place::new();
        let path = place.journal();
        match kind {
            "fifo" => assert!(Command::new("mkfifo").arg(&path).status().unwrap().success()),
            "directory" => fs::create_dir(&path).unwrap(),
            "loop" => symlink(&path, &path).unwrap(),
            device => symlink(device, &path).unwrap(),
        }
        for subcommand in READERS.into_iter().chain(["salvage"]) {
            let ran = bounded(&place, subcommand);
            assert_tidy(kind, &ran);
            assert!(
                ran.code != Some(0) && (ran.error().contains("journal.jsonl") || ran.error().contains(kind)),
                "{kind} {subcommand}: {ran:?}"
            );
        }
        assert!(!place.path("salvaged.jsonl").exists(), "{kind}");
    }
}

#[test]
fn fifo_among_rotated_segments_blocks_nothing() {
    let place = journal();
    let fifo = place.path("journal.jsonl.001");
    assert!(Command::new("mkfifo").arg(&fifo).status().unwrap().success());
    for subcommand in READERS.into_iter().chain(["salvage"]) {
        let ran = bounded(&place, subcommand).code(74);
        assert!(ran.error().contains("journal.jsonl.001"), "{subcommand}: {ran:?}");
    }
}

#[test]
fn damaged_files_of_every_shape_end_with_a_code_and_a_line() {
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
    for (what, bytes, verified, replayed) in shapes {
        let place = Place::new();
        place.write("journal.jsonl", &bytes);
        let verify = bounded(&place, "verify");
        assert_eq!(verify.code, Some(verified), "{what}: {verify:?}");
        assert!(verify.out.contains("byte ") && verify.out.contains("line "), "{what}: {verify:?}");
        let replay = bounded(&place, "replay");
        assert_eq!((replay.code, replay.errors().len()), (Some(replayed), 1), "{what}: {replay:?}");
        for subcommand in ["inspect", "salvage"] {
            assert_tidy(what, &bounded(&place, subcommand));
        }
        assert!(fs::read(place.journal()).unwrap() == bytes, "{what}: changed");
        assert_tidy(what, &bounded(&place, "repair"));
    }
}

#[test]
fn trailing_zeros_use_bounded_memory() {
    let place = journal();
    let file = fs::OpenOptions::new().write(true).open(place.journal()).unwrap();
    file.set_len(64 << 20).unwrap();
    let ran = bounded(&place, "verify");
    assert_tidy("zeros behind the records", &ran);
}
