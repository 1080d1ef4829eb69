//! Very long lines, long white space, and zeros of blocks that were never written.

use super::*;

const HEADER: &[u8] = b"// MINISTORE JOURNAL v0.1.4 {\"seal\":\"crc32c\",\"first\":1,\"prev\":\"00000000\"}";
const PLAIN: &[u8] = b"// MINISTORE JOURNAL v0.1.4\n";

fn single_file(bytes: Vec<u8>) -> FileContents {
    FileContents::from([(NAME.into(), bytes)])
}

#[test]
fn changed_megabyte_record_is_detected() {
    let journal = TempJournal::new();
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
    for outcome in
        [replay::<String>(journal.path()).map(drop), options().open_blocking(journal.path()).map(drop)]
    {
        assert_position("changed", &journal, &outcome.unwrap_err(), ("", 2));
    }
    assert!(journal.files() == changed);
}

#[test]
fn megabyte_without_record_is_reported() {
    let line = vec![b'x'; 1_000_000];
    let corrupt_at =
        |line| Expectation::Corrupt { read: vec![], read_error: ("", line), open_error: Some(("", line)) };
    check("no header", &single_file(line.clone()), &corrupt_at(1));
    check("a header too long", &single_file([HEADER, &line].concat()), &Expectation::Any);
    check("after a header", &single_file([HEADER, b"\n", &line].concat()), &Expectation::Torn(vec![]));
    check(
        "lines after a header",
        &single_file([HEADER, b"\n", &line, b" \n", &line].concat()),
        &corrupt_at(2),
    );
    check("on a plain line", &single_file([PLAIN, b"1\n", &line].concat()), &Expectation::Torn(vec![1]));
}

/// A group might end at each of these seals: checking one must not read everything before it again.
#[test]
fn line_full_of_seals_is_read_in_linear_time() {
    let seals = format!("x{}", "\t                                ").repeat(1 << 14);
    for header in [HEADER, PLAIN] {
        let bytes = [header, b"\n", seals.as_bytes()].concat();
        check("seals without a line", &single_file(bytes), &Expectation::Any);
    }
}

#[test]
fn long_white_space_is_read_to_its_end() {
    let spaces = vec![b' '; 2 << 20];
    let valid = with(&sample(1), "", |bytes| [bytes.strip_suffix(b"\t\n").unwrap(), &spaces].concat());
    check("after the records", &valid, &Expectation::Valid((1..=6).collect()));
    let text = with(&valid, "", |bytes| [bytes, b"x"].concat());
    check("and a byte after it", &text, &Expectation::Any);
    check("spaces alone", &single_file(spaces), &Expectation::Any);
}

#[test]
fn trailing_zeros_are_truncated() {
    for zeros in [1, 511, 4096, 70_000] {
        let zeros = vec![0; zeros];
        let open = with(&sample(1), "", |bytes| [bytes.strip_suffix(b"\t\n").unwrap(), &zeros].concat());
        check("after an open file", &open, &Expectation::Torn((1..=6).collect()));
        let closed = with(&sample(1), "", |bytes| [bytes, &zeros].concat());
        check("after a closed file", &closed, &Expectation::Any);
        check(
            "alone",
            &single_file(zeros.clone()),
            &Expectation::Corrupt { read: vec![], read_error: ("", 1), open_error: Some(("", 1)) },
        );
        // A prepared segment whose blocks were not written at the power cut.
        let mut next = sample(2);
        next.insert(suffixed(".next"), zeros);
        check("prepared", &next, &Expectation::Valid((1..=12).collect()));
    }
}

/// A sparse file: a reader that searches for the end of its first line hangs.
#[test]
fn terabyte_hole_is_not_a_journal() {
    for suffix in ["", ".001", ".next"] {
        let journal = TempJournal::of(&sample(2));
        let file = fs::File::create(journal.file(suffix)).unwrap();
        if let Err(error) = file.set_len(1 << 40) {
            crate::support::print_notice(&format!("SKIPPED: a file of a terabyte: {error}"));
            return;
        }
        if suffix == ".next" {
            // No record in it was acknowledged, and it is read to its end: make it shorter.
            file.set_len(1 << 24).unwrap();
            options().open_blocking(journal.path()).unwrap();
            continue;
        }
        let error = replay::<u64>(journal.path()).unwrap_err();
        if suffix.is_empty() {
            assert!(matches!(error, MiniStoreError::MissingInitialState), "{error:?}");
        } else {
            let is_named = |segment: &Path| segment == journal.file(suffix);
            assert!(
                matches!(&error, MiniStoreError::Corrupt { segment, .. } if is_named(segment)),
                "{error:?}"
            );
        }
        assert_eq!(verify(journal.path()).unwrap().faults[0].line, 1);
        if suffix.is_empty() {
            let error = options().open_blocking(journal.path()).unwrap_err();
            assert!(matches!(error, MiniStoreError::MissingInitialState), "{error:?}");
        }
    }
}
