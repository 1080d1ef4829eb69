//! Colours: used on a terminal unless the environment disables them, and never in records.

use std::process::Command;

use crate::{
    support::{CommandExt, TestDir, damage},
    terminal::{TerminalOutput, on_a_terminal},
};

const ESCAPE: char = '\u{1b}';

fn journal() -> TestDir {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"n\":1}\n{\"n\":2}\n").ok();
    dir
}

/// Returns both outputs on a terminal, with these environment variables set.
fn shown(command: &mut Command, variables: &[(&str, &str)]) -> String {
    on_a_terminal(command.envs(variables.iter().copied()), TerminalOutput::Both, 100).1
}

/// Returns one command of each kind: a table, an error with a hint, an invalid command line, a help text.
fn commands(dir: &TestDir) -> Vec<Command> {
    let mut missing = crate::support::ministore(["verify"]);
    missing.arg(dir.path("missing.jsonl"));
    vec![
        dir.command("inspect"),
        missing,
        crate::support::ministore(["replay"]),
        crate::support::ministore(["replay", "--help"]),
    ]
}

#[test]
fn terminal_output_is_coloured() {
    let dir = journal();
    for mut command in commands(&dir) {
        let shown = shown(&mut command, &[]);
        assert!(shown.contains(ESCAPE), "{command:?}: {shown:?}");
    }
}

#[test]
fn environment_disables_colours() {
    let dir = journal();
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        for command in commands(&dir) {
            // The test terminal sets TERM, so a shell has to override it.
            let mut through_sh = Command::new("sh");
            let setting = format!("{}={}", variable.0, variable.1);
            through_sh.args(["-c", "export \"$1\"; shift; exec \"$@\"", "sh", &setting]);
            through_sh.arg(command.get_program()).args(command.get_args());
            for (name, value) in command.get_envs() {
                match value {
                    Some(value) => through_sh.env(name, value),
                    None => through_sh.env_remove(name),
                };
            }
            let (output, plain) = on_a_terminal(&mut through_sh, TerminalOutput::Both, 100);
            assert!(
                !plain.contains(ESCAPE) && !plain.is_empty(),
                "{variable:?} {command:?}: {output:?} {plain:?}"
            );
        }
    }
}

#[test]
fn pipe_output_is_coloured_only_if_forced() {
    let dir = journal();
    for mut command in commands(&dir) {
        let plain = command.run();
        assert!(!(plain.stdout + &plain.stderr).contains(ESCAPE), "{command:?}");
        let forced = command.env("CLICOLOR_FORCE", "1").run();
        assert!((forced.stdout + &forced.stderr).contains(ESCAPE), "{command:?}");
        let both = command.env("NO_COLOR", "1").run();
        assert!(!(both.stdout + &both.stderr).contains(ESCAPE), "{command:?}: NO_COLOR takes precedence");
    }
}

#[test]
fn records_are_never_coloured() {
    let dir = journal();
    for args in [&["replay"][..], &["get", "1", "2"], &["export", "-"]] {
        let mut command = dir.command(args[0]);
        let shown = shown(command.args(&args[1..]), &[("CLICOLOR_FORCE", "1")]);
        assert!(shown.contains("{\"n\":2}\n") && !shown.contains(ESCAPE), "{args:?}: {shown:?}");
    }
    for subcommand in ["inspect", "verify", "repair"] {
        let shown = shown(dir.command(subcommand).arg("--json"), &[("CLICOLOR_FORCE", "1")]);
        assert!(shown.starts_with('{') && !shown.contains(ESCAPE), "{subcommand}: {shown:?}");
    }
}

#[test]
fn library_log_follows_colour_setting() {
    let dir = journal();
    let shown = |variables: &[(&str, &str)]| {
        let mut command = dir.ingest();
        command.arg("--verbose").envs(variables.iter().copied());
        on_a_terminal(&mut command, TerminalOutput::Stderr, 100).1
    };
    let [coloured, plain] = [shown(&[]), shown(&[("NO_COLOR", "1")])];
    assert!(coloured.contains("opened") && coloured.contains(ESCAPE), "{coloured:?}");
    assert!(plain.contains("opened") && !plain.contains("\u{1b}[3"), "{plain:?}");
}

#[test]
fn damaged_segment_is_red_and_closed_is_green() {
    let dir = journal();
    let closed = shown(&mut dir.command("inspect"), &[]);
    assert!(closed.contains("\u{1b}[32mclosed\u{1b}[0m"), "{closed:?}");
    damage(&dir.journal(), "{\"n\":1");
    let damaged = shown(&mut dir.command("inspect"), &[]);
    assert!(damaged.contains("\u{1b}[1m\u{1b}[31mdamaged\u{1b}[0m"), "{damaged:?}");
}

#[test]
fn bar_fits_the_terminal_width() {
    let dir = journal();
    for columns in [30, 40, 200] {
        let mut inspect = dir.command("inspect");
        let (_, shown) = on_a_terminal(inspect.env("NO_COLOR", "1"), TerminalOutput::Both, columns);
        let bar = shown.lines().find(|line| line.contains('█')).unwrap();
        let expected = usize::from(columns).clamp(0, "journal.jsonl  ".len() + 40);
        assert_eq!(bar.chars().count(), expected, "{shown}");
    }
    let ascii = dir.command("inspect").env("LC_ALL", "C").run().ok();
    assert!(ascii.stdout.contains("##") && !ascii.stdout.contains('█'), "{ascii:?}");
}
