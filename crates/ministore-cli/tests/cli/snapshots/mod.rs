//! The output of every subcommand, word for word, as snapshots in `snapshots/`: a change of it is seen in the review.

mod bench;
mod compare;
mod errors;
mod help;
mod import_export;
mod inspect;
mod records;
mod repair;
