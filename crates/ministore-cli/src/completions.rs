//! `ministore completions`: completion scripts for shells.

use clap::CommandFactory;
use clap_complete::{Shell, generate};

use crate::{
    args::Cli,
    exit::{CliError, ExitStatus},
    output,
};

/// Write a completion script for a shell to standard output
#[derive(Debug, clap::Args)]
#[command(after_help = "\
Examples:
  ministore completions bash > ~/.local/share/bash-completion/completions/ministore
  ministore completions zsh > ~/.zfunc/_ministore
  ministore completions fish > ~/.config/fish/completions/ministore.fish")]
pub(crate) struct Args {
    /// The shell
    shell: Shell,
}

pub(crate) fn run(args: &Args) -> Result<ExitStatus, CliError> {
    // Not directly to standard output: a closed pipe must not cause a panic.
    let mut script = Vec::new();
    generate(args.shell, &mut Cli::command(), "ministore", &mut script);
    output::bytes(&script)?;
    Ok(ExitStatus::Ok)
}
