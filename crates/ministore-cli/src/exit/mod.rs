//! Exit codes, errors, and messages on standard error.

mod error;
mod log;
mod status;
mod stderr;

pub(crate) use error::CliError;
pub(crate) use log::{EventFormat, LogFormat, set_format};
pub(crate) use status::ExitStatus;
pub(crate) use stderr::{hint, info, is_json, is_quiet, set_json, set_quiet, usage, warn};
