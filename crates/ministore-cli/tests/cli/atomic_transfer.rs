//! `import` and `export` create their target completely or not at all: bad sources, signals, kills, a full disk.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    process::{Child, Command},
    thread,
    time::Instant,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{CommandExt, ProgramOutput, TIMEOUT, TestDir, damage, kill, lines, ministore};

#[test]
fn import_of_bad_line_leaves_nothing() {
    let dir = TestDir::new();
    let source = dir.write("in.ndjson", lines(3000) + "{\"n\": }\n1\n");
    let output = dir.import("in.ndjson").run().code(65);
    let byte = lines(3000).len() + 6;
    assert_eq!(output.error(), format!("{}:3001:7: expected value (byte {byte})", source.display()));
    assert!(output.hint().contains("ministore ingest"), "{output:?}");
    assert_eq!(dir.names(), ["in.ndjson"]);
    dir.write("in.ndjson", format!("1\n\"{}\"\n", "x".repeat(17 << 20)));
    let output = dir.import("in.ndjson").run().code(65);
    assert!(output.error().contains(":2:") && output.error().contains("longer than"), "{output:?}");
    assert_eq!(dir.names(), ["in.ndjson"]);
}

#[test]
fn damaged_source_leaves_no_import_or_export() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"n\":1}\n").ok();
    dir.ingest().run_with_stdin(b"{\"n\":2}\n").ok();
    damage(&dir.journal(), "{\"n\":1");
    let before = dir.names();
    let output = dir.export("plain.jsonl").run().code(65);
    assert!(
        output.error().contains("damaged at byte") && output.hint().contains("ministore salvage"),
        "{output:?}"
    );
    let to = dir.path("new.jsonl");
    let output = ministore(["import".as_ref(), dir.journal().as_os_str(), to.as_os_str()]).run().code(65);
    assert!(output.error().contains(": byte ") && output.hint().contains("ministore salvage"), "{output:?}");
    assert_eq!(dir.names(), before);
    let output = dir.command("export").arg("-").run().code(65);
    assert!(output.stdout.starts_with("// MINISTORE"), "records before the damage are printed: {output:?}");
}

/// An import from a FIFO, which the test fills in steps.
struct FifoImport {
    child: Child,
    lines: BufWriter<File>,
}

impl FifoImport {
    /// Starts an import and waits until some of the first lines are written.
    fn start(dir: &TestDir, first: &str) -> Self {
        let fifo = dir.path("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let child = dir.import("fifo").spawn().unwrap();
        let mut lines = BufWriter::new(OpenOptions::new().write(true).open(&fifo).unwrap());
        lines.write_all(first.as_bytes()).unwrap();
        lines.flush().unwrap();
        let whole = dir.path("journal.jsonl.import/whole");
        let started = Instant::now();
        // Larger than its header: it contains some of the records.
        while fs::metadata(&whole).map_or(0, |found| found.len()) < 1000 {
            assert!(started.elapsed() < TIMEOUT, "no record is written");
            thread::yield_now();
        }
        Self { child, lines }
    }

    fn finish(self) -> ProgramOutput {
        drop(self.lines);
        ProgramOutput::from(self.child.wait_with_output().unwrap())
    }
}

/// Returns enough lines that a part of them is committed before the rest is sent.
fn many_lines() -> String {
    lines(20_000)
}

#[test]
fn killed_import_leaves_no_journal() {
    let dir = TestDir::new();
    let mut import = FifoImport::start(&dir, &many_lines());
    kill(&import.child, "KILL");
    import.child.wait().unwrap();
    assert_eq!(dir.names(), ["fifo", "journal.jsonl.import"]);
    dir.command("replay").run().code(66);
    dir.write("in.ndjson", many_lines());
    dir.import("in.ndjson").run().ok();
    assert_eq!(dir.names(), ["fifo", "in.ndjson", "journal.jsonl"], "files of the killed import are removed");
    assert!(dir.replay() == many_lines());
}

#[test]
fn interrupted_import_leaves_nothing() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let dir = TestDir::new();
        let mut import = FifoImport::start(&dir, &many_lines());
        kill(&import.child, signal);
        // The import notices the signal when it reads the next line.
        let started = Instant::now();
        while import.child.try_wait().unwrap().is_none() {
            assert!(started.elapsed() < TIMEOUT, "the import does not end");
            drop(import.lines.write_all(b"1\n").and_then(|()| import.lines.flush()));
        }
        let output = import.finish().code(code);
        assert!(output.error().contains("was not created"), "{output:?}");
        assert_eq!(dir.names(), ["fifo"]);
    }
}

#[test]
fn concurrent_import_returns_75() {
    let dir = TestDir::new();
    let import = FifoImport::start(&dir, &many_lines());
    dir.write("in.ndjson", "1\n");
    let output = dir.import("in.ndjson").run().code(75);
    assert!(output.error().contains("another process"), "{output:?}");
    import.finish().ok();
    assert!(dir.replay() == many_lines());
}

#[test]
fn import_does_not_replace_new_journal() {
    let dir = TestDir::new();
    let import = FifoImport::start(&dir, &many_lines());
    dir.ingest().run_with_stdin(b"\"theirs\"\n").ok();
    import.finish().code(73);
    assert_eq!(dir.replay(), "\"theirs\"\n");
    assert!(!dir.path("journal.jsonl.import").exists());
}

#[test]
fn full_disk_returns_74_and_leaves_nothing() {
    let dir = TestDir::new();
    dir.write("in.ndjson", many_lines());
    let run_limited = |command: Command| {
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"]);
        limited.arg(command.get_program()).args(command.get_args()).run()
    };
    let output = run_limited(dir.import("in.ndjson")).code(74);
    assert!(output.hint().contains("free"), "{output:?}");
    assert_eq!(dir.names(), ["in.ndjson"]);
    dir.import("in.ndjson").run().ok();
    let before = dir.names();
    let output = run_limited(dir.export("plain.jsonl")).code(74);
    assert!(output.error().contains("plain.jsonl") && output.hint().contains("free"), "{output:?}");
    assert_eq!(dir.names(), before);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    dir.command("export").arg("-").stdout(full).run().code(74);
}
