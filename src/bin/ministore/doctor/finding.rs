//! Owns what a check says: how serious it is, what was found, why it matters, and what to do about it.

use serde::Serialize;

/// In the order of what they ask of the reader.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Serialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum Level {
    /// As it should be.
    Ok,
    /// Good to know; nothing is at stake.
    Note,
    /// Something that is acknowledged may not last, or appends may fail later.
    Warning,
    /// A journal cannot work here, or certainly does not keep what it promises.
    Problem,
}

impl Level {
    pub(super) fn name(self) -> &'static str {
        match self {
            Self::Ok => "ok",
            Self::Note => "note",
            Self::Warning => "warning",
            Self::Problem => "problem",
        }
    }
}

/// What one check says.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub(super) struct Finding {
    pub(super) check: &'static str,
    pub(super) level: Level,
    pub(super) found: String,
    pub(super) why: Option<String>,
    pub(super) advice: Option<String>,
}

impl Finding {
    pub(super) fn new(check: &'static str, level: Level, found: impl Into<String>) -> Self {
        Self { check, level, found: found.into(), why: None, advice: None }
    }

    pub(super) fn ok(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Ok, found)
    }

    pub(super) fn note(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Note, found)
    }

    pub(super) fn warning(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Warning, found)
    }

    pub(super) fn problem(check: &'static str, found: impl Into<String>) -> Self {
        Self::new(check, Level::Problem, found)
    }

    pub(super) fn why(mut self, why: impl Into<String>) -> Self {
        self.why = Some(why.into());
        self
    }

    pub(super) fn advice(mut self, advice: impl Into<String>) -> Self {
        self.advice = Some(advice.into());
        self
    }
}

/// The most serious of them.
pub(super) fn verdict(findings: &[Finding]) -> Level {
    findings.iter().map(|finding| finding.level).max().unwrap_or(Level::Ok)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_verdict_is_that_of_the_worst() {
        let (ok, note) = (Finding::ok("a", ""), Finding::note("b", ""));
        let warning = Finding::warning("c", "");
        assert_eq!(verdict(&[]), Level::Ok);
        assert_eq!(verdict(&[note.clone(), ok.clone()]), Level::Note);
        assert_eq!(verdict(&[warning, note, ok]), Level::Warning);
        assert!(Level::Problem > Level::Warning);
    }
}
