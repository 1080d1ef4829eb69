//! Control characters in names do not reach the terminal, whatever prints them.

use std::{ffi::OsStr, fs, os::unix::ffi::OsStrExt};

use crate::{
    support::{CommandExt, ProgramOutput, TestDir, damage, ministore},
    terminal::{TerminalOutput, on_a_terminal},
};

/// Clears the screen, forges a line, rings the bell, and uses a C1 control character and a change of direction.
const NAME: &str = "a\x1b[2Jb\nministore: forged\r\x07\u{9b}31m\u{202e}.jsonl";

#[track_caller]
fn assert_printable(output: &ProgramOutput) {
    for text in [&output.stdout, &output.stderr] {
        let forged = text.lines().any(|line| line.starts_with("ministore: forged"));
        let control = text.chars().any(|c| (c.is_control() && c != '\n') || c == '\u{202e}');
        assert!(!forged && !control, "{text:?}");
    }
}

#[test]
fn control_characters_in_names_are_escaped() {
    let dir = TestDir::new();
    let journal = dir.path(NAME);
    let on = |args: &[&str]| {
        let mut command = ministore([args[0]]);
        command.arg(&journal).args(&args[1..]);
        command
    };
    let missing = on(&["replay"]).run().code(66);
    assert_printable(&missing);
    on(&["ingest"]).run_with_stdin(b"{\"n\":1}\n{\"n\":2}\n").ok();
    let other = dir.path(&format!("{NAME}.copy"));
    let other = other.to_str().unwrap();
    let commands = [
        &["ingest", NAME][..],
        &["ingest", "--on-error", NAME],
        &["inspect"],
        &["inspect", "--json"],
        &["verify"],
        &["verify", "--json"],
        &["repair", "--dry-run"],
        &["export", other],
        &["export", other],
        &["export", "--json", other],
        &["salvage", other],
        &["get", "99"],
        &["replay", NAME],
        &["bench", NAME],
        &["doctor", NAME],
        &["compare", NAME],
        &["man", NAME],
    ];
    for args in commands {
        assert_printable(&on(args).run());
        assert_printable(&on(args).arg("-v").run());
    }
    // Text without JSON, whose first line is invalid.
    let input = dir.write(&format!("{NAME}.in"), "1\nx\n");
    for policy in ["stop", "skip"] {
        assert_printable(&on(&["ingest", "--on-error", policy]).arg(&input).run());
    }
    damage(&journal, "{\"n\":1");
    for args in [&["verify"][..], &["inspect"], &["repair"], &["replay"], &["ingest"], &["salvage", other]] {
        assert_printable(&on(args).run());
        assert_printable(&on(args).arg("--json").run());
        assert_printable(&on(args).args(["-v", "--log-format", "json"]).run());
    }
}

#[test]
fn unknown_arguments_are_escaped() {
    for args in [&[NAME][..], &["verify", "j", NAME], &["replay", "j", "--where", NAME]] {
        assert_printable(&ministore(args).run().code(64));
        assert_printable(&ministore(args).args(["--json"]).run().code(64));
        let coloured = ministore(args).args(["--color", "always"]).env("TERM", "xterm").run().code(64);
        assert!(
            coloured.stderr.contains(r"a\x1b[2Jb\nministore: forged\r\x07\u{9b}31m\u{202e}"),
            "{coloured:?}"
        );
    }
}

#[test]
fn names_that_are_not_utf8_are_shown() {
    let dir = TestDir::new();
    let path = dir.root().join(OsStr::from_bytes(b"a\xff\x1b.jsonl"));
    let output = ministore(["verify".as_ref(), path.as_os_str()]).run().code(66);
    assert_printable(&output);
}

#[test]
fn suggested_name_can_be_pasted() {
    let dir = TestDir::new();
    ministore(["ingest".as_ref(), dir.path("orders\x1b.jsonl").as_os_str()]).run_with_stdin(b"1\n").ok();
    let output = ministore(["verify".as_ref(), dir.path("order.jsonl").as_os_str()]).run().code(66);
    assert!(output.hint().contains("$'") && output.hint().contains("orders\\u001b.jsonl'"), "{output:?}");
}

#[test]
fn reading_from_a_terminal_is_announced() {
    let dir = TestDir::new();
    let (output, shown) = on_a_terminal(&mut dir.ingest(), TerminalOutput::Stderr, 80);
    assert!(!shown.contains("reading from the terminal"), "standard input is empty: {shown:?}");
    output.ok();
    let (_, shown) = crate::terminal::with_terminal_as_stdin(&mut dir.ingest(), "1\n\x04");
    assert!(shown.contains("reading from the terminal; Ctrl-D ends the input"), "{shown:?}");
    assert_eq!(dir.replay(), "1\n");
    fs::remove_file(dir.journal()).unwrap();
}
