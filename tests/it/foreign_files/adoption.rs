//! The table in `docs/reference/format.md` ("Files that nothing proves to be segments"), one test per row. A bare header
//! proves nothing: such a file is a segment only under a name, and with a number, that a writer of the journal gives it.

use super::*;

/// A plain segment with one record.
fn plain(record: u64) -> String {
    format!("// MINISTORE JOURNAL v0.1.4\n{record}\n")
}

/// Creates the plain files of a directory, each with one record.
fn plain_files(dir: &Path, files: &[(&str, u64)]) {
    for (name, record) in files {
        fs::write(dir.join(name), plain(*record)).unwrap();
    }
}

/// Checks that readers, the writer and `verify` refuse the journal `j` because of `file`, and change nothing.
fn assert_refused(options: &JournalOptions, dir: &Path, file: &str, remedy: &str) {
    let is_other = |name: &str| name != "j.lock";
    let before = files(dir, is_other);
    let path = dir.join("j");
    for refused in [
        options.clone().open_blocking(&path).map(drop),
        replay::<u64>(&path).map(drop),
        verify(&path).map(drop),
    ] {
        let Err(MiniStoreError::NotOwned { path, reason }) = refused else { panic!("{refused:?}") };
        assert_eq!(path, dir.join(file));
        assert!(reason.contains(remedy), "{reason}");
    }
    assert_eq!(files(dir, is_other), before);
}

/// Checks that the journal `j` has these records, can be appended to, and that no file but the active one changes.
fn assert_accepted(options: &JournalOptions, dir: &Path, records: &[u64]) {
    let rotated = |name: &str| name.starts_with("j.") && name.ends_with(|c: char| c.is_ascii_digit());
    let before = files(dir, rotated);
    let path = dir.join("j");
    assert_eq!(replay::<u64>(&path).unwrap(), records);
    let store = options.clone().open_blocking(&path).unwrap();
    store.blocking().append(&1000).unwrap();
    store.blocking().close().unwrap();
    assert_eq!(replay::<u64>(&path).unwrap(), [records, &[1000]].concat());
    assert_eq!(files(dir, rotated), before);
}

#[test]
fn six_digit_plain_segments_are_accepted() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.000007", 7), ("j.000008", 8), ("j", 9)]);
        assert_accepted(&options, &dir, &[7, 8, 9]);
    });
}

#[test]
fn six_digit_plain_run_above_999_is_accepted() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.002023", 1), ("j.002024", 2), ("j", 3)]);
        assert_accepted(&options, &dir, &[1, 2, 3]);
    });
}

#[test]
fn three_digit_plain_segments_are_accepted() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.998", 1), ("j.999", 2), ("j.001000", 3), ("j", 4)]);
        assert_accepted(&options, &dir, &[1, 2, 3, 4]);
    });
}

#[test]
fn short_plain_run_above_999_is_refused() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.2022", 1), ("j.2023", 2)]);
        assert_refused(&options, &dir, "j.2022", "rename it to");
        plain_files(&dir, &[("j", 3)]);
        assert_refused(&options, &dir, "j.2022", "j.002022");
    });
}

#[test]
fn renaming_a_refused_segment_adopts_it() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.2022", 1), ("j", 2)]);
        assert_refused(&options, &dir, "j.2022", "j.002022");
        fs::rename(dir.join("j.2022"), dir.join("j.002022")).unwrap();
        assert_accepted(&options, &dir, &[1, 2]);
    });
}

#[test]
fn plain_segment_with_odd_digits_is_refused() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        for name in ["j.1", "j.01", "j.0001"] {
            plain_files(&dir, &[(name, 1), ("j", 2)]);
            assert_refused(&options, &dir, name, "j.001");
            fs::remove_file(dir.join(name)).unwrap();
        }
    });
}

#[test]
fn plain_segment_before_a_gap_is_refused() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.001", 1), ("j.003", 3), ("j", 4)]);
        assert_refused(&options, &dir, "j.001", "restore the segments between");
    });
}

#[test]
fn number_of_another_journal_is_no_gap() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.001", 1), ("j.002", 77), ("j.003", 3), ("j", 4)]);
        fs::write(dir.join("j.002.lock"), "").unwrap();
        assert_accepted(&options, &dir, &[1, 3, 4]);
        assert_eq!(replay::<u64>(dir.join("j.002")).unwrap(), [77]);
    });
}

#[test]
fn checksummed_run_above_999_is_proven_by_its_chain() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        write(&options, &dir.join("j"), &[&[1], &[2], &[3]]);
        fs::rename(dir.join("j.001"), dir.join("j.2022")).unwrap();
        fs::rename(dir.join("j.002"), dir.join("j.2023")).unwrap();
        assert_accepted(&options, &dir, &[1, 2, 3]);
    });
}

#[test]
fn unrelated_checksummed_journal_is_refused() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        write(&options, &dir.join("j.2024"), &[&[1, 2]]);
        fs::remove_file(dir.join("j.2024.lock")).unwrap();
        assert_refused(&options, &dir, "j.2024", "rename it to");
        // It stays a journal of its own, also next to a journal of the shorter name.
        fs::write(dir.join("j.2024.lock"), "").unwrap();
        write(&options, &dir.join("j"), &[&[5]]);
        fs::remove_file(dir.join("j.2024.lock")).unwrap();
        let store = options.open_blocking(dir.join("j.2024")).unwrap();
        store.blocking().append(&3).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(replay::<u64>(dir.join("j.2024")).unwrap(), [1, 2, 3]);
        assert_eq!(replay::<u64>(dir.join("j")).unwrap(), [5]);
    });
}

#[test]
fn plain_journal_with_a_number_stays_a_journal() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.2024", 1), ("j", 5)]);
        let store = options.clone().open_blocking(dir.join("j.2024")).unwrap();
        store.blocking().append(&2).unwrap();
        store.blocking().close().unwrap();
        assert_eq!(replay::<u64>(dir.join("j.2024")).unwrap(), [1, 2]);
        // A name that a writer of `j` gives belongs to `j`.
        plain_files(&dir, &[("j.000001", 4)]);
        let opened = options.open_blocking(dir.join("j.000001"));
        assert!(matches!(opened, Err(MiniStoreError::NotOwned { .. })), "{opened:?}");
    });
}

#[test]
fn segment_1000_gets_six_digits() {
    for_each_backend(|options| {
        let (_keep, dir) = directory();
        plain_files(&dir, &[("j.999", 1), ("j", 2)]);
        let store = options.checksums(false).open_blocking(dir.join("j")).unwrap();
        store.blocking().rotate().unwrap();
        store.blocking().close().unwrap();
        assert!(dir.join("j.001000").exists());
        assert_eq!(replay::<u64>(dir.join("j")).unwrap(), [1, 2]);
    });
}
