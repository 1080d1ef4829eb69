//! Defines the content of a snapshot: the command line, the exit code and both outputs, without values that differ from run to
//! run. `snapshot!(dir, command)` runs a command and compares; `snapshot!(dir, command, stdin)` also passes input;
//! `snapshot!(figures dir, command)` also removes measured figures.
//!
//! To accept changes, run `INSTA_UPDATE=always cargo test --test cli snapshots::` and review the difference. Nothing is written
//! with `INSTA_UPDATE=no` or if `CI` is set; a difference always fails the test.

use std::process::Command;

use insta::Settings;

use crate::support::{ProgramOutput, TestDir, is_library_warning};

macro_rules! snapshot {
    (figures $dir:expr, $command:expr) => {
        snapshot!(@ $crate::snapshot::without_figures(&$dir), $dir, $command, b"")
    };
    (figures $dir:expr, $command:expr, $stdin:expr) => {
        snapshot!(@ $crate::snapshot::without_figures(&$dir), $dir, $command, $stdin)
    };
    ($dir:expr, $command:expr) => {
        snapshot!(@ $crate::snapshot::settings(&$dir), $dir, $command, b"")
    };
    ($dir:expr, $command:expr, $stdin:expr) => {
        snapshot!(@ $crate::snapshot::settings(&$dir), $dir, $command, $stdin)
    };
    // A `match` keeps the command alive until the comparison.
    (@ $settings:expr, $dir:expr, $command:expr, $stdin:expr) => {
        match $command {
            command => {
                let output = $crate::support::CommandExt::run_with_stdin(command, $stdin);
                $settings.bind(|| insta::assert_snapshot!($crate::snapshot::shown(command, &output)));
                output
            }
        }
    };
}

/// Formats the command line, the exit code and the output, without warnings of the library, which depend on the machine.
pub(crate) fn shown(command: &Command, output: &ProgramOutput) -> String {
    let args: Vec<_> = command.get_args().map(|arg| arg.to_string_lossy()).collect();
    let err: String = output
        .stderr
        .lines()
        .filter(|line| !is_library_warning(line))
        .map(|line| format!("{line}\n"))
        .collect();
    let code = output.code.map_or_else(|| "a signal".to_owned(), |code| code.to_string());
    let mut text = format!("$ ministore {}\nexit code: {code}\n", args.join(" "));
    for (name, content) in [("standard output", &output.stdout), ("standard error", &err)] {
        if !content.is_empty() {
            text += &format!("--- {name}\n{content}");
        }
    }
    text
}

/// Returns the filters for values that differ between machines and runs: directories, processes, versions.
pub(crate) fn settings(dir: &TestDir) -> Settings {
    let mut settings = Settings::clone_current();
    settings.set_omit_expression(true);
    let root = dir.root();
    for path in [root.canonicalize().unwrap(), root.to_path_buf()] {
        settings.add_filter(&escaped(path.to_str().unwrap()), "DIR");
    }
    settings.add_filter(r"process \d+", "process PID");
    settings.add_filter(r"kill \d+", "kill PID");

    settings.add_filter(&format!(r"\b{}\b", escaped(env!("CARGO_PKG_VERSION"))), "VERSION");
    settings
}

/// Returns [`settings`] that also remove measured figures, and figures that depend on how appends are grouped.
pub(crate) fn without_figures(dir: &TestDir) -> Settings {
    let mut settings = settings(dir);
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

/// Escapes a text for a regular expression.
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
