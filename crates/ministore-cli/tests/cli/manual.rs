//! `man` and `completions`: what packages install.

use std::{
    fs,
    path::Path,
    process::{Command, Stdio},
};

use crate::support::{Place, Ran, Run, ministore, skipped};

/// Every subcommand that `--help` lists.
pub(crate) fn subcommands() -> Vec<String> {
    let help = ministore(["--help"]).run().ok().out;
    let list = help.split_once("\nCommands:\n").unwrap().1.split_once("\n\n").unwrap().0;
    let names = list.lines().filter_map(|line| line.strip_prefix("  ")).filter(|line| !line.starts_with(' '));
    // `help` is one, too, but has no help of its own.
    let names = names.map(|line| line.split_whitespace().next().unwrap()).filter(|&name| name != "help");
    names.map(str::to_owned).collect()
}

/// Whether a tool is there; says loudly where it is not.
fn has(tool: &str) -> bool {
    let there = Command::new("sh")
        .args(["-c", "command -v \"$1\" >/dev/null", "sh", tool])
        .status()
        .unwrap()
        .success();
    if !there {
        skipped(&format!("SKIPPED: checking with {tool}: not installed"));
    }
    there
}

fn pages(place: &Place) -> Vec<(String, String)> {
    ministore(["man".as_ref(), place.dir.path().as_os_str()]).run().ok();
    let text = |(path, bytes): (std::path::PathBuf, Vec<u8>)| {
        (path.file_name().unwrap().to_str().unwrap().to_owned(), String::from_utf8(bytes).unwrap())
    };
    place.snapshot().into_iter().map(text).collect()
}

#[test]
fn there_is_a_page_for_every_subcommand_and_each_teaches_by_example() {
    let pages = pages(&Place::new());
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
    assert_eq!(ministore(["man"]).run().ok().out, *program, "without a directory it goes to standard output");
}

/// The example lines of a page are those of `--help`, each on a line of its own.
#[test]
fn examples_keep_their_lines() {
    let place = Place::new();
    let page = pages(&place).into_iter().find(|(name, _)| name == "ministore-replay.1").unwrap().1;
    let examples = page.split_once(".SH EXAMPLES\n.nf\n").unwrap().1.split_once(".fi\n").unwrap().0;
    assert_eq!(examples.lines().count(), 6, "{examples}");
    assert!(examples.lines().all(|line| line.starts_with("ministore replay ")), "{examples}");
}

#[test]
fn formatters_of_manuals_have_nothing_to_complain_about() {
    let place = Place::new();
    let pages = pages(&place);
    let silent = |command: &mut Command, file: &Path| {
        let ran = Ran::from(command.arg(file).stdin(Stdio::null()).output().unwrap());
        assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{}", file.display());
        ran.out
    };
    for (name, page) in pages {
        let file = place.path(&name);
        if has("groff") {
            let shown =
                silent(Command::new("groff").args(["-man", "-Tutf8", "-ww", "-P-cbou", "-rLL=100n"]), &file);
            assert!(shown.contains("EXAMPLES") && shown.contains("ministore"), "{name}: {shown}");
        }
        if has("mandoc") {
            // What it warns of is the parser's library's way with white space.
            let out = silent(Command::new("mandoc").args(["-Tlint", "-Werror"]), &file);
            assert_eq!(out, "", "{name}: {page}");
        }
    }
}

fn completions(shell: &str) -> (Place, std::path::PathBuf) {
    let place = Place::new();
    let script = ministore(["completions", shell]).run().ok().out;
    let path = place.write("completions", script);
    (place, path)
}

#[test]
fn the_shells_accept_their_completions() {
    for shell in ["bash", "zsh", "fish"] {
        let (_place, path) = completions(shell);
        let script = fs::read_to_string(&path).unwrap();
        for word in ["replay", "export", "pointer", "with-seq"] {
            assert!(script.contains(word), "{shell}: {word}");
        }
        if has(shell) {
            let ran = Ran::from(Command::new(shell).arg("-n").arg(&path).output().unwrap());
            assert_eq!((ran.code, &*ran.err), (Some(0), ""), "{shell}");
        }
    }
    for shell in ["elvish", "powershell"] {
        ministore(["completions", shell]).run().ok();
    }
    ministore(["completions", "tcsh"]).run().code(64);
}

#[test]
fn bash_completes_subcommands_and_options() {
    if !has("bash") {
        return;
    }
    let (_place, path) = completions("bash");
    let complete = |words: &[&str]| {
        let script = "source \"$1\"; shift; COMP_WORDS=(\"$@\"); COMP_CWORD=$(($# - 1)); \
                      _ministore ministore \"${COMP_WORDS[COMP_CWORD]}\" \"${COMP_WORDS[COMP_CWORD - 1]}\"; \
                      printf '%s\\n' \"${COMPREPLY[@]}\"";
        let ran = Ran::from(
            Command::new("bash").args(["-c", script, "bash"]).arg(&path).args(words).output().unwrap(),
        );
        assert_eq!((ran.code, &*ran.err), (Some(0), ""));
        ran.out
    };
    assert_eq!(complete(&["ministore", "rep"]), "replay\nrepair\n");
    assert_eq!(complete(&["ministore", "replay", "--poi"]), "--pointer\n");
    assert_eq!(complete(&["ministore", "ingest", "--backend", ""]), "auto\nio_uring\nblocking\n");
}

#[test]
fn a_directory_that_is_not_there_is_73_with_a_hint() {
    let place = Place::new();
    let ran = ministore(["man".as_ref(), place.path("no").as_os_str()]).run().code(73);
    assert!(ran.error().contains("ministore.1: cannot create"), "{ran:?}");
    assert!(ran.hint().contains("mkdir -p"), "{ran:?}");
}
