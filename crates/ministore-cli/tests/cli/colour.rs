//! Colours: on a terminal, unless somebody does not want them; and never in records.

use std::process::Command;

use crate::{
    support::{Place, Run, damage},
    terminal::{Shown, on_a_terminal},
};

const ESCAPE: char = '\u{1b}';

fn journal() -> Place {
    let place = Place::new();
    place.ingest().run_with(b"{\"n\":1}\n{\"n\":2}\n").ok();
    place
}

/// What both outputs show on a terminal, with these variables set.
fn shown(command: &mut Command, variables: &[(&str, &str)]) -> String {
    on_a_terminal(command.envs(variables.iter().copied()), Shown::All, 100).1
}

/// One command line of each kind: a table, an error with a hint, a wrong command line, a help text.
fn told(place: &Place) -> Vec<Command> {
    let mut missing = crate::support::ministore(["verify"]);
    missing.arg(place.path("missing.jsonl"));
    vec![
        place.command("inspect"),
        missing,
        crate::support::ministore(["replay"]),
        crate::support::ministore(["replay", "--help"]),
    ]
}

#[test]
fn a_terminal_shows_colours() {
    let place = journal();
    for mut command in told(&place) {
        let shown = shown(&mut command, &[]);
        assert!(shown.contains(ESCAPE), "{command:?}: {shown:?}");
    }
}

#[test]
fn who_does_not_want_colours_gets_none() {
    let place = journal();
    for variable in [("NO_COLOR", "1"), ("TERM", "dumb"), ("CLICOLOR", "0")] {
        for command in told(&place) {
            // The terminal says that it is a good one: only the shell behind it can say otherwise.
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
            let (ran, plain) = on_a_terminal(&mut through_sh, Shown::All, 100);
            assert!(
                !plain.contains(ESCAPE) && !plain.is_empty(),
                "{variable:?} {command:?}: {ran:?} {plain:?}"
            );
        }
    }
}

#[test]
fn what_is_no_terminal_gets_colours_only_when_they_are_asked_for() {
    let place = journal();
    for mut command in told(&place) {
        let plain = command.run();
        assert!(!(plain.out + &plain.err).contains(ESCAPE), "{command:?}");
        let forced = command.env("CLICOLOR_FORCE", "1").run();
        assert!((forced.out + &forced.err).contains(ESCAPE), "{command:?}");
        let both = command.env("NO_COLOR", "1").run();
        assert!(!(both.out + &both.err).contains(ESCAPE), "{command:?}: who wants none comes first");
    }
}

#[test]
fn records_are_never_coloured() {
    let place = journal();
    for args in [&["replay"][..], &["get", "1", "2"], &["export", "-"]] {
        let mut command = place.command(args[0]);
        let shown = shown(command.args(&args[1..]), &[("CLICOLOR_FORCE", "1")]);
        assert!(shown.contains("{\"n\":2}\n") && !shown.contains(ESCAPE), "{args:?}: {shown:?}");
    }
    for subcommand in ["inspect", "verify", "repair"] {
        let shown = shown(place.command(subcommand).arg("--json"), &[("CLICOLOR_FORCE", "1")]);
        assert!(shown.starts_with('{') && !shown.contains(ESCAPE), "{subcommand}: {shown:?}");
    }
}

#[test]
fn the_engine_speaks_in_colours_where_the_program_does() {
    let place = journal();
    let shown = |variables: &[(&str, &str)]| {
        let mut command = place.ingest();
        command.arg("--verbose").envs(variables.iter().copied());
        on_a_terminal(&mut command, Shown::Errors, 100).1
    };
    let [coloured, plain] = [shown(&[]), shown(&[("NO_COLOR", "1")])];
    assert!(coloured.contains("INFO") && coloured.contains(ESCAPE), "{coloured:?}");
    assert!(plain.contains("INFO") && !plain.contains("\u{1b}[3"), "{plain:?}");
}

/// The state is what is looked for first.
#[test]
fn a_damaged_segment_is_red_and_a_closed_one_green() {
    let place = journal();
    let closed = shown(&mut place.command("inspect"), &[]);
    assert!(closed.contains("\u{1b}[32mclosed\u{1b}[0m"), "{closed:?}");
    damage(&place.journal(), "{\"n\":1");
    let damaged = shown(&mut place.command("inspect"), &[]);
    assert!(damaged.contains("\u{1b}[1m\u{1b}[31mdamaged\u{1b}[0m"), "{damaged:?}");
}

#[test]
fn a_bar_is_no_wider_than_the_terminal() {
    let place = journal();
    for columns in [30, 40, 200] {
        let mut inspect = place.command("inspect");
        let (_, shown) = on_a_terminal(inspect.env("NO_COLOR", "1"), Shown::All, columns);
        let bar = shown.lines().find(|line| line.contains('█')).unwrap();
        let expected = usize::from(columns).clamp(0, "journal.jsonl  ".len() + 40);
        assert_eq!(bar.chars().count(), expected, "{shown}");
    }
    let ascii = place.command("inspect").env("LC_ALL", "C").run().ok();
    assert!(ascii.out.contains("##") && !ascii.out.contains('█'), "{ascii:?}");
}
