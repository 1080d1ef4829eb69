//! The JSON of a report of the library, with the fields that the program adds.

use std::{borrow::Cow, path::Path};

use serde::Serialize;

/// A report of the library about a journal.
#[derive(Debug, Serialize)]
pub(crate) struct JournalReport<'a, R, F> {
    journal: Cow<'a, str>,
    /// The program's fields.
    #[serde(flatten)]
    fields: F,
    /// The library's fields.
    #[serde(flatten)]
    report: R,
}

impl<'a, R: Serialize, F: Serialize> JournalReport<'a, R, F> {
    pub(crate) fn new(journal: &'a Path, fields: F, report: R) -> Self {
        Self { journal: journal.to_string_lossy(), fields, report }
    }
}
