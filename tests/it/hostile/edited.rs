//! What people and their editors do to a text file.

use super::*;

/// The lines of group 2 of the active segment: the header is line 1, group 1 lines 2 and 3.
const LINE: usize = 4;

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn edit(bytes: &[u8], edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut lines = lines(bytes);
    edit(&mut lines);
    lines.join(&b'\n')
}

/// A closed journal of one segment, and the same as it is while it is in use.
fn closed_and_open() -> [(&'static str, Files); 2] {
    let closed = sample(1);
    let open = with(&closed, "", |bytes| [bytes.strip_suffix(b"\t\n").unwrap(), &[b' '; 300]].concat());
    [("closed", closed), ("open", open)]
}

/// In both, and refused at this line after these records.
fn refused(what: &str, line: u64, read: u64, change: impl Fn(&[u8]) -> Vec<u8>) {
    for (state, files) in closed_and_open() {
        let fate = Fate::Damaged { read: (1..=read).collect(), told: ("", line), refused: Some(("", line)) };
        check(&format!("{what}, {state}"), &with(&files, "", &change), &fate);
    }
}

#[test]
fn changed_line_is_reported() {
    let at = LINE - 1;
    refused("a digit changed", 4, 2, |bytes| edit(bytes, |lines| lines[at][0] ^= 1));
    refused("a line added", 4, 2, |bytes| edit(bytes, |lines| lines.insert(at, b"3".into())));
    refused("a line removed", 4, 2, |bytes| edit(bytes, |lines| drop(lines.remove(at))));
    refused("lines exchanged", 4, 2, |bytes| edit(bytes, |lines| lines.swap(at, at + 1)).clone());
    refused("an empty line", 4, 2, |bytes| edit(bytes, |lines| lines.insert(at, Vec::new())));
    refused("not UTF-8", 4, 2, |bytes| edit(bytes, |lines| lines[at] = b"\"\xff\xfe\"".into()));
    refused("a NUL byte", 4, 2, |bytes| edit(bytes, |lines| lines[at].push(0)));
    refused("a space behind a value", 4, 2, |bytes| edit(bytes, |lines| lines[at].push(b' ')));
}

#[test]
fn removed_group_is_reported() {
    let without = |bytes: &[u8]| edit(bytes, |lines| drop(lines.drain(LINE - 1..=LINE)));
    let [(_, closed), (_, open)] = closed_and_open();
    let told = Fate::Damaged { read: vec![1, 2], told: ("", 4), refused: Some(("", 4)) };
    check("closed", &with(&closed, "", without), &told);
    // What is left of the open file is one group that does not verify, at its end: it is cut, and kept.
    check("open", &with(&open, "", without), &Fate::Torn(vec![1, 2]));
}

#[test]
fn file_saved_by_editor_is_reported() {
    refused("CRLF", 2, 0, |bytes| lines(bytes).join(&b"\r\n"[..]));
    refused("tabs turned into spaces", 2, 0, |bytes| {
        bytes.iter().map(|&byte| if byte == b'\t' { b' ' } else { byte }).collect()
    });
    refused("one space at the end of every line", 2, 0, |bytes| lines(bytes).join(&b" \n"[..]));
    refused("a byte order mark", 1, 0, |bytes| [b"\xef\xbb\xbf", bytes].concat());
    refused("UTF-16", 1, 0, |bytes| bytes.iter().flat_map(|&byte| [byte, 0]).collect());
    refused("a line before the header", 1, 0, |bytes| [b"\n", bytes].concat());
    let trimmed = |bytes: &[u8]| {
        edit(bytes, |lines| lines.iter_mut().for_each(|line| *line = line.trim_ascii_end().into()))
    };
    let [(_, closed), _] = closed_and_open();
    let archived = with(&sample(2), ".001", trimmed);
    let fate = Fate::Damaged { read: vec![], told: (".001", 2), refused: Some((".001", 1)) };
    check("spaces trimmed, archived", &archived, &fate);
    // Without a seal and a mark there is nothing that tells it from a group that a crash cut off: it is cut, and kept.
    check("spaces trimmed", &with(&closed, "", trimmed), &Fate::Torn(vec![]));
}

#[test]
fn what_does_no_harm_is_read() {
    let [(_, closed), (_, open)] = closed_and_open();
    let all: Vec<u64> = (1..=6).collect();
    let more = |bytes: &[u8]| [bytes, &[b' '; 1000]].concat();
    check("more spaces behind an open file", &with(&open, "", more), &Fate::Sound(all.clone()));
    check("spaces behind a closed file", &with(&closed, "", more), &Fate::Any);
    check(
        "an LF behind an open file",
        &with(&open, "", |bytes| [bytes, b"\n"].concat()),
        &Fate::Sound(all.clone()),
    );
    check(
        "an empty line behind a closed file",
        &with(&closed, "", |bytes| [bytes, b"\n"].concat()),
        &Fate::Any,
    );
    let plain = Files::from([(NAME.into(), b"// MINISTORE JOURNAL v0.1.4\r\n1\r\n2\r\n".to_vec())]);
    check("a plain journal with CRLF", &plain, &Fate::Sound(vec![1, 2]));
}

#[test]
fn damaged_header_is_reported() {
    for header in [
        "",
        "// MINISTORE JOURNAL v0.1.4 {",
        "// MINISTORE JOURNAL v0.1.4 {}",
        r#"// MINISTORE JOURNAL v0.1.4 {"seal":"md5","first":1,"prev":"00000000"}"#,
        r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":0,"prev":"00000000"}"#,
        r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":18446744073709551615,"prev":"00000000"}"#,
        r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":-1,"prev":"00000000"}"#,
        r#"// MINISTORE JOURNAL v0.1.4 {"seal":"crc32c","first":1,"prev":"0"}"#,
        "// MINISTORE JOURNAL v0 1 4",
        "#!/bin/sh",
    ] {
        refused(header, 1, 0, |bytes| edit(bytes, |lines| lines[0] = header.into()));
    }
    for first in [2, 4_611_686_018_427_387_904_u64] {
        let header =
            format!(r#"// MINISTORE JOURNAL v0.1.4 {{"seal":"crc32c","first":{first},"prev":"00000000"}}"#);
        refused(&header, 2, 0, |bytes| edit(bytes, |lines| lines[0] = header.clone().into()));
    }
}
