//! The names of a journal's files. No other module composes or parses them.
//!
//! | name | file |
//! | --- | --- |
//! | `NAME` | the active segment |
//! | `NAME.001`, `NAME.002`, … | rotated segments, in numeric order |
//! | `NAME.next` | the next segment, being prepared |
//! | `NAME.lock` | the lock file, locked by the writer |
//! | `NAME.holds` | the holds, which keep records from being deleted |
//! | `NAME.holds.next` | the next version of the holds, being written |
//! | `NAME.truncated-<offset>` | bytes that recovery truncated |
//! | `NAME.staged-<number>`, `NAME.staged-active`, `NAME.staged-part` | files of a backup or a restored journal that do not have their names yet |

use std::{
    collections::HashSet,
    ffi::{OsStr, OsString},
    io,
    os::unix::ffi::{OsStrExt, OsStringExt},
    path::{Path, PathBuf},
};

use crate::{MiniStoreError, Result, io::FileSystem};

/// The number of digits in the name of a rotated segment, up to number 999.
const DIGITS: usize = 3;

/// The number of digits from number 1000 on, and of every number that `ministore` 0.1.7 writes. Shorter ones, as in
/// `orders.2024`, are left to other journals.
const DIGITS_LONG: usize = 6;

/// The longest name of a file on Linux.
const NAME_BYTES_MAX: usize = 255;

/// The longest suffix of a file of a journal: that of bytes truncated at the highest offset.
const LONGEST_SUFFIX: &str = ".truncated-18446744073709551615";

/// The suffix of files that do not have their names yet; a number or a word follows.
const STAGED: &str = ".staged-";

/// The highest segment number that a writer continues from, so that enough numbers are left for the segments to come.
/// Readers accept higher ones.
pub(crate) const NUMBER_MAX: u64 = u64::MAX >> 1;

/// Rotated segments: number and path, oldest first.
pub(crate) type RotatedSegments = Vec<(u64, PathBuf)>;

/// The role of a file in the journal that its name is derived from.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileRole {
    /// A rotated segment, of this number.
    Segment(u64),
    /// A file next to the segments.
    Companion,
}

/// The directory and the base name of a journal.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FileNames {
    dir: PathBuf,
    base: OsString,
}

impl FileNames {
    /// Resolves the path to an absolute one without symbolic links, so that two paths to the same journal give the same
    /// names. Neither the journal nor its directory needs to exist.
    pub(crate) fn resolve(fs: &dyn FileSystem, path: &Path) -> Result<Self> {
        if names_a_directory(path) {
            return Err(MiniStoreError::PathIsNotFile { path: path.to_path_buf() });
        }
        let mut resolved = fs.canonicalize(path);
        if is_not_found(&resolved) && fs.id_at(path).is_ok_and(|found| found.is_some()) {
            // A symbolic link to nothing, unless the file was created just now.
            resolved = fs.canonicalize(path);
            if let Err(error) = resolved {
                return Err(MiniStoreError::file(path, "follow the symbolic link")(error));
            }
        }
        let resolved = match resolved {
            Ok(resolved) => resolved,
            Err(error) if error.kind() == io::ErrorKind::NotFound => path.to_path_buf(),
            Err(error) => return Err(MiniStoreError::file(path, "resolve the path")(error)),
        };
        let Some(base) = resolved.file_name() else {
            return Err(MiniStoreError::PathIsNotFile { path: path.to_path_buf() });
        };
        let parent = resolved.parent().filter(|parent| !parent.as_os_str().is_empty());
        let parent = parent.unwrap_or(Path::new("."));
        let dir = fs.canonicalize(parent).unwrap_or_else(|_| parent.to_path_buf());
        Ok(Self { dir, base: base.to_os_string() })
    }

    /// Checks that the names of all files next to the segments are short enough for the file system.
    ///
    /// # Errors
    ///
    /// [`MiniStoreError::InvalidArgument`].
    pub(crate) fn check_length(&self) -> Result<()> {
        let (bytes, max) = (self.base.len(), NAME_BYTES_MAX - LONGEST_SUFFIX.len());
        if bytes <= max {
            return Ok(());
        }
        Err(MiniStoreError::InvalidArgument(format!(
            "the name of a journal has at most {max} bytes, which leaves space for the suffixes of its other files; this one has \
             {bytes}: {}",
            self.active().display()
        )))
    }

    pub(crate) fn dir(&self) -> &Path {
        &self.dir
    }

    pub(crate) fn active(&self) -> PathBuf {
        self.dir.join(&self.base)
    }

    /// Returns the name that this engine gives to a rotated segment.
    pub(crate) fn rotated(&self, number: u64) -> PathBuf {
        let width = if number <= 999 { DIGITS } else { DIGITS_LONG };
        self.with_suffix(&format!(".{number:0width$}"))
    }

    /// Returns the names that writers give to the rotated segment of this number: this engine, and `ministore` 0.1.7.
    pub(crate) fn written_names(&self, number: u64) -> Vec<PathBuf> {
        let mut names =
            vec![self.rotated(number), self.with_suffix(&format!(".{number:0width$}", width = DIGITS_LONG))];
        names.dedup();
        names
    }

    pub(crate) fn next(&self) -> PathBuf {
        self.with_suffix(".next")
    }

    pub(crate) fn lock(&self) -> PathBuf {
        self.with_suffix(".lock")
    }

    pub(crate) fn holds(&self) -> PathBuf {
        self.with_suffix(".holds")
    }

    pub(crate) fn holds_next(&self) -> PathBuf {
        self.with_suffix(".holds.next")
    }

    /// Returns the name for bytes that were truncated at `offset`; `copy` counts the attempts to find a free name, from
    /// 0.
    pub(crate) fn truncated(&self, offset: u64, copy: u32) -> PathBuf {
        match copy {
            0 => self.with_suffix(&format!(".truncated-{offset}")),
            _ => self.with_suffix(&format!(".truncated-{offset}-{copy}")),
        }
    }

    /// Returns the name of a rotated segment that is written with this many digits.
    pub(crate) fn rotated_with_digits(&self, number: u64, digits: usize) -> PathBuf {
        self.with_suffix(&format!(".{number:0digits$}"))
    }

    /// Returns the name of a complete copy of a rotated segment, or of the active one, that is not published yet.
    pub(crate) fn staged(&self, number: Option<u64>) -> PathBuf {
        match number {
            Some(number) => self.with_suffix(&format!("{STAGED}{number}")),
            None => self.with_suffix(&format!("{STAGED}active")),
        }
    }

    /// Returns the name of a copy that is being written.
    pub(crate) fn staged_part(&self) -> PathBuf {
        self.with_suffix(&format!("{STAGED}part"))
    }

    /// Returns the copies among the names in the directory that are not published.
    pub(crate) fn staged_in(&self, names: &[OsString]) -> Vec<PathBuf> {
        let is_staged = |name: &&OsString| {
            let own = name.as_bytes().strip_prefix(self.base.as_bytes());
            let role = own.and_then(|rest| rest.strip_prefix(STAGED.as_bytes())).unwrap_or_default();
            matches!(role, b"active" | b"part")
                || !role.is_empty() && role.iter().all(|byte| byte.is_ascii_digit())
        };
        names.iter().filter(is_staged).map(|name| self.dir.join(name)).collect()
    }

    /// Returns the rotated segments among the names in the directory, oldest first. A file with a lock file of its own
    /// is another journal.
    pub(crate) fn rotated_in(&self, names: &[OsString]) -> RotatedSegments {
        self.numbered_in(names, false)
    }

    /// Returns the other journals among the names in the directory that have the name of a rotated segment.
    pub(crate) fn foreign_in(&self, names: &[OsString]) -> RotatedSegments {
        self.numbered_in(names, true)
    }

    fn numbered_in(&self, names: &[OsString], has_lock: bool) -> RotatedSegments {
        let stem = |name| OsStr::as_bytes(name).strip_suffix(b".lock").map(OsStr::from_bytes);
        // Usually empty, so that no name is hashed.
        let with_lock: HashSet<&OsStr> = names
            .iter()
            .filter_map(|name| stem(name))
            .filter(|stem| self.rotated_number(stem).is_some())
            .collect();
        let mut numbered: Vec<_> = names
            .iter()
            .filter(|name| with_lock.contains(name.as_os_str()) == has_lock)
            .filter_map(|name| Some((self.rotated_number(name)?, self.dir.join(name))))
            .collect();
        numbered.sort();
        numbered
    }

    /// Returns the journal that a file of this name would belong to, and the role of the file. Only compares names.
    pub(crate) fn owner(&self) -> Option<(Self, FileRole)> {
        let base = self.base.as_bytes();
        let of = |stem: &[u8]| Self { dir: self.dir.clone(), base: OsStr::from_bytes(stem).to_os_string() };
        for suffix in [".holds.next", ".next", ".lock", ".holds"] {
            if let Some(stem) = base.strip_suffix(suffix.as_bytes()).filter(|stem| !stem.is_empty()) {
                return Some((of(stem), FileRole::Companion));
            }
        }
        let dot = base.iter().rposition(|&byte| byte == b'.').filter(|&dot| dot > 0)?;
        let (stem, suffix) = (&base[..dot], &base[dot + 1..]);
        if let Some(offset) = suffix.strip_prefix(b"truncated-") {
            let is_offset =
                !offset.is_empty() && offset.iter().all(|byte| byte.is_ascii_digit() || *byte == b'-');
            return is_offset.then(|| (of(stem), FileRole::Companion));
        }
        let owner = of(stem);
        let number = owner.rotated_number(&self.base)?;
        Some((owner, FileRole::Segment(number)))
    }

    /// Returns whether this is the path of a file of this journal, existing or not.
    pub(crate) fn is_journal_file(&self, path: &Path) -> bool {
        let name = path.file_name().filter(|_| path.parent() == Some(&self.dir));
        let is_rotated = name.is_some_and(|name| self.rotated_number(name).is_some());
        let own = [self.active(), self.next(), self.lock(), self.holds(), self.holds_next()];
        is_rotated || own.iter().any(|own| own == path)
    }

    /// Returns the number in the name of a rotated segment.
    pub(crate) fn number_of(&self, path: &Path) -> Option<u64> {
        self.rotated_number(path.file_name()?)
    }

    /// Returns the number of digits in the name of a rotated segment.
    pub(crate) fn digits_of(&self, path: &Path) -> usize {
        path.file_name().map_or(0, OsStr::len).saturating_sub(self.base.len() + 1)
    }

    fn rotated_number(&self, name: &OsStr) -> Option<u64> {
        let digits = name.as_bytes().strip_prefix(self.base.as_bytes())?.strip_prefix(b".")?;
        let is_number = !digits.is_empty() && digits.iter().all(u8::is_ascii_digit);
        std::str::from_utf8(digits).ok().filter(|_| is_number)?.parse().ok()
    }

    fn with_suffix(&self, suffix: &str) -> PathBuf {
        let mut name = self.base.clone().into_vec();
        name.extend_from_slice(suffix.as_bytes());
        self.dir.join(OsString::from_vec(name))
    }
}

/// Returns whether a path can only name a directory: `a/`, `a/.` or `a/..`.
pub(crate) fn names_a_directory(path: &Path) -> bool {
    let bytes = path.as_os_str().as_bytes();
    bytes.ends_with(b"/") || bytes.ends_with(b"/.") || path.file_name().is_none()
}

fn is_not_found(resolved: &io::Result<PathBuf>) -> bool {
    resolved.as_ref().is_err_and(|error| error.kind() == io::ErrorKind::NotFound)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn names() -> FileNames {
        FileNames { dir: "/d".into(), base: "j.log".into() }
    }

    #[test]
    fn rotated_name_parses_back() {
        for number in [1, 42, 999, 1000, 123_456_789] {
            let path = names().rotated(number);
            let name = path.file_name().unwrap().to_os_string();
            assert_eq!(names().rotated_in(&[name]), [(number, path)]);
        }
        assert_eq!(names().rotated(7), Path::new("/d/j.log.007"));
    }

    #[test]
    fn numbers_of_any_width_are_sorted_by_value() {
        let zeros = format!("j.log.{}3", "0".repeat(40));
        let listed = ["j.log.10", "j.log.000002", &zeros, "j.log.001", "j.log"].map(OsString::from);
        let numbers: Vec<_> = names().rotated_in(&listed).into_iter().map(|(number, _)| number).collect();
        assert_eq!(numbers, [1, 2, 3, 10]);
    }

    #[test]
    fn other_files_are_not_segments() {
        let mut others = vec![
            names().active(),
            names().next(),
            names().lock(),
            names().truncated(5, 0),
            names().truncated(5, 2),
        ];
        others.extend([names().holds(), names().holds_next()]);
        let mut listed: Vec<_> = others.iter().map(|path| path.file_name().unwrap().to_os_string()).collect();
        listed.extend(["j.log.", "j.log.1a", "j.log.-1", "k.log.001", "j.log.001.gz"].map(OsString::from));
        listed.push(format!("j.log.{}", "9".repeat(30)).into());
        assert_eq!(names().rotated_in(&listed), []);
    }
}
