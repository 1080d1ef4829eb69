//! `ingest` of compressed files from `gzip` and `zstd`, also concatenated.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::support::{CommandExt, TestDir, head, lines};

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zst(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

/// Returns a frame that decoders skip.
fn skippable() -> Vec<u8> {
    let note = b"a note";
    [&0x184D_2A50_u32.to_le_bytes()[..], &6_u32.to_le_bytes(), note].concat()
}

/// Splits a text in the middle, usually inside a line.
fn halves(text: &str) -> (&str, &str) {
    let middle = (text.len() / 2..).find(|&at| text.is_char_boundary(at)).unwrap();
    text.split_at(middle)
}

#[test]
fn multi_member_gzip_is_one_input() {
    let (dir, text) = (TestDir::new(), lines(4000));
    let (first, second) = halves(&text);
    let file = dir.write("in.ndjson.gz", [gz(first), gz(second)].concat());
    dir.ingest().arg(file).run().ok();
    assert_eq!(dir.replay(), text);
}

#[test]
fn multi_frame_zstd_is_one_input() {
    let (dir, text) = (TestDir::new(), lines(4000));
    let (first, second) = halves(&text);
    let file = dir.write("in.ndjson.ZST", [zst(first), skippable(), zst(second), zst("")].concat());
    dir.ingest().arg(file).run().ok();
    assert_eq!(dir.replay(), text);
}

#[test]
fn truncated_input_returns_65_after_durable_lines() {
    let text = lines(60_000);
    for (name, whole) in [("in.gz", gz(&text)), ("in.zst", zst(&text))] {
        let dir = TestDir::new();
        let file = dir.write(name, &whole[..whole.len() - 40]);
        let output = dir.ingest().arg("--json").arg(&file).run().code(65);
        assert!(output.error().contains(&format!("{}: cannot read", file.display())), "{}", output.error());
        let records = usize::try_from(output.json()["records"].as_u64().unwrap()).unwrap();
        assert_eq!((records > 0, dir.durable()), (true, records), "{name}");
        assert_eq!(dir.replay(), head(&text, records));
    }
}

#[test]
fn corrupt_compressed_input_returns_65() {
    let text = lines(2000);
    for (name, mut whole) in [("in.gz", gz(&text)), ("in.zst", zst(&text))] {
        let dir = TestDir::new();
        let middle = whole.len() / 2;
        whole[middle] ^= 0x10;
        let file = dir.write(name, whole);
        dir.ingest().arg(&file).run().code(65);
    }
}
