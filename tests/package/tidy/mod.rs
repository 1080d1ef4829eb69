//! House rules that a machine can check: the words of names and comments, one type per name, short test names, small
//! files, and imports that point down the layers and never in a circle.

mod imports;
mod lexer;
mod sizes;
mod types;
mod words;

use std::{
    fs,
    path::{Path, PathBuf},
};

use super::root;

/// Directories that are not ours, or not source.
const SKIPPED_DIRS: [&str; 8] =
    ["target", ".git", ".github", "corpus", "crashes", "published", "fixtures", "node_modules"];

/// A file of the repository.
struct SourceFile {
    /// Relative to the root of the repository.
    path: String,
    text: String,
}

impl SourceFile {
    fn is_rust(&self) -> bool {
        self.path.ends_with(".rs")
    }
}

/// Every file of the repository with this extension, in order. The published package has fewer of them.
fn files_with_extension(extension: &str) -> Vec<SourceFile> {
    let mut paths = Vec::new();
    collect(root(), extension, &mut paths);
    paths.sort();
    paths
        .into_iter()
        .map(|path| SourceFile {
            path: path.strip_prefix(root()).unwrap().to_str().unwrap().to_owned(),
            text: fs::read_to_string(&path).unwrap(),
        })
        .collect()
}

fn collect(dir: &Path, extension: &str, paths: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap().map(Result::unwrap) {
        let path = entry.path();
        if entry.file_type().unwrap().is_dir() {
            if !SKIPPED_DIRS.iter().any(|skipped| path.ends_with(skipped)) {
                collect(&path, extension, paths);
            }
        } else if path.extension().is_some_and(|found| found == extension) {
            paths.push(path);
        }
    }
}

/// Fails with every violation, one a line.
fn assert_none(violations: &[String], rule: &str) {
    assert!(violations.is_empty(), "{rule}:\n{}", violations.join("\n"));
}
