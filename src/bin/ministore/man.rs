//! Owns `ministore man`: the manual, made of what the parser knows and of what only the manual says.

use std::{
    fs,
    io::{self, Write},
    path::PathBuf,
};

use clap::{Command, CommandFactory};
use clap_mangen::{
    Man,
    roff::{Roff, bold, roman},
};

use crate::{
    args::Cli,
    exit::{Code, Failure},
    output, units,
};

/// Write the manual: a page for the program and one for each subcommand
///
/// With DIR, ministore.1, ministore-ingest.1 and the others are written into it, over what was there. Without it, the
/// program's own page goes to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore man | man -l -
  mkdir -p ~/.local/share/man/man1 && ministore man ~/.local/share/man/man1 && man ministore-replay")]
pub(crate) struct Args {
    /// Where to write the pages
    dir: Option<PathBuf>,
}

/// Names of files, and what they are; `NAME` is the journal.
const FILES: [(&str, &str); 8] = [
    ("NAME", "the journal: its active segment, the one that is written to"),
    ("NAME.001, NAME.002, …", "its archived segments, oldest first"),
    ("NAME.next", "the next segment, being prepared"),
    ("NAME.lock", "held by the process that writes; it stays when that is gone, and locks nothing then"),
    (
        "NAME.holds",
        "the records that retention keeps for somebody (NAME.holds.next: the same, being written)",
    ),
    ("NAME.cut-OFFSET", "bytes that recovery or repair cut from the end of a segment, kept"),
    ("NAME.ingest", "what ingest --resume needs to know of the last ingest"),
    (
        "NAME.import, NAME.export",
        "directories in which a file is made that is not whole yet; gone when it is",
    ),
];

const ENVIRONMENT: [(&str, &str); 4] = [
    ("NO_COLOR", "not empty: no colours anywhere"),
    ("CLICOLOR_FORCE", "not empty and not 0: colours also where the output is no terminal"),
    ("TERM", "dumb: no colours"),
    ("LC_ALL, LC_CTYPE, LANG", "the first that is set says which characters inspect draws its bars with"),
];

pub(crate) fn run(args: &Args) -> Result<Code, Failure> {
    let mut program = Cli::command();
    program.build();
    let Some(dir) = &args.dir else {
        let page = page(&program, true).map_err(Failure::output)?;
        let mut out = io::stdout().lock();
        out.write_all(&page).and_then(|()| out.flush()).map_err(Failure::output)?;
        return Ok(Code::Ok);
    };
    let mut written = 0;
    let pages =
        std::iter::once((&program, true)).chain(subcommands(&program).map(|command| (command, false)));
    for (command, is_whole) in pages {
        let path = dir.join(format!("{}.1", name(command)));
        let failed = |error| Failure::create(&path, &error);
        fs::write(&path, page(command, is_whole).map_err(failed)?).map_err(failed)?;
        written += 1;
    }
    output::lines([format!("{}: {} written", dir.display(), units::counted(written, "page"))])?;
    Ok(Code::Ok)
}

/// What a reader of the manual may look for.
fn subcommands(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

/// `ministore-ingest`, as the parser calls it once it is built.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// `is_whole`: the page of the program itself.
fn page(command: &Command, is_whole: bool) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    // Without a date: the same source makes the same pages.
    let source = concat!("ministore ", env!("CARGO_PKG_VERSION"));
    writeln!(page, ".TH {} 1 \"\" \"{source}\" \"User Commands\"", name(command).to_uppercase())?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if is_whole {
        list("COMMANDS", subcommands(command).map(|it| (format!("{}(1)", name(it)), about(it))))
            .to_writer(&mut page)?;
    }
    if let Some(help) = command.get_after_help() {
        behind_help(&help.to_string()).to_writer(&mut page)?;
    }
    if is_whole {
        list("FILES", FILES).to_writer(&mut page)?;
        list("ENVIRONMENT", ENVIRONMENT).to_writer(&mut page)?;
    } else {
        let mut see = Roff::new();
        see.control("SH", ["SEE ALSO"]);
        see.text([bold("ministore"), roman("(1): exit codes, files, environment")]);
        see.to_writer(&mut page)?;
    }
    Ok(ascii(&String::from_utf8_lossy(&page)).into_bytes())
}

/// Formatters differ in what they take a byte for; this they all know.
fn ascii(page: &str) -> String {
    page.chars().fold(String::with_capacity(page.len()), |mut text, c| {
        if c.is_ascii() {
            text.push(c);
        } else {
            text.push_str(&format!("\\[u{:04X}]", u32::from(c)));
        }
        text
    })
}

fn about(command: &Command) -> String {
    command.get_about().map(ToString::to_string).unwrap_or_default()
}

/// A section of names and what they mean.
fn list<N: Into<String>, M: Into<String>>(title: &str, entries: impl IntoIterator<Item = (N, M)>) -> Roff {
    let mut section = Roff::new();
    section.control("SH", [title]);
    for (name, meaning) in entries {
        section.control("TP", []);
        section.text([bold(name)]);
        section.text([roman(meaning)]);
    }
    section
}

/// What stands behind the options in `--help`: what is headed and indented keeps its lines, all else is text.
fn behind_help(help: &str) -> Roff {
    let mut sections = Roff::new();
    let mut in_notes = false;
    for block in help.split("\n\n") {
        let heading = block.lines().next().and_then(|line| line.strip_suffix(':'));
        match heading.filter(|_| block.lines().skip(1).all(|line| line.starts_with("  "))) {
            Some(heading) => {
                in_notes = false;
                sections.control("SH", [title(heading).as_str()]);
                sections.control("nf", []);
                for line in block.lines().skip(1) {
                    sections.text([roman(line.strip_prefix("  ").unwrap_or(line))]);
                }
                sections.control("fi", []);
            }
            None => {
                sections.control(
                    if in_notes { "PP" } else { "SH" },
                    if in_notes { vec![] } else { vec!["NOTES"] },
                );
                in_notes = true;
                sections.text([roman(block.replace('\n', " "))]);
            }
        }
    }
    sections
}

/// As manuals call it.
fn title(heading: &str) -> String {
    match heading {
        "Example" | "Examples" => "EXAMPLES".to_owned(),
        "Exit codes" => "EXIT STATUS".to_owned(),
        other => other.to_uppercase(),
    }
}
