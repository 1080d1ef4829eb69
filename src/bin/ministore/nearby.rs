//! Owns what stands beside a path: the names most like one that there is not, and which files are journals.

use std::{
    fs::{self, File},
    io::Read,
    path::{Path, PathBuf},
};

/// What every segment begins with.
pub(crate) const MAGIC: &[u8] = b"// MINISTORE JOURNAL v";

/// A directory of more names is not searched to its end.
const NAMES_MAX: usize = 10_000;

/// Names less alike than this (1: the same) are not taken for each other.
const LIKENESS_MIN: f64 = 0.85;

/// Where a file stands, or would.
pub(crate) fn directory_of(path: &Path) -> &Path {
    match path.parent() {
        Some(parent) if parent != Path::new("") => parent,
        _ => Path::new("."),
    }
}

/// Whether a file begins as journals do. What is not a regular file is not opened: that could wait for ever.
pub(crate) fn is_journal(path: &Path) -> bool {
    let mut start = [0; MAGIC.len()];
    fs::metadata(path).is_ok_and(|found| found.is_file())
        && File::open(path).and_then(|mut file| file.read_exact(&mut start)).is_ok()
        && start == *MAGIC
}

/// The file in the same directory whose name is most like that of `path`, of those that fit.
pub(crate) fn nearest(path: &Path, fits: &dyn Fn(&Path) -> bool) -> Option<PathBuf> {
    let wanted = path.file_name()?.to_string_lossy();
    let names = fs::read_dir(directory_of(path)).ok()?.take(NAMES_MAX).filter_map(Result::ok);
    let mut like: Vec<(f64, PathBuf)> = names
        .map(|entry| entry.file_name())
        .filter(|name| !is_beside_a_journal(&name.to_string_lossy()))
        .map(|name| (strsim::jaro_winkler(&wanted, &name.to_string_lossy()), path.with_file_name(name)))
        .filter(|(likeness, _)| *likeness >= LIKENESS_MIN)
        .collect();
    // The first that fits is enough: few files are opened.
    like.sort_by(|(a, one), (b, other)| b.total_cmp(a).then_with(|| one.cmp(other)));
    like.into_iter().map(|(_, path)| path).find(|path| fits(path))
}

/// An archived segment or another file that belongs to a journal: never what was meant.
fn is_beside_a_journal(name: &str) -> bool {
    let (_, extension) = name.rsplit_once('.').unwrap_or_default();
    let number = !extension.is_empty() && extension.bytes().all(|byte| byte.is_ascii_digit());
    number || ["lock", "next", "holds", "ingest"].contains(&extension) || extension.starts_with("cut-")
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_name_most_alike_is_found_and_a_journals_other_files_are_not() {
        let dir = tempfile::tempdir().unwrap();
        for name in
            ["journal.jsonl", "journal.jsonl.001", "journal.jsonl.lock", "jurnal.jsonl", "other.jsonl"]
        {
            fs::write(dir.path().join(name), [MAGIC, b"0.1.4\n"].concat()).unwrap();
        }
        let near = |name: &str| nearest(&dir.path().join(name), &is_journal);
        let journal = Some(dir.path().join("journal.jsonl"));
        assert_eq!(
            [near("jornal.jsonl"), near("journal.json"), near("journal.jsonl.01")],
            [(); 3].map(|()| journal.clone())
        );
        assert_eq!(near("zzz"), None);
        fs::write(dir.path().join("journal.jsonl"), "{}\n").unwrap();
        assert_eq!(near("jornal.jsonl"), Some(dir.path().join("jurnal.jsonl")), "no journal any more");
    }
}
