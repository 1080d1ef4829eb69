//! Finds the file with the most similar name, and recognises journals.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

use crate::{ownership::is_suffix, paths::directory_of};

/// The first bytes of a segment whose first line is a comment.
pub(crate) const MAGIC: &[u8] = b"// MINISTORE JOURNAL v";

/// The first bytes of a segment whose first line is a JSON object.
pub(crate) const JSON_MAGIC: &[u8] = br#"{"$ministore":{"journal":""#;

/// At most this many names of a directory are compared.
const NAMES_MAX: usize = 10_000;

/// Names less similar than this (1: equal) are not suggested.
const LIKENESS_MIN: f64 = 0.85;

/// Whether a file begins with the header of a journal. Only regular files are opened: others could block.
pub(crate) fn is_journal(path: &Path) -> bool {
    let mut start = Vec::new();
    fs::metadata(path).is_ok_and(|found| found.is_file())
        && File::open(path)
            .and_then(|file| file.take(JSON_MAGIC.len() as u64).read_to_end(&mut start))
            .is_ok_and(|_| start.starts_with(MAGIC) || start == JSON_MAGIC)
}

/// Returns the file in the same directory whose name is most similar to that of `path`, of those that fit.
pub(crate) fn closest_name(path: &Path, fits: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let requested = path.file_name()?.to_string_lossy();
    let names = fs::read_dir(directory_of(path)).ok()?.take(NAMES_MAX).filter_map(Result::ok);
    let mut like: Vec<(f64, PathBuf)> = names
        .map(|entry| entry.file_name())
        .filter(|name| !is_side_file(&name.to_string_lossy()))
        .map(|name| (strsim::jaro_winkler(&requested, &name.to_string_lossy()), path.with_file_name(name)))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    // The first that fits is enough: few files are opened.
    like.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.cmp(other)));
    like.into_iter().map(|(_, path)| path).find(|path| fits(path))
}

/// Whether a journal may have given this name to a segment or another file: such files are never suggested.
fn is_side_file(name: &str) -> bool {
    name.match_indices('.').any(|(dot, _)| is_suffix(&name[dot + 1..]))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn closest_journal_is_found_without_side_files() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["journal.jsonl", "journal.jsonl.001", "journal.jsonl.lock", "jurnal.jsonl", "other.jsonl"]
        {
            fs::write(dir.path().join(name), [MAGIC, b"0.1.4\n"].concat()).unwrap();
        }
        let near = |name: &str| closest_name(&dir.path().join(name), &is_journal);
        let journal = Some(dir.path().join("journal.jsonl"));
        assert_eq!(
            [near("jornal.jsonl"), near("journal.json"), near("journal.jsonl.01")],
            [(); 3].map(|()| journal.clone())
        );
        assert_eq!(near("zzz"), None);
        fs::write(dir.path().join("journal.jsonl"), "{}\n").unwrap();
        assert_eq!(near("jornal.jsonl"), Some(dir.path().join("jurnal.jsonl")), "no longer a journal");
        fs::write(dir.path().join("journal.jsonl"), [JSON_MAGIC, b"0.2.0\""].concat()).unwrap();
        assert_eq!(near("jornal.jsonl"), journal, "with a JSON header");
    }
}
