//! `ingest` and `import` of inputs in other formats than their names say: each is read, or answered with what to do.

use std::{
    fs::{self, OpenOptions},
    io::{Read, Write},
    process::Command,
    thread,
};

use flate2::{Compression, write::GzEncoder};
use rustix::fs::{CWD, FileType, Mode, mknodat};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::support::{CommandExt, ProgramOutput, TestDir, feed, lines, ministore};

fn gz(text: &[u8]) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text).unwrap();
    encoder.finish().unwrap()
}

fn zst(text: &[u8]) -> Vec<u8> {
    compress_to_vec(text, CompressionLevel::Fastest)
}

fn utf16(text: &str) -> Vec<u8> {
    text.encode_utf16().flat_map(u16::to_le_bytes).collect()
}

/// A zstd frame header with a window of 2 GiB, as `zstd --long=31` writes it, and an empty last block.
const LONG_WINDOW: [u8; 9] = [0x28, 0xb5, 0x2f, 0xfd, 0x00, 0xa8, 0x01, 0x00, 0x00];

#[test]
fn byte_order_mark_is_accepted_at_the_start() {
    let text = "\u{feff}{\"a\":1}\n{\"a\":2}\n";
    for bytes in [text.as_bytes().to_vec(), gz(text.as_bytes()), zst(text.as_bytes())] {
        let dir = TestDir::new();
        let file = dir.write("in", &bytes);
        dir.ingest().arg(&file).run().ok();
        assert_eq!(dir.replay(), "{\"a\":1}\n{\"a\":2}\n");
        assert!(dir.ingest().args(["--resume"]).arg(&file).run().ok().stdout.contains("nothing to do"));
        let to = dir.path("imported");
        ministore(["import".as_ref(), file.as_os_str()]).arg(&to).run().ok();
        assert_eq!(ministore(["replay".as_ref(), to.as_os_str()]).run().ok().stdout, dir.replay());
    }
    // Elsewhere it is not white space; columns count its bytes.
    let output = TestDir::new().ingest().run_with_stdin("\u{feff}[1,x]\n".as_bytes()).code(65);
    assert!(output.error().starts_with("<stdin>:1:7: "), "{output:?}");
    TestDir::new().ingest().run_with_stdin("1\n\u{feff}2\n".as_bytes()).code(65);
}

#[test]
fn compression_is_recognised_by_content() {
    let text = lines(500);
    let contents = [text.clone().into_bytes(), gz(text.as_bytes()), zst(text.as_bytes())];
    for content in &contents {
        for name in ["in.ndjson", "in.gz", "in.zst", "in"] {
            let dir = TestDir::new();
            let file = dir.write(name, content);
            dir.ingest().arg(file).run().ok();
            assert_eq!(dir.replay(), text, "{name}");
        }
        let dir = TestDir::new();
        dir.ingest().run_with_stdin(content).ok();
        assert_eq!(dir.replay(), text, "standard input");
    }
}

/// Ingests and imports a file under every policy: nothing may be appended, and the exit code must be 65.
fn rejected(name: &str, content: &[u8]) -> ProgramOutput {
    for policy in ["stop", "skip"] {
        let dir = TestDir::new();
        let file = dir.write(name, content);
        let output = dir.ingest().args(["--on-error", policy]).arg(&file).run().code(65);
        assert!(output.error().contains(&*file.to_string_lossy()), "{output:?}");
        assert!(!output.hint().contains("get it again"), "the file is sound: {output:?}");
        assert_eq!(dir.replay(), "");
        let output = TestDir::new().ingest().args(["--on-error", policy]).run_with_stdin(content).code(65);
        assert!(output.stderr.contains("<stdin>"), "{output:?}");
    }
    let dir = TestDir::new();
    let file = dir.write(name, content);
    if ![&b"// MINISTORE"[..], b"{\"$ministore"].iter().any(|magic| content.starts_with(magic)) {
        ministore(["import".as_ref(), file.as_os_str()]).arg(dir.journal()).run().code(65);
        assert!(!dir.journal().exists());
    }
    dir.ingest().arg(&file).run().code(65)
}

#[test]
fn other_formats_are_answered_with_what_to_do() {
    let journal = b"// MINISTORE JOURNAL v0.1.4\n1\n";
    let text = "{\"a\":1}\n";
    let json_journal = br#"{"$ministore":{"journal":"0.2.0","seal":"crc32c","first":1,"prev":"00000000"}}"#;
    let cases: [(&str, Vec<u8>, &str, &str); 13] = [
        ("in.xz", b"\xfd7zXZ\0\0\x04\xe6".to_vec(), "compressed with xz", "xz -dc "),
        ("in.bz2", b"BZh91AY&SY".to_vec(), "compressed with bzip2", "bzip2 -dc "),
        ("in.gz", b"\xfd7zXZ\0\0\x04\xe6".to_vec(), "compressed with xz", "xz -dc "),
        ("in.lz4", b"\x04\x22\x4d\x18\x64".to_vec(), "compressed with lz4", "lz4 -dc "),
        ("in.zip", b"PK\x03\x04\x14\0".to_vec(), "a ZIP archive", "unzip -p "),
        ("in", [b"\xff\xfe", &utf16(text)[..]].concat(), "UTF-16", "iconv -f UTF-16 -t UTF-8 "),
        ("in", utf16(text), "UTF-16", "iconv -f UTF-16LE -t UTF-8 "),
        ("in.gz", gz(&utf16(text)), "its gzip content is UTF-16", "gzip -dc "),
        ("in.gz", gz(&gz(text.as_bytes())), "compressed again", "gzip -dc "),
        ("in.zst", LONG_WINDOW.to_vec(), "a window of 2.0 GiB", "zstd -dc --long=31 "),
        ("in", journal.to_vec(), "a journal", "ministore replay "),
        ("in", json_journal.to_vec(), "a journal", "ministore replay "),
        ("in.parquet", b"PAR1\x15\0".to_vec(), "a Parquet file", "convert it"),
    ];
    for (name, content, what, command) in cases {
        let output = rejected(name, &content);
        assert!(output.error().contains(what), "{name}: {output:?}");
        assert!(output.hint().contains(command), "{name}: {output:?}");
    }
}

#[test]
fn content_that_contradicts_the_name_returns_65() {
    let output = rejected("in.gz", b"\x01\x02\x03\n");
    assert!(output.stderr.contains("its name says gzip"), "{output:?}");
}

#[test]
fn empty_compressed_input_has_no_lines() {
    for (name, content) in
        [("in.gz", gz(b"")), ("in.zst", zst(b"")), ("in.gz", Vec::new()), ("in.zst", Vec::new())]
    {
        let dir = TestDir::new();
        let file = dir.write(name, &content);
        let output = dir.ingest().arg(&file).run().ok();
        assert_eq!(output.stderr.contains("the file is empty"), content.is_empty(), "{name}: {output:?}");
        assert_eq!(dir.replay(), "");
    }
}

#[test]
fn zero_padding_after_compressed_data_is_ignored() {
    let text = lines(300);
    for (name, whole) in [("in.gz", gz(text.as_bytes())), ("in.zst", zst(text.as_bytes()))] {
        let dir = TestDir::new();
        let file = dir.write(name, [&whole[..], &[0; 100_000], &[0; 412_345]].concat());
        dir.ingest().arg(file).run().ok();
        assert_eq!(dir.replay(), text, "{name}");
    }
}

#[test]
fn data_after_compressed_data_is_reported() {
    let text = lines(300);
    for (name, whole) in [("in.gz", gz(text.as_bytes())), ("in.zst", zst(text.as_bytes()))] {
        for rest in [&b"{\"a\":1}\n"[..], b"\0\0\0\0x"] {
            let dir = TestDir::new();
            let file = dir.write(name, [&whole[..], rest].concat());
            let output = dir.ingest().arg(file).run().code(65);
            assert!(output.error().contains("follows the"), "{name}: {output:?}");
            assert_eq!(dir.replay(), text, "{name}");
        }
    }
}

#[test]
fn first_line_of_a_pipe_is_committed_at_once() {
    for first in ["1\n", "{}\n", "\u{feff}\"P\"\n", "[7]\n"] {
        let dir = TestDir::new();
        let mut child = dir.ingest().spawn_with_stdin();
        feed(&mut child, first.as_bytes());
        dir.wait_for_durable(1);
        drop(child.stdin.take());
        ProgramOutput::from(child.wait_with_output().unwrap()).ok();
    }
}

/// Runs `ingest` with a quarantine that is not read until `change` was called: the input is open, and most of it is not read.
fn ingest_while(dir: &TestDir, ingest: &mut Command, change: impl FnOnce()) -> ProgramOutput {
    let fifo = dir.path("fifo");
    mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
    let child = ingest.arg(format!("--on-error=quarantine={}", fifo.display())).spawn().unwrap();
    let mut quarantine = fs::File::open(fifo).unwrap();
    quarantine.read_exact(&mut [0]).unwrap();
    change();
    let reader = thread::spawn(move || quarantine.read_to_end(&mut Vec::new()).unwrap());
    let output = child.wait_with_output().unwrap().into();
    reader.join().unwrap();
    output
}

#[test]
fn shrinking_input_returns_65() {
    for is_stdin in [false, true] {
        let dir = TestDir::new();
        // Much larger than all buffers between the reading thread and the quarantine.
        let line = format!("\"{}\"\n", "x".repeat(1000));
        let file = dir.write("in", format!("[1]\n{}{}", "bad\n".repeat(20_000), line.repeat(32 << 10)));
        let mut ingest = dir.ingest();
        ingest.arg("--json");
        match is_stdin {
            true => ingest.stdin(fs::File::open(&file).unwrap()),
            false => ingest.arg(&file),
        };
        let truncate = || OpenOptions::new().write(true).open(&file).unwrap().set_len(5).unwrap();
        let output = ingest_while(&dir, &mut ingest, truncate).code(65);
        assert!(output.error().contains("became shorter while it was read"), "{output:?}");
        assert_eq!(output.json()["outcome"], "failed");
        assert_eq!(output.json()["records"], dir.durable());
        assert!(dir.durable() > 0 && dir.durable() < 32 << 10);
    }
}

#[test]
fn file_size_limit_is_a_full_disk() {
    let dir = TestDir::new();
    let file = dir.write("in", lines(20_000));
    let limited = |command: Command| {
        let mut limited = Command::new("sh");
        limited.args(["-c", "ulimit -f 400; exec \"$@\"", "sh"]);
        limited.arg(command.get_program()).args(command.get_args()).run()
    };
    let mut ingest = dir.ingest();
    ingest.arg(&file);
    let output = limited(ingest).code(74);
    assert!(output.error().contains("disk full"), "{output:?}");
    let mut import = ministore(["import".as_ref(), file.as_os_str()]);
    import.arg(dir.path("imported"));
    limited(import).code(74);
}
