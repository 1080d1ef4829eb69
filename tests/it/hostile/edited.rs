//! Changes that people and their editors make to a text file.

use super::*;

/// The first line of group 2 of the active segment: the header is line 1, group 1 is lines 2 and 3.
const LINE: usize = 4;

fn lines(bytes: &[u8]) -> Vec<Vec<u8>> {
    bytes.split(|&byte| byte == b'\n').map(<[u8]>::to_vec).collect()
}

fn edit(bytes: &[u8], edit: impl FnOnce(&mut Vec<Vec<u8>>)) -> Vec<u8> {
    let mut lines = lines(bytes);
    edit(&mut lines);
    lines.join(&b'\n')
}

/// Returns a closed journal of one segment, and the same while it is open.
fn closed_and_open() -> [(&'static str, FileContents); 2] {
    let closed = sample(1);
    let open = with(&closed, "", |bytes| [bytes.strip_suffix(b"\t\n").unwrap(), &[b' '; 300]].concat());
    [("closed", closed), ("open", open)]
}

/// Changes both; they are rejected at this line after this number of records.
fn check_rejected(what: &str, line: u64, read: u64, change: impl Fn(&[u8]) -> Vec<u8>) {
    for (state, files) in closed_and_open() {
        let expected = Expectation::Corrupt {
            read: (1..=read).collect(),
            read_error: ("", line),
            open_error: Some(("", line)),
        };
        check(&format!("{what}, {state}"), &with(&files, "", &change), &expected);
    }
}

#[test]
fn changed_line_is_reported() {
    let at = LINE - 1;
    check_rejected("a digit changed", 4, 2, |bytes| edit(bytes, |lines| lines[at][0] ^= 1));
    check_rejected("a line added", 4, 2, |bytes| edit(bytes, |lines| lines.insert(at, b"3".into())));
    check_rejected("a line removed", 4, 2, |bytes| edit(bytes, |lines| drop(lines.remove(at))));
    check_rejected("lines exchanged", 4, 2, |bytes| edit(bytes, |lines| lines.swap(at, at + 1)).clone());
    check_rejected("an empty line", 4, 2, |bytes| edit(bytes, |lines| lines.insert(at, Vec::new())));
    check_rejected("not UTF-8", 4, 2, |bytes| edit(bytes, |lines| lines[at] = b"\"\xff\xfe\"".into()));
    check_rejected("a NUL byte", 4, 2, |bytes| edit(bytes, |lines| lines[at].push(0)));
    check_rejected("a space after a value", 4, 2, |bytes| edit(bytes, |lines| lines[at].push(b' ')));
}

#[test]
fn removed_group_is_reported() {
    let without = |bytes: &[u8]| edit(bytes, |lines| drop(lines.drain(LINE - 1..=LINE)));
    let [(_, closed), (_, open)] = closed_and_open();
    let expected = Expectation::Corrupt { read: vec![1, 2], read_error: ("", 4), open_error: Some(("", 4)) };
    check("closed", &with(&closed, "", without), &expected);
    // The open file ends with one group that does not verify: it is truncated, and the bytes are kept.
    check("open", &with(&open, "", without), &Expectation::Torn(vec![1, 2]));
}

#[test]
fn file_saved_by_editor_is_reported() {
    check_rejected("CRLF", 2, 0, |bytes| lines(bytes).join(&b"\r\n"[..]));
    check_rejected("tabs turned into spaces", 2, 0, |bytes| {
        bytes.iter().map(|&byte| if byte == b'\t' { b' ' } else { byte }).collect()
    });
    check_rejected("one space at the end of every line", 2, 0, |bytes| lines(bytes).join(&b" \n"[..]));
    check_rejected("a byte order mark", 1, 0, |bytes| [b"\xef\xbb\xbf", bytes].concat());
    check_rejected("UTF-16", 1, 0, |bytes| bytes.iter().flat_map(|&byte| [byte, 0]).collect());
    check_rejected("a line before the header", 1, 0, |bytes| [b"\n", bytes].concat());
    let trimmed = |bytes: &[u8]| {
        edit(bytes, |lines| lines.iter_mut().for_each(|line| *line = line.trim_ascii_end().into()))
    };
    let [(_, closed), _] = closed_and_open();
    let rotated = with(&sample(2), ".001", trimmed);
    let expected =
        Expectation::Corrupt { read: vec![], read_error: (".001", 2), open_error: Some((".001", 1)) };
    check("spaces trimmed, rotated", &rotated, &expected);
    // Without a seal and a close marker it looks like a group interrupted by a crash: it is truncated, and the bytes are kept.
    check("spaces trimmed", &with(&closed, "", trimmed), &Expectation::Torn(vec![]));
}

#[test]
fn harmless_edit_is_read() {
    let [(_, closed), (_, open)] = closed_and_open();
    let all: Vec<u64> = (1..=6).collect();
    let more = |bytes: &[u8]| [bytes, &[b' '; 1000]].concat();
    check("more spaces after an open file", &with(&open, "", more), &Expectation::Valid(all.clone()));
    check("spaces after a closed file", &with(&closed, "", more), &Expectation::Any);
    check(
        "an LF after an open file",
        &with(&open, "", |bytes| [bytes, b"\n"].concat()),
        &Expectation::Valid(all.clone()),
    );
    check(
        "an empty line after a closed file",
        &with(&closed, "", |bytes| [bytes, b"\n"].concat()),
        &Expectation::Any,
    );
    let plain = FileContents::from([(NAME.into(), b"// MINISTORE JOURNAL v0.1.4\r\n1\r\n2\r\n".to_vec())]);
    check("a plain journal with CRLF", &plain, &Expectation::Valid(vec![1, 2]));
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
        check_rejected(header, 1, 0, |bytes| edit(bytes, |lines| lines[0] = header.into()));
    }
    for first in [2, 4_611_686_018_427_387_904_u64] {
        let header =
            format!(r#"// MINISTORE JOURNAL v0.1.4 {{"seal":"crc32c","first":{first},"prev":"00000000"}}"#);
        check_rejected(&header, 2, 0, |bytes| edit(bytes, |lines| lines[0] = header.clone().into()));
    }
}
