//! `import` and `export`: the same records in journals with seals, in plain ones, and as lines.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use ministore_uring::{JournalOptions, MiniStore};
use serde_json::Value;

use crate::support::{Place, Run, lines, ministore};

impl Place {
    pub(crate) fn import(&self, source: &str) -> Command {
        let mut command = ministore(["import".as_ref(), self.path(source).as_os_str()]);
        command.arg(self.journal());
        command
    }

    pub(crate) fn export(&self, file: &str) -> Command {
        let mut command = self.command("export");
        command.arg(self.path(file));
        command
    }

    /// Of files and directories.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.dir.path()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn replayed(journal: &Path) -> String {
    ministore(["replay".as_ref(), journal.as_os_str()]).run().ok().out
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name).join("journal.jsonl")
}

#[test]
fn what_is_exported_and_imported_is_the_same() {
    let (place, text) = (Place::new(), lines(3000));
    place.ingest().args(["--max-segment-bytes", "64KiB"]).run_with(text.as_bytes()).ok();
    place.export("plain.jsonl").run().ok();
    place.export("lines.ndjson").arg("--lines").run().ok();
    let back = Place::new();
    for source in ["plain.jsonl", "lines.ndjson", "journal.jsonl"] {
        let to = back.path(&format!("from-{source}"));
        let ran = ministore(["import".as_ref(), place.path(source).as_os_str(), to.as_os_str()]).run().ok();
        assert_eq!(
            ran.out,
            format!("{}: 3,000 records imported from {}\n", to.display(), place.path(source).display())
        );
        assert_eq!(replayed(&to), text, "{source}");
        let verified = ministore(["verify".as_ref(), to.as_os_str(), "--json".as_ref()]).run().ok().json();
        assert_eq!((&verified["records"], &verified["unchecksummed_segments"]), (&3000.into(), &0.into()));
    }
    assert_eq!(
        back.names(),
        ["from-journal.jsonl", "from-lines.ndjson", "from-plain.jsonl"],
        "and nothing else"
    );
    assert_eq!(fs::read_to_string(place.path("lines.ndjson")).unwrap(), text);
}

#[test]
fn an_exported_journal_is_byte_for_byte_what_the_original_writes() {
    let place = Place::new();
    place.ingest().run_with(b"{\"a\":1}\n[2]\n").ok();
    place.export("plain.jsonl").run().ok();
    let other = Place::new();
    other.ingest().arg("--no-checksums").run_with(b"{\"a\":1}\n[2]\n").ok();
    let exported = fs::read(place.path("plain.jsonl")).unwrap();
    assert_eq!(exported, fs::read(other.journal()).unwrap());
    assert_eq!(place.command("export").arg("-").run().ok().out.as_bytes(), exported);
    assert_eq!(place.command("export").args(["--lines", "-"]).run().ok().out, "{\"a\":1}\n[2]\n");
    let mode = fs::metadata(place.path("plain.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "its owner's alone, as a journal is");
}

#[test]
fn ministore_0_1_7_continues_an_exported_journal() {
    let place = Place::new();
    place.ingest().args(["--max-segment-bytes", "1KiB"]).run_with(lines(300).as_bytes()).ok();
    place.export("plain.jsonl").run().ok();
    let plain = place.path("plain.jsonl");
    let runtime = tokio::runtime::Builder::new_current_thread().enable_all().build().unwrap();
    let all: Vec<Value> = runtime.block_on(async {
        let before: Vec<Value> = ministore::MiniStore::replay(&plain).await.unwrap();
        assert_eq!(before.len(), 300);
        let mut store = ministore::MiniStore::open(&plain).await.unwrap();
        store.append(&"one more").await.unwrap();
        ministore::MiniStore::replay(&plain).await.unwrap()
    });
    let text: String = all.iter().map(|value| format!("{value}\n")).collect();
    assert_eq!(text, lines(300) + "\"one more\"\n");
    // And the way back.
    let back = Place::new();
    ministore(["import".as_ref(), plain.as_os_str(), back.journal().as_os_str()]).run().ok();
    assert_eq!(back.replay(), text);
}

#[test]
fn journals_of_the_original_are_imported_with_all_their_segments() {
    for name in ["original", "original-rotated", "rotated", "closed", "crashed"] {
        let place = Place::new();
        ministore(["import".as_ref(), fixture(name).as_os_str(), place.journal().as_os_str()]).run().ok();
        assert_eq!(place.replay(), replayed(&fixture(name)), "{name}");
        assert!(!place.replay().is_empty());
        place.command("verify").run().ok();
    }
}

/// It begins as one segment, and goes on with those of the size that is asked for.
#[test]
fn an_imported_journal_is_continued() {
    let (place, text) = (Place::new(), lines(1000));
    place.write("in.ndjson", head_and_blanks(&text));
    place.import("in.ndjson").run().ok();
    place.ingest().args(["--max-segment-bytes", "16KiB"]).run_with(text.as_bytes()).ok();
    assert_eq!(place.replay(), text.clone() + &text);
    let inspect = place.command("inspect").arg("--json").run().ok().json();
    let segments = inspect["segments"].as_array().unwrap();
    assert!(segments.len() > 2 && segments[0]["records"].as_u64().unwrap() >= 1000, "{inspect}");
}

/// Blank lines, white space and CR LF are no records.
fn head_and_blanks(text: &str) -> String {
    format!("\n  \r\n{}", text.replacen('\n', " \r\n", 3))
}

#[test]
fn compressed_lines_are_imported() {
    let place = Place::new();
    let file = File::create(place.path("in.ndjson.gz")).unwrap();
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    out.write_all(lines(500).as_bytes()).unwrap();
    out.finish().unwrap();
    place.import("in.ndjson.gz").run().ok();
    assert_eq!(place.replay(), lines(500));
}

#[test]
fn torn_tail_is_skipped_and_reported() {
    let place = Place::new();
    place.write("old.jsonl", "// MINISTORE JOURNAL v0.1.4\n1\n2\n{\"n\":");
    let ran = place.import("old.jsonl").run().ok();
    assert!(ran.error().contains("torn tail"), "{ran:?}");
    assert_eq!(place.replay(), "1\n2\n");
}

#[test]
fn nothing_is_written_over() {
    type Make = fn(&Path);
    let there: [(&str, Make); 5] = [
        ("", |path| fs::write(path, "mine").unwrap()),
        (".001", |path| fs::write(path, "// MINISTORE JOURNAL v0.1.4\n1\n").unwrap()),
        (".holds", |path| fs::write(path, "mine").unwrap()),
        (".next", |path| fs::write(path, "mine").unwrap()),
        ("", |path| symlink("to-nothing", path).unwrap()),
    ];
    for (suffix, make) in there {
        let place = Place::new();
        let source = Place::new();
        source.ingest().run_with(b"1\n").ok();
        make(&place.path(&format!("target{suffix}")));
        let before = place.names();
        for subcommand in ["import", "export"] {
            let mut command = ministore([subcommand.as_ref(), source.journal().as_os_str()]);
            let ran = command.arg(place.path("target")).run().code(73);
            assert!(ran.hint().contains("nothing is overwritten"), "{suffix}: {ran:?}");
            assert_eq!(place.names(), before, "{suffix}");
        }
    }
    let place = Place::new();
    place.ingest().run_with(b"1\n").ok();
    place.write("lines", "mine");
    place.export("lines").arg("--lines").run().code(73);
    assert_eq!(fs::read_to_string(place.path("lines")).unwrap(), "mine");
}

#[test]
fn a_journal_is_not_made_of_pieces_of_its_source() {
    let place = Place::new();
    place.ingest().args(["--max-segment-bytes", "4KiB"]).run_with(lines(100).as_bytes()).ok();
    let before = place.names();
    for target in ["journal.jsonl", "journal.jsonl.900", "journal.jsonl.next", "journal.jsonl.holds"] {
        place.export(target).run().code(64);
        let to = place.path(target);
        ministore(["import".as_ref(), place.journal().as_os_str(), to.as_os_str()]).run().code(64);
    }
    let segment = place.path("journal.jsonl.001");
    ministore(["import".as_ref(), segment.as_os_str(), place.journal().as_os_str()]).run().code(64);
    assert_eq!(place.names(), before);
}

#[test]
fn what_is_not_there_is_66_and_a_directory_that_is_not_there_73() {
    let place = Place::new();
    place.import("missing").run().code(66);
    place.export("plain.jsonl").run().code(66);
    fs::create_dir(place.path("directory")).unwrap();
    place.import("directory").run().code(66);
    place.write("in.ndjson", "1\n");
    let to = place.path("no/new.jsonl");
    let ran =
        ministore(["import".as_ref(), place.path("in.ndjson").as_os_str(), to.as_os_str()]).run().code(73);
    assert!(ran.hint().contains("mkdir -p"), "{ran:?}");
}

#[test]
fn changed_seqs_are_reported() {
    let place = Place::new();
    let store = JournalOptions::new().open_blocking(place.journal()).unwrap();
    store.blocking().append_batch(1..=1000).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().append_batch(1001..=1003).unwrap();
    assert_eq!(store.blocking().trim_before(1001).unwrap(), 1001);
    store.blocking().close().unwrap();
    let ran = place.export("plain.jsonl").run().ok();
    assert!(ran.error().contains("record 1001 of") && ran.error().contains("is record 1 of"), "{ran:?}");
    assert_eq!(place.export("lines.ndjson").arg("--lines").run().ok().err, "", "lines have no numbers");
    let to = place.path("new.jsonl");
    let ran = ministore(["import".as_ref(), place.journal().as_os_str(), to.as_os_str()]).run().ok();
    assert!(ran.error().contains("record 1001 of"), "{ran:?}");
    let json = place.export("again.jsonl").arg("--json").run().ok().json();
    assert_eq!(
        (&json["records"], &json["journal_first_seq"], &json["format"]),
        (&3.into(), &1001.into(), &"plain".into())
    );
}

#[test]
fn a_journal_that_is_being_written_is_exported_as_far_as_it_is_durable() {
    let place = Place::new();
    let store = MiniStore::open_blocking(place.journal()).unwrap();
    store.blocking().append_batch([1, 2, 3]).unwrap();
    place.export("lines.ndjson").arg("--lines").run().ok();
    assert_eq!(fs::read_to_string(place.path("lines.ndjson")).unwrap(), "1\n2\n3\n");
}

#[test]
fn import_copies_records_that_old_versions_accepted() {
    let place = Place::new();
    let to = place.path("copy.jsonl");
    ministore(["import".as_ref(), fixture("permissive").as_os_str(), to.as_os_str()]).run().ok();
    let copied = replayed(&to);
    assert_eq!(copied.lines().count(), 10);
    assert!(copied.starts_with("{\"name\":\"\\ud83d\"}\n{\"\\udc00\":1}\n1e400\n"), "{copied}");

    // And export again, and import what was exported.
    let plain = place.path("plain.jsonl");
    ministore(["export".as_ref(), to.as_os_str(), plain.as_os_str()]).run().ok();
    let again = place.path("again.jsonl");
    ministore(["import".as_ref(), plain.as_os_str(), again.as_os_str()]).run().ok();
    assert_eq!(replayed(&again), copied);
}

#[test]
fn import_of_lines_rejects_unreadable_json() {
    let place = Place::new();
    place.write("in.ndjson", "1\n {\"a\":\"x\\ud83d y\"}\n");
    let ran = place.import("in.ndjson").run().code(65);
    assert_eq!(
        ran.error(),
        format!("{}:2:9: a lone surrogate in a string", place.path("in.ndjson").display())
    );
    assert_eq!(place.names(), ["in.ndjson"]);
}
