//! The compared versions, read from the lock file that this program was built with, so that no result can name
//! others.

const LOCK: &str = include_str!("../Cargo.lock");

/// Returns the version of `package` in the lock file.
pub fn of(package: &str) -> &'static str {
    let name = format!("name = \"{package}\"");
    let mut lines = LOCK.lines();
    while let Some(line) = lines.next() {
        if line == name {
            let version = lines.next().and_then(|line| line.strip_prefix("version = \""));
            return version.and_then(|line| line.strip_suffix('"')).unwrap_or("?");
        }
    }
    "?"
}

#[cfg(test)]
mod tests {
    use super::of;
    use crate::log_under_test::LogKind;

    #[test]
    fn every_log_has_its_version_in_the_lock_file() {
        for kind in LogKind::ALL {
            let version = of(kind.package());
            assert!(version.split('.').count() == 3, "{}: {version}", kind.package());
        }
        assert_eq!(of("no-such-package"), "?");
    }
}
