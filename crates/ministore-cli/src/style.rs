//! Chooses styles and decides whether an output is coloured: `--color`, then the environment (`NO_COLOR`, `CLICOLOR`,
//! `CLICOLOR_FORCE`, `TERM`), then whether the output is a terminal. Records are never coloured.

use std::{fmt::Display, io};

use anstream::AutoStream;
use anstyle::{AnsiColor, Style};
use clap::ValueEnum;

pub(crate) const HEADING: Style = Style::new().bold();
pub(crate) const ERROR: Style = AnsiColor::Red.on_default().bold();
pub(crate) const WARNING: Style = AnsiColor::Yellow.on_default().bold();
pub(crate) const HINT: Style = AnsiColor::Cyan.on_default().bold();
pub(crate) const GOOD: Style = AnsiColor::Green.on_default();
pub(crate) const FAINT: Style = Style::new().dimmed();

/// The values of `--color`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum ColorMode {
    /// On a terminal, unless the environment (NO_COLOR, CLICOLOR, TERM) forbids it
    Auto,
    /// Even if the output is not a terminal
    Always,
    /// Not at all
    Never,
}

impl ColorMode {
    /// Applies to everything printed from now on, including the argument parser's own messages.
    pub(crate) fn apply(self) {
        let choice = match self {
            Self::Auto => anstream::ColorChoice::Auto,
            Self::Always => anstream::ColorChoice::Always,
            Self::Never => anstream::ColorChoice::Never,
        };
        choice.write_global();
    }
}

/// Whether one of the outputs is coloured.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Colors {
    on: bool,
}

impl Colors {
    pub(crate) fn of_stdout() -> Self {
        Self { on: AutoStream::choice(&io::stdout()) != anstream::ColorChoice::Never }
    }

    pub(crate) fn of_stderr() -> Self {
        Self { on: AutoStream::choice(&io::stderr()) != anstream::ColorChoice::Never }
    }

    pub(crate) fn is_on(self) -> bool {
        self.on
    }

    /// Returns the text in this style, or the plain text.
    pub(crate) fn with(self, style: Style, text: impl Display) -> String {
        if self.on { format!("{style}{text}{style:#}") } else { text.to_string() }
    }
}
