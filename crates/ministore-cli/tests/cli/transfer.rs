//! `import` and `export`: the same records in journals with checksums, in plain journals, and as lines.

use std::{
    fs::{self, File},
    io::Write,
    os::unix::fs::{PermissionsExt, symlink},
    path::{Path, PathBuf},
    process::Command,
};

use ministore_uring::{JournalOptions, MiniStore};
use serde_json::Value;

use crate::support::{CommandExt, TestDir, lines, ministore};

impl TestDir {
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

    /// Returns the sorted names of all files and directories.
    pub(crate) fn names(&self) -> Vec<String> {
        let entries = fs::read_dir(self.root()).unwrap();
        let mut names: Vec<_> =
            entries.map(|entry| entry.unwrap().file_name().into_string().unwrap()).collect();
        names.sort();
        names
    }
}

fn replayed(journal: &Path) -> String {
    ministore(["replay".as_ref(), journal.as_os_str()]).run().ok().stdout
}

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../../tests/fixtures").join(name).join("journal.jsonl")
}

#[test]
fn export_and_import_keep_records() {
    let (dir, text) = (TestDir::new(), lines(3000));
    dir.ingest().args(["--max-segment-bytes", "64KiB"]).run_with_stdin(text.as_bytes()).ok();
    dir.export("plain.jsonl").run().ok();
    dir.export("lines.ndjson").arg("--lines").run().ok();
    let back = TestDir::new();
    for source in ["plain.jsonl", "lines.ndjson", "journal.jsonl"] {
        let to = back.path(&format!("from-{source}"));
        let output = ministore(["import".as_ref(), dir.path(source).as_os_str(), to.as_os_str()]).run().ok();
        assert_eq!(
            output.stdout,
            format!("{}: 3,000 records imported from {}\n", to.display(), dir.path(source).display())
        );
        assert_eq!(replayed(&to), text, "{source}");
        let verified = ministore(["verify".as_ref(), to.as_os_str(), "--json".as_ref()]).run().ok().json();
        assert_eq!((&verified["records"], &verified["unchecksummed_segments"]), (&3000.into(), &0.into()));
    }
    assert_eq!(
        back.names(),
        ["from-journal.jsonl", "from-lines.ndjson", "from-plain.jsonl"],
        "no other file is created"
    );
    assert_eq!(fs::read_to_string(dir.path("lines.ndjson")).unwrap(), text);
}

#[test]
fn import_converts_the_header_both_ways() {
    let (dir, text) = (TestDir::new(), lines(300));
    dir.ingest().args(["--max-segment-bytes", "4KiB"]).run_with_stdin(text.as_bytes()).ok();
    let convert = |from: &str, to: &str, header: &str| {
        let mut command =
            ministore(["import".as_ref(), dir.path(from).as_os_str(), dir.path(to).as_os_str()]);
        command.args(["--header", header]).run().ok();
        assert_eq!(replayed(&dir.path(to)), text, "{from} to {to}");
        fs::read_to_string(dir.path(to)).unwrap()
    };
    let json = convert("journal.jsonl", "json.jsonl", "json");
    let comment = convert("json.jsonl", "comment.jsonl", "comment");
    assert!(json.starts_with("{\"$ministore\":") && comment.starts_with("//"));
    assert_eq!(convert("comment.jsonl", "again.jsonl", "json"), json);
    let export = |args: &[&str]| {
        ministore(["export"]).arg(dir.path("json.jsonl")).args(args).arg("-").run().ok().stdout
    };
    assert_eq!(export(&["--lines"]), text);
    assert_eq!(export(&[]), format!("// MINISTORE JOURNAL v0.1.4\n{text}"));
}

#[test]
fn exported_journal_matches_ingest_bytes() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"a\":1}\n[2]\n").ok();
    dir.export("plain.jsonl").run().ok();
    let other = TestDir::new();
    other.ingest().arg("--no-checksums").run_with_stdin(b"{\"a\":1}\n[2]\n").ok();
    let exported = fs::read(dir.path("plain.jsonl")).unwrap();
    assert_eq!(exported, fs::read(other.journal()).unwrap());
    assert_eq!(dir.command("export").arg("-").run().ok().stdout.as_bytes(), exported);
    assert_eq!(dir.command("export").args(["--lines", "-"]).run().ok().stdout, "{\"a\":1}\n[2]\n");
    let mode = fs::metadata(dir.path("plain.jsonl")).unwrap().permissions().mode();
    assert_eq!(mode & 0o777, 0o600, "only its owner may read it, as a journal");
}

#[test]
fn ministore_0_1_7_continues_an_exported_journal() {
    let dir = TestDir::new();
    dir.ingest().args(["--max-segment-bytes", "1KiB"]).run_with_stdin(lines(300).as_bytes()).ok();
    dir.export("plain.jsonl").run().ok();
    let plain = dir.path("plain.jsonl");
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
    // Import the exported journal again.
    let back = TestDir::new();
    ministore(["import".as_ref(), plain.as_os_str(), back.journal().as_os_str()]).run().ok();
    assert_eq!(back.replay(), text);
}

#[test]
fn import_reads_all_segments_of_old_formats() {
    for name in ["legacy", "legacy-rotated", "rotated", "closed", "crashed"] {
        let dir = TestDir::new();
        ministore(["import".as_ref(), fixture(name).as_os_str(), dir.journal().as_os_str()]).run().ok();
        assert_eq!(dir.replay(), replayed(&fixture(name)), "{name}");
        assert!(!dir.replay().is_empty());
        dir.command("verify").run().ok();
    }
}

/// The imported journal is one segment; later segments have the requested size.
#[test]
fn imported_journal_can_be_appended() {
    let (dir, text) = (TestDir::new(), lines(1000));
    dir.write("in.ndjson", with_blank_lines(&text));
    dir.import("in.ndjson").run().ok();
    dir.ingest().args(["--max-segment-bytes", "16KiB"]).run_with_stdin(text.as_bytes()).ok();
    assert_eq!(dir.replay(), text.clone() + &text);
    let inspect = dir.command("inspect").arg("--json").run().ok().json();
    let segments = inspect["segments"].as_array().unwrap();
    assert!(segments.len() > 2 && segments[0]["records"].as_u64().unwrap() >= 1000, "{inspect}");
}

/// Adds blank lines, white space and CR LF, which are not part of the records.
fn with_blank_lines(text: &str) -> String {
    format!("\n  \r\n{}", text.replacen('\n', " \r\n", 3))
}

#[test]
fn compressed_lines_are_imported() {
    let dir = TestDir::new();
    let file = File::create(dir.path("in.ndjson.gz")).unwrap();
    let mut out = flate2::write::GzEncoder::new(file, flate2::Compression::fast());
    out.write_all(lines(500).as_bytes()).unwrap();
    out.finish().unwrap();
    dir.import("in.ndjson.gz").run().ok();
    assert_eq!(dir.replay(), lines(500));
}

#[test]
fn torn_tail_is_skipped_and_reported() {
    let dir = TestDir::new();
    dir.write("old.jsonl", "// MINISTORE JOURNAL v0.1.4\n1\n2\n{\"n\":");
    let output = dir.import("old.jsonl").run().ok();
    assert!(output.error().contains("torn tail"), "{output:?}");
    assert_eq!(dir.replay(), "1\n2\n");
}

#[test]
fn existing_files_are_not_overwritten() {
    type Create = fn(&Path);
    let existing: [(&str, Create); 5] = [
        ("", |path| fs::write(path, "mine").unwrap()),
        (".001", |path| fs::write(path, "// MINISTORE JOURNAL v0.1.4\n1\n").unwrap()),
        (".holds", |path| fs::write(path, "mine").unwrap()),
        (".next", |path| fs::write(path, "mine").unwrap()),
        ("", |path| symlink("to-nothing", path).unwrap()),
    ];
    for (suffix, create) in existing {
        let dir = TestDir::new();
        let source = TestDir::new();
        source.ingest().run_with_stdin(b"1\n").ok();
        create(&dir.path(&format!("target{suffix}")));
        let before = dir.names();
        for subcommand in ["import", "export"] {
            let mut command = ministore([subcommand.as_ref(), source.journal().as_os_str()]);
            let output = command.arg(dir.path("target")).run().code(73);
            assert!(output.hint().contains("nothing is overwritten"), "{suffix}: {output:?}");
            assert_eq!(dir.names(), before, "{suffix}");
        }
    }
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    dir.write("lines", "mine");
    dir.export("lines").arg("--lines").run().code(73);
    assert_eq!(fs::read_to_string(dir.path("lines")).unwrap(), "mine");
}

#[test]
fn target_inside_source_journal_returns_64() {
    let dir = TestDir::new();
    dir.ingest().args(["--max-segment-bytes", "4KiB"]).run_with_stdin(lines(100).as_bytes()).ok();
    let before = dir.names();
    for target in ["journal.jsonl", "journal.jsonl.900", "journal.jsonl.next", "journal.jsonl.holds"] {
        dir.export(target).run().code(64);
        let to = dir.path(target);
        ministore(["import".as_ref(), dir.journal().as_os_str(), to.as_os_str()]).run().code(64);
    }
    let segment = dir.path("journal.jsonl.001");
    ministore(["import".as_ref(), segment.as_os_str(), dir.journal().as_os_str()]).run().code(64);
    assert_eq!(dir.names(), before);
}

#[test]
fn missing_source_or_directory_is_rejected() {
    let dir = TestDir::new();
    dir.import("missing").run().code(66);
    dir.export("plain.jsonl").run().code(66);
    fs::create_dir(dir.path("directory")).unwrap();
    dir.import("directory").run().code(66);
    dir.write("in.ndjson", "1\n");
    let to = dir.path("no/new.jsonl");
    let output =
        ministore(["import".as_ref(), dir.path("in.ndjson").as_os_str(), to.as_os_str()]).run().code(73);
    assert!(output.hint().contains("mkdir -p"), "{output:?}");
}

#[test]
fn changed_seqs_are_reported() {
    let dir = TestDir::new();
    let store = JournalOptions::new().open_blocking(dir.journal()).unwrap();
    store.blocking().append_batch(1..=1000).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().append_batch(1001..=1003).unwrap();
    assert_eq!(store.blocking().trim_before(1001).unwrap(), 1001);
    store.blocking().close().unwrap();
    let output = dir.export("plain.jsonl").run().ok();
    assert!(
        output.error().contains("record 1001 of") && output.error().contains("is record 1 of"),
        "{output:?}"
    );
    assert_eq!(
        dir.export("lines.ndjson").arg("--lines").run().ok().stderr,
        "",
        "lines have no sequence numbers"
    );
    let to = dir.path("new.jsonl");
    let output = ministore(["import".as_ref(), dir.journal().as_os_str(), to.as_os_str()]).run().ok();
    assert!(output.error().contains("record 1001 of"), "{output:?}");
    let json = dir.export("again.jsonl").arg("--json").run().ok().json();
    assert_eq!(
        (&json["records"], &json["journal_first_seq"], &json["format"]),
        (&3.into(), &1001.into(), &"plain".into())
    );
}

#[test]
fn export_reads_an_open_journal() {
    let dir = TestDir::new();
    let store = MiniStore::open_blocking(dir.journal()).unwrap();
    store.blocking().append_batch([1, 2, 3]).unwrap();
    dir.export("lines.ndjson").arg("--lines").run().ok();
    assert_eq!(fs::read_to_string(dir.path("lines.ndjson")).unwrap(), "1\n2\n3\n");
}

#[test]
fn import_copies_records_that_old_versions_accepted() {
    let dir = TestDir::new();
    let to = dir.path("copy.jsonl");
    ministore(["import".as_ref(), fixture("permissive").as_os_str(), to.as_os_str()]).run().ok();
    let copied = replayed(&to);
    assert_eq!(copied.lines().count(), 10);
    assert!(copied.starts_with("{\"name\":\"\\ud83d\"}\n{\"\\udc00\":1}\n1e400\n"), "{copied}");

    // Export the copy, and import the result.
    let plain = dir.path("plain.jsonl");
    ministore(["export".as_ref(), to.as_os_str(), plain.as_os_str()]).run().ok();
    let again = dir.path("again.jsonl");
    ministore(["import".as_ref(), plain.as_os_str(), again.as_os_str()]).run().ok();
    assert_eq!(replayed(&again), copied);
}

#[test]
fn import_of_lines_rejects_unreadable_json() {
    let dir = TestDir::new();
    dir.write("in.ndjson", "1\n {\"a\":\"x\\ud83d y\"}\n");
    let output = dir.import("in.ndjson").run().code(65);
    assert_eq!(
        output.error(),
        format!("{}:2:9: a lone surrogate in a string (byte 10)", dir.path("in.ndjson").display())
    );
    assert_eq!(dir.names(), ["in.ndjson"]);
}
