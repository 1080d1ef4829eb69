//! Writes the page atomically.

use std::{
    ffi::OsString,
    fs::{self, File},
    io::{self, Write},
    path::{Path, PathBuf},
};

/// Checks before the measurement that the file can be created.
pub(in crate::bench) fn check(path: &Path) -> io::Result<()> {
    let part = part_of(path)?;
    File::create(&part)?;
    fs::remove_file(part)
}

/// Replaces an existing file.
pub(in crate::bench) fn write(path: &Path, page: &str) -> io::Result<()> {
    let part = part_of(path)?;
    let written = File::create(&part).and_then(|mut file| {
        file.write_all(page.as_bytes())?;
        file.sync_all()?;
        fs::rename(&part, path)
    });
    if written.is_err() {
        // The first error is reported.
        drop(fs::remove_file(&part));
    }
    written
}

/// A temporary name in the same directory.
fn part_of(path: &Path) -> io::Result<PathBuf> {
    if path.is_dir() {
        return Err(io::ErrorKind::IsADirectory.into());
    }
    let name = path.file_name().ok_or(io::ErrorKind::InvalidInput)?;
    let mut part = OsString::from(".");
    part.push(name);
    part.push(format!(".{}.part", std::process::id()));
    Ok(path.with_file_name(part))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn page_replaces_file_without_leftovers() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("out.html");
        fs::write(&path, "old").unwrap();
        check(&path).unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"old");
        write(&path, "new").unwrap();
        assert_eq!(fs::read(&path).unwrap(), b"new");
        assert_eq!(fs::read_dir(dir.path()).unwrap().count(), 1);
        assert!(check(dir.path()).is_err() && write(dir.path(), "x").is_err());
        assert!(check(&dir.path().join("no/such/out.html")).is_err());
    }
}
