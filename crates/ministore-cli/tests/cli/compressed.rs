//! `ingest` of compressed files: as they come from `gzip`, `zstd`, and from putting such files together.

use std::io::Write;

use flate2::{Compression, write::GzEncoder};
use ruzstd::encoding::{CompressionLevel, compress_to_vec};

use crate::support::{Place, Run, head, lines};

fn gz(text: &str) -> Vec<u8> {
    let mut encoder = GzEncoder::new(Vec::new(), Compression::fast());
    encoder.write_all(text.as_bytes()).unwrap();
    encoder.finish().unwrap()
}

fn zst(text: &str) -> Vec<u8> {
    compress_to_vec(text.as_bytes(), CompressionLevel::Fastest)
}

/// A frame that decoders pass over.
fn skippable() -> Vec<u8> {
    let note = b"a note";
    [&0x184D_2A50_u32.to_le_bytes()[..], &6_u32.to_le_bytes(), note].concat()
}

/// Two parts that meet in the middle of a line.
fn halves(text: &str) -> (&str, &str) {
    let middle = (text.len() / 2..).find(|&at| text.is_char_boundary(at)).unwrap();
    text.split_at(middle)
}

#[test]
fn gzip_of_several_members_is_one_text() {
    let (place, text) = (Place::new(), lines(4000));
    let (first, second) = halves(&text);
    let file = place.write("in.ndjson.gz", [gz(first), gz(second)].concat());
    place.ingest().arg(file).run().ok();
    assert_eq!(place.replay(), text);
}

#[test]
fn zstd_of_several_frames_is_one_text() {
    let (place, text) = (Place::new(), lines(4000));
    let (first, second) = halves(&text);
    let file = place.write("in.ndjson.ZST", [zst(first), skippable(), zst(second), zst("")].concat());
    place.ingest().arg(file).run().ok();
    assert_eq!(place.replay(), text);
}

#[test]
fn a_truncated_file_ends_with_65_and_what_came_before_is_durable() {
    let text = lines(60_000);
    for (name, whole) in [("in.gz", gz(&text)), ("in.zst", zst(&text))] {
        let place = Place::new();
        let file = place.write(name, &whole[..whole.len() - 40]);
        let ran = place.ingest().arg("--json").arg(&file).run().code(65);
        assert!(ran.error().contains(&format!("{}: cannot read", file.display())), "{}", ran.error());
        let records = usize::try_from(ran.json()["records"].as_u64().unwrap()).unwrap();
        assert_eq!((records > 0, place.durable()), (true, records), "{name}");
        assert_eq!(place.replay(), head(&text, records));
    }
}

#[test]
fn a_changed_byte_in_a_compressed_file_never_ends_well() {
    let text = lines(2000);
    for (name, mut whole) in [("in.gz", gz(&text)), ("in.zst", zst(&text))] {
        let place = Place::new();
        let middle = whole.len() / 2;
        whole[middle] ^= 0x10;
        let file = place.write(name, whole);
        place.ingest().arg(&file).run().code(65);
    }
}
