//! Very long lines, very much white space, and what a file system shows of blocks that were never written.

use super::*;

const HEADER: &[u8] = b"// MINISTORE JOURNAL v0.1.4 {\"seal\":\"crc32c\",\"first\":1,\"prev\":\"00000000\"}";
const PLAIN: &[u8] = b"// MINISTORE JOURNAL v0.1.4\n";

fn one(bytes: Vec<u8>) -> Files {
    Files::from([(NAME.into(), bytes)])
}

#[test]
fn changed_megabyte_record_is_detected() {
    let journal = Journal::new();
    let store = options().open_blocking(journal.path()).unwrap();
    let text = "x".repeat(1_000_000);
    store.blocking().append(&text).unwrap();
    store.blocking().append(&"y").unwrap();
    store.blocking().close().unwrap();
    assert!(replay::<String>(journal.path()).unwrap() == [text, "y".into()]);
    let changed = with(&journal.files(), "", |bytes| {
        let mut bytes = bytes.to_vec();
        bytes[700_000] ^= 1;
        bytes
    });
    journal.restore(&changed);
    for refused in
        [replay::<String>(journal.path()).map(drop), options().open_blocking(journal.path()).map(drop)]
    {
        assert_place("changed", &journal, &refused.unwrap_err(), ("", 2));
    }
    assert!(journal.files() == changed);
}

#[test]
fn megabyte_without_record_is_reported() {
    let line = vec![b'x'; 1_000_000];
    let damaged = |line| Fate::Damaged { read: vec![], told: ("", line), refused: Some(("", line)) };
    check("no header", &one(line.clone()), &damaged(1));
    check("a header too long", &one([HEADER, &line].concat()), &Fate::Any);
    check("behind a header", &one([HEADER, b"\n", &line].concat()), &Fate::Torn(vec![]));
    check("lines behind a header", &one([HEADER, b"\n", &line, b" \n", &line].concat()), &damaged(2));
    check("on a plain line", &one([PLAIN, b"1\n", &line].concat()), &Fate::Torn(vec![1]));
}

/// Each is where a group might end: to try one must not mean to read all before it again.
#[test]
fn line_full_of_seals_is_read_in_linear_time() {
    let seals = format!("x{}", "\t                                ").repeat(1 << 14);
    for header in [HEADER, PLAIN] {
        let bytes = [header, b"\n", seals.as_bytes()].concat();
        check("seals without a line", &one(bytes), &Fate::Any);
    }
}

#[test]
fn much_white_space_is_read_to_its_end() {
    let spaces = vec![b' '; 2 << 20];
    let sound = with(&sample(1), "", |bytes| [bytes.strip_suffix(b"\t\n").unwrap(), &spaces].concat());
    check("behind the records", &sound, &Fate::Sound((1..=6).collect()));
    let text = with(&sound, "", |bytes| [bytes, b"x"].concat());
    check("and something behind it", &text, &Fate::Any);
    check("spaces alone", &one(spaces), &Fate::Any);
}

#[test]
fn trailing_zeros_are_truncated() {
    for zeros in [1, 511, 4096, 70_000] {
        let zeros = vec![0; zeros];
        let open = with(&sample(1), "", |bytes| [bytes.strip_suffix(b"\t\n").unwrap(), &zeros].concat());
        check("behind an open file", &open, &Fate::Torn((1..=6).collect()));
        let closed = with(&sample(1), "", |bytes| [bytes, &zeros].concat());
        check("behind a closed file", &closed, &Fate::Any);
        check(
            "alone",
            &one(zeros.clone()),
            &Fate::Damaged { read: vec![], told: ("", 1), refused: Some(("", 1)) },
        );
        // A file prepared for a rotation, its blocks not written when the power went.
        let mut next = sample(2);
        next.insert(suffixed(".next"), zeros);
        check("prepared", &next, &Fate::Sound((1..=12).collect()));
    }
}

/// Only a file system that keeps no zeros makes this one possible; a reader that looks for its first line to end does
/// not come back.
#[test]
fn a_hole_of_a_terabyte_is_no_journal() {
    for suffix in ["", ".001", ".next"] {
        let journal = Journal::of(&sample(2));
        let file = fs::File::create(journal.file(suffix)).unwrap();
        if let Err(error) = file.set_len(1 << 40) {
            crate::support::shout(&format!("SKIPPED: a file of a terabyte: {error}"));
            return;
        }
        if suffix == ".next" {
            // Nothing was ever acknowledged in it. It would be read to its end: shorter, here.
            file.set_len(1 << 24).unwrap();
            options().open_blocking(journal.path()).unwrap();
            continue;
        }
        let refused = replay::<u64>(journal.path()).unwrap_err();
        if suffix.is_empty() {
            assert!(matches!(refused, MiniStoreError::MissingInitialState), "{refused:?}");
        } else {
            let is_named = |segment: &Path| segment == journal.file(suffix);
            assert!(
                matches!(&refused, MiniStoreError::Corrupt { segment, .. } if is_named(segment)),
                "{refused:?}"
            );
        }
        assert_eq!(verify(journal.path()).unwrap().faults[0].line, 1);
        if suffix.is_empty() {
            let refused = options().open_blocking(journal.path()).unwrap_err();
            assert!(matches!(refused, MiniStoreError::MissingInitialState), "{refused:?}");
        }
    }
}
