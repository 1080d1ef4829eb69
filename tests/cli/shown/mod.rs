//! What every subcommand tells, word for word: `snapshots/` has it, and a change of it is seen in the review.

mod comparing;
mod errors;
mod help;
mod looking;
mod measuring;
mod mending;
mod moving;
mod records;
