//! What `import` and `export` make is there whole or not at all: whatever is wrong with the source, and whoever interrupts.

use std::{
    fs::{self, File, OpenOptions},
    io::{BufWriter, Write},
    process::{Child, Command},
    thread,
    time::Instant,
};

use rustix::fs::{CWD, FileType, Mode, mknodat};

use crate::support::{PATIENCE, Place, Ran, Run, damage, kill, lines, ministore};

#[test]
fn a_bad_line_ends_an_import_and_leaves_nothing() {
    let place = Place::new();
    let source = place.write("in.ndjson", lines(3000) + "{\"n\": }\n1\n");
    let ran = place.import("in.ndjson").run().code(65);
    assert_eq!(ran.error(), format!("{}:3001:7: expected value", source.display()));
    assert!(ran.hint().contains("ministore ingest"), "{ran:?}");
    assert_eq!(place.names(), ["in.ndjson"]);
    place.write("in.ndjson", format!("1\n\"{}\"\n", "x".repeat(17 << 20)));
    let ran = place.import("in.ndjson").run().code(65);
    assert!(ran.error().contains(":2:") && ran.error().contains("longer than"), "{ran:?}");
    assert_eq!(place.names(), ["in.ndjson"]);
}

#[test]
fn damage_ends_an_import_and_an_export_and_leaves_nothing() {
    let place = Place::new();
    place.ingest().run_with(b"{\"n\":1}\n").ok();
    place.ingest().run_with(b"{\"n\":2}\n").ok();
    damage(&place.journal(), "{\"n\":1");
    let before = place.names();
    let ran = place.export("plain.jsonl").run().code(65);
    assert!(ran.error().contains("damaged at byte") && ran.hint().contains("ministore salvage"), "{ran:?}");
    let to = place.path("new.jsonl");
    let ran = ministore(["import".as_ref(), place.journal().as_os_str(), to.as_os_str()]).run().code(65);
    assert!(ran.error().contains(": byte ") && ran.hint().contains("ministore salvage"), "{ran:?}");
    assert_eq!(place.names(), before);
    let ran = place.command("export").arg("-").run().code(65);
    assert!(ran.out.starts_with("// MINISTORE"), "what comes before it is written: {ran:?}");
}

/// A source that gives its lines when it is told to.
struct Slow {
    child: Child,
    lines: BufWriter<File>,
}

impl Slow {
    /// An import that has the first lines, and waits for more.
    fn begin(place: &Place, first: &str) -> Self {
        let fifo = place.path("fifo");
        mknodat(CWD, &fifo, FileType::Fifo, Mode::RUSR | Mode::WUSR, 0).unwrap();
        let child = place.import("fifo").spawn().unwrap();
        let mut lines = BufWriter::new(OpenOptions::new().write(true).open(&fifo).unwrap());
        lines.write_all(first.as_bytes()).unwrap();
        lines.flush().unwrap();
        let whole = place.path("journal.jsonl.import/whole");
        let begun = Instant::now();
        // More than its header: some of the records are in it.
        while fs::metadata(&whole).map_or(0, |found| found.len()) < 1000 {
            assert!(begun.elapsed() < PATIENCE, "nothing is written");
            thread::yield_now();
        }
        Self { child, lines }
    }

    fn end(self) -> Ran {
        drop(self.lines);
        Ran::from(self.child.wait_with_output().unwrap())
    }
}

/// Enough that a part of it is committed before the rest comes.
fn many() -> String {
    lines(20_000)
}

#[test]
fn an_import_that_is_killed_leaves_no_journal_and_the_next_one_is_whole() {
    let place = Place::new();
    let mut slow = Slow::begin(&place, &many());
    kill(&slow.child, "KILL");
    slow.child.wait().unwrap();
    assert_eq!(place.names(), ["fifo", "journal.jsonl.import"]);
    place.command("replay").run().code(66);
    place.write("in.ndjson", many());
    place.import("in.ndjson").run().ok();
    assert_eq!(place.names(), ["fifo", "in.ndjson", "journal.jsonl"], "what the other left is gone");
    assert!(place.replay() == many());
}

#[test]
fn an_import_that_is_interrupted_leaves_nothing() {
    for (signal, code) in [("INT", 130), ("TERM", 143)] {
        let place = Place::new();
        let mut slow = Slow::begin(&place, &many());
        kill(&slow.child, signal);
        // It is seen with one of the lines that come.
        let begun = Instant::now();
        while slow.child.try_wait().unwrap().is_none() {
            assert!(begun.elapsed() < PATIENCE, "it does not end");
            drop(slow.lines.write_all(b"1\n").and_then(|()| slow.lines.flush()));
        }
        let ran = slow.end().code(code);
        assert!(ran.error().contains("was not created"), "{ran:?}");
        assert_eq!(place.names(), ["fifo"]);
    }
}

#[test]
fn one_import_at_a_time_makes_a_journal() {
    let place = Place::new();
    let slow = Slow::begin(&place, &many());
    place.write("in.ndjson", "1\n");
    let ran = place.import("in.ndjson").run().code(75);
    assert!(ran.error().contains("another process"), "{ran:?}");
    slow.end().ok();
    assert!(place.replay() == many());
}

#[test]
fn a_journal_that_came_to_be_meanwhile_is_not_replaced() {
    let place = Place::new();
    let slow = Slow::begin(&place, &many());
    place.ingest().run_with(b"\"theirs\"\n").ok();
    slow.end().code(73);
    assert_eq!(place.replay(), "\"theirs\"\n");
    assert!(!place.path("journal.jsonl.import").exists());
}

#[test]
fn a_full_disk_is_74_and_leaves_nothing() {
    let place = Place::new();
    place.write("in.ndjson", many());
    let limited = |command: Command| {
        let mut limited = Command::new("sh");
        limited.args(["-c", "trap '' XFSZ; ulimit -f 400; exec \"$@\"", "sh"]);
        limited.arg(command.get_program()).args(command.get_args()).run()
    };
    let ran = limited(place.import("in.ndjson")).code(74);
    assert!(ran.hint().contains("free"), "{ran:?}");
    assert_eq!(place.names(), ["in.ndjson"]);
    place.import("in.ndjson").run().ok();
    let before = place.names();
    let ran = limited(place.export("plain.jsonl")).code(74);
    assert!(ran.error().contains("plain.jsonl") && ran.hint().contains("free"), "{ran:?}");
    assert_eq!(place.names(), before);
    let full = OpenOptions::new().write(true).open("/dev/full").unwrap();
    place.command("export").arg("-").stdout(full).run().code(74);
}
