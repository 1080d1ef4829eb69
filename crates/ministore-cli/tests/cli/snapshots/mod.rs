//! Snapshots of the complete output of every subcommand, in `snapshots/`, so that reviews show every change.

mod bench;
mod compare;
mod errors;
mod help;
mod import_export;
mod inspect;
mod records;
mod repair;
