//! Owns what a snapshot of a run holds: the command line, the exit code and both outputs, with everything taken out that is
//! another each time. `snapshot!(place, command)` runs a command and compares; `snapshot!(place, command, stdin)` gives it
//! something to read; `snapshot!(figures place, command)` takes out measured figures, too.
//!
//! To accept what is new: `INSTA_UPDATE=always cargo test --test cli snapshots::`, and read the difference. With `INSTA_UPDATE=no`,
//! and wherever `CI` is set, nothing is written; a difference fails in any case.

use std::process::Command;

use insta::Settings;

use crate::support::{Place, Ran};

macro_rules! snapshot {
    (figures $place:expr, $command:expr) => {
        snapshot!(@ $crate::snapshot::without_figures(&$place), $place, $command, b"")
    };
    (figures $place:expr, $command:expr, $stdin:expr) => {
        snapshot!(@ $crate::snapshot::without_figures(&$place), $place, $command, $stdin)
    };
    ($place:expr, $command:expr) => {
        snapshot!(@ $crate::snapshot::settings(&$place), $place, $command, b"")
    };
    ($place:expr, $command:expr, $stdin:expr) => {
        snapshot!(@ $crate::snapshot::settings(&$place), $place, $command, $stdin)
    };
    // A `match`, so that the command lives until it was compared.
    (@ $settings:expr, $place:expr, $command:expr, $stdin:expr) => {
        match $command {
            command => {
                let ran = $crate::support::Run::run_with(command, $stdin);
                $settings.bind(|| insta::assert_snapshot!($crate::snapshot::shown(command, &ran)));
                ran
            }
        }
    };
}

/// What was typed, and all that came of it. What the engine says about this machine is left out.
pub(crate) fn shown(command: &Command, ran: &Ran) -> String {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    let err: String =
        ran.err.lines().filter(|line| !line.contains("WARN")).map(|line| format!("{line}\n")).collect();
    let code = ran.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    let mut text = format!("$ ministore {}\nexit code: {code}\n", args.join(" "));
    for (name, output) in [("standard output", &ran.out), ("standard error", &err)] {
        if !output.is_empty() {
            text += &format!("--- {name}\n{output}");
        }
    }
    text
}

/// Everything that is another on another machine, or another time: directories, processes, versions.
pub(crate) fn settings(place: &Place) -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_omit_expression(true);
    let dir = place.dir.path();
    for path in [dir.canonicalize().unwrap(), dir.to_path_buf()] {
        settings.add_filter(&escaped(path.to_str().unwrap()), "DIR");
    }
    settings.add_filter(r"process \d+", "process PID");
    settings.add_filter(r"kill \d+", "kill PID");
    settings.add_filter(r"ministore-bench-\d+-", "ministore-bench-PID-");
    settings.add_filter(&format!(r"\b{}\b", escaped(env!("CARGO_PKG_VERSION"))), "VERSION");
    settings
}

/// And what was measured, or depends on how appends met: numbers behind the names of such figures.
pub(crate) fn without_figures(place: &Place) -> Settings {
    let mut settings = settings(place);
    for (pattern, replacement) in [
        (
            r"(?m)^(seconds|rate|append latency|commit latency|commits|appends|bytes|backend)( +).*$",
            "$1$2[FIGURES]",
        ),
        (r#""(backend|direct_io|sync_mode)":("[a-z_]+"|true|false)"#, "\"$1\":[MACHINE]"),
        (r#""(seconds|[a-z_]*per_[a-z]*|commits|appends|p[0-9.]+|max)":[0-9.e+-]+"#, "\"$1\":[FIGURE]"),
    ] {
        settings.add_filter(pattern, replacement);
    }
    settings
}

/// For a regular expression.
fn escaped(text: &str) -> String {
    let mut escaped = String::new();
    for c in text.chars() {
        if !c.is_alphanumeric() && c != '/' && c != '_' {
            escaped.push('\\');
        }
        escaped.push(c);
    }
    escaped
}
