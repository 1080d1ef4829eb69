//! `man` and `completions`, whose output packages install.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{CommandExt, ProgramOutput, TestDir, ministore, skipped};

/// Returns the subcommands that `--help` lists.
pub(crate) fn subcommands() -> Vec<String> {
    let help = ministore(["--help"]).run().ok().stdout;
    let list = help.split_once("\nCommands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    // `help` is listed, too, but has no help text of its own.
    let names = names.map(|line| line.split_whitespace().next().unwrap()).filter(|&name| name != "help");
    names.map(str::to_owned).collect()
}

/// Whether a tool is installed. Reports a skipped test if it is not.
fn has_tool(tool: &str) -> bool {
    let is_installed = Command::new("sh")
        .args(["-c", "command -v \"$1\" >/dev/null", "sh", tool])
        .status()
        .unwrap()
        .success();
    if !is_installed {
        skipped(&format!("SKIPPED: checking with {tool}: not installed"));
    }
    is_installed
}

fn pages(dir: &TestDir) -> Vec<(String, String)> {
    ministore(["man".as_ref(), dir.root().as_os_str()]).run().ok();
    let text = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), String::from_utf8(bytes).unwrap())
    };
    dir.snapshot().into_iter().map(text).collect()
}

#[test]
fn every_subcommand_has_a_page_with_examples() {
    let pages = pages(&TestDir::new());
    let names: Vec<&str> = pages.iter().map(|(name, _)| &**name).collect();
    let mut expected: Vec<String> = vec!["ministore.1".to_owned()];
    expected.extend(subcommands().iter().map(|name| format!("ministore-{name}.1")));
    expected.sort();
    assert_eq!(names, expected);
    for (name, page) in &pages {
        for section in ["NAME", "SYNOPSIS", "DESCRIPTION", "OPTIONS", "EXAMPLES"] {
            assert!(page.contains(&format!(".SH {section}\n")), "{name} lacks {section}");
        }
    }
    let program = &pages.iter().find(|(name, _)| name == "ministore.1").unwrap().1;
    for section in [".SH COMMANDS", ".SH \"EXIT STATUS\"", ".SH FILES", ".SH ENVIRONMENT"] {
        assert!(program.contains(section), "{section}");
    }
    assert_eq!(ministore(["man"]).run().ok().stdout, *program, "without a directory the page is printed");
}

/// A page contains the examples of `--help`, each on its own line.
#[test]
fn examples_keep_their_lines() {
    let dir = TestDir::new();
    let page = pages(&dir).into_iter().find(|(name, _)| name == "ministore-replay.1").unwrap().1;
    let examples = page.split_once(".SH EXAMPLES\n.nf\n").unwrap().1.split_once(".fi\n").unwrap().0;
    assert_eq!(examples.lines().count(), 6, "{examples}");
    assert!(examples.lines().all(|line| line.starts_with("ministore replay ")), "{examples}");
}

#[test]
fn man_formatters_report_no_warnings() {
    let dir = TestDir::new();
    let pages = pages(&dir);
    let run_without_warnings = |command: &mut Command, file: &Path| {
        let output = ProgramOutput::from(command.arg(file).stdin(Stdio::null()).output().unwrap());
        assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{}", file.display());
        output.stdout
    };
    for (name, page) in pages {
        let file = dir.path(&name);
        if has_tool("groff") {
            let shown = run_without_warnings(
                Command::new("groff").args(["-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=100n"]),
                &file,
            );
            assert!(shown.contains("EXAMPLES") && shown.contains("ministore"), "{name}: {shown}");
        }
        if has_tool("mandoc") {
            // Warnings about the white space of the generator are not errors.
            let out = run_without_warnings(Command::new("mandoc").args(["-Tlint", "-Werror"]), &file);
            assert_eq!(out, "", "{name}: {page}");
        }
    }
}

fn completions(shell: &str) -> (TestDir, std::path::PathBuf) {
    let dir = TestDir::new();
    let script = ministore(["completions", shell]).run().ok().stdout;
    let path = dir.write("completions", script);
    (dir, path)
}

#[test]
fn shells_accept_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (_place, path) = completions(shell);
        let script = fs::read_to_string(&path).unwrap();
        for word in ["replay", "export", "pointer", "with-seq"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if has_tool(shell) {
            let output = ProgramOutput::from(Command::new(shell).arg("-n").arg(&path).output().unwrap());
            assert_eq!((output.code, &*output.stderr), (Some(0), ""), "{shell}");
        }
    }
    for shell in ["elvish", "powershell"] {
        ministore(["completions", shell]).run().ok();
    }
    ministore(["completions", "tcsh"]).run().code(64);
}

#[test]
fn bash_completes_subcommands_and_options() {
    if !has_tool("bash") {
        return;
    }
    let (_place, path) = completions("bash");
    let complete = |words: &[&str]| {
        let script = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                      _ministore ministore \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                      printf '%s\\n' \"${COMPREPLY[@]}\"";
        let output = ProgramOutput::from(
            Command::new("bash").args(["-c", script, "bash"]).arg(&path).args(words).output().unwrap(),
        );
        assert_eq!((output.code, &*output.stderr), (Some(0), ""));
        output.stdout
    };
    assert_eq!(complete(&["ministore", "rep"]), "replay\nrepair\n");
    assert_eq!(complete(&["ministore", "replay", "--poi"]), "--pointer\n");
    assert_eq!(
        complete(&["ministore", "ingest", "--backend", ""]),
        "auto\nio_uring\ntokio-uring\nblocking\n"
    );
}

#[test]
fn missing_directory_returns_73_with_hint() {
    let dir = TestDir::new();
    let output = ministore(["man".as_ref(), dir.path("no").as_os_str()]).run().code(73);
    assert!(output.error().contains("ministore.1: cannot create"), "{output:?}");
    assert!(output.hint().contains("mkdir -p"), "{output:?}");
}
