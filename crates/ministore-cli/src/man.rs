//! `ministore man`: manual pages generated from the command line definition.

use std::{
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
    exit::{CliError, ExitStatus},
    output, output_file, units,
};

/// Write the manual pages of the program and of each subcommand
///
/// With DIR, writes ministore.1, ministore-ingest.1, … into it and replaces existing files. Without DIR, writes the page of the
/// program to standard output.
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore man | man -l -
  mkdir -p ~/.local/share/man/man1 && ministore man ~/.local/share/man/man1 && man ministore-replay")]
pub(crate) struct Args {
    /// The directory for the pages
    dir: Option<PathBuf>,
}

/// File names and their meaning; `NAME` is the journal.
const FILES: [(&str, &str); 10] = [
    ("NAME", "the journal: its active segment, to which records are appended"),
    ("NAME.001, NAME.002, …", "its rotated segments, oldest first"),
    ("NAME.next", "the next segment, in preparation"),
    ("NAME.lock", "locked by the process that writes; the file remains after that process exits"),
    ("NAME.holds", "the holds, which protect records from retention (NAME.holds.next: while it is written)"),
    ("NAME.truncated-OFFSET", "bytes that recovery or repair truncated from the end of a segment"),
    ("NAME.ingest-checkpoint", "the last runs of ingest, for --resume"),
    ("NAME.staged-…", "files of an unfinished backup or restore; the next run continues with them"),
    ("NAME.removed", "bytes that import --repair removed, with their places"),
    ("NAME.import, NAME.export", "temporary directories of import and export"),
];

const ENVIRONMENT: [(&str, &str); 6] = [
    (
        "MINISTORE_*",
        "set the options that name them in the help of each command; the command line takes precedence",
    ),
    ("NO_COLOR", "not empty: no colours"),
    ("CLICOLOR_FORCE", "not empty and not 0: colours even if the output is not a terminal"),
    ("TERM", "dumb: no colours"),
    ("JOURNAL_STREAM", "set by systemd: messages for the system journal begin with their priority"),
    ("LC_ALL, LC_CTYPE, LANG", "the first that is set selects the characters of the bars of inspect"),
];

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    let mut program = Cli::command();
    program.build();
    let Some(dir) = &args.dir else {
        output::bytes(&page(&program, true).map_err(CliError::output)?)?;
        return Ok(ExitStatus::Ok);
    };
    let mut written = 0;
    let pages =
        std::iter::once((&program, true)).chain(subcommands(&program).map(|command| (command, false)));
    for (command, is_program) in pages {
        let path = dir.join(format!("{}.1", name(command)));
        let failed = |error| CliError::create(&path, &error);
        output_file::write(&path, &page(command, is_program).map_err(failed)?)?;
        written += 1;
    }
    output::lines([format!("{}: {} written", dir.display(), units::counted(written, "page"))])?;
    Ok(ExitStatus::Ok)
}

/// The subcommands that have a page.
fn subcommands(program: &Command) -> impl Iterator<Item = &Command> {
    program.get_subcommands().filter(|command| command.get_name() != "help" && !command.is_hide_set())
}

/// Returns `ministore-ingest`, the name in the parser.
fn name(command: &Command) -> &str {
    command.get_display_name().unwrap_or_else(|| command.get_name())
}

/// Renders the page of a command; `is_program`: of the program itself.
fn page(command: &Command, is_program: bool) -> io::Result<Vec<u8>> {
    let mut page = Vec::new();
    let man = Man::new(command.clone());
    // Without a date, so that the pages are reproducible.
    let source = concat!("ministore ", env!("CARGO_PKG_VERSION"));
    writeln!(page, ".TH {} 1 \"\" \"{source}\" \"User Commands\"", name(command).to_uppercase())?;
    man.render_name_section(&mut page)?;
    man.render_synopsis_section(&mut page)?;
    man.render_description_section(&mut page)?;
    man.render_options_section(&mut page)?;
    if is_program {
        list("COMMANDS", subcommands(command).map(|it| (format!("{}(1)", name(it)), about(it))))
            .to_writer(&mut page)?;
    }
    if let Some(help) = command.get_after_help() {
        after_help(&help.to_string()).to_writer(&mut page)?;
    }
    if is_program {
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

/// Escapes characters that are not ASCII: formatters differ in their input encoding.
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

/// Returns a section of names and their meanings.
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

/// Converts the text after the options in `--help`: blocks with a heading and indented lines keep their lines.
fn after_help(help: &str) -> Roff {
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

/// Returns the usual title of a section.
fn title(heading: &str) -> String {
    match heading {
        "Example" | "Examples" => "EXAMPLES".to_owned(),
        "Exit codes" => "EXIT STATUS".to_owned(),
        other => other.to_uppercase(),
    }
}
