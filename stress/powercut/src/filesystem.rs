//! The file systems under test: how each is made and mounted.

use std::{ffi::CStr, fmt, fs, io, path::Path, process::Command, str::FromStr};

use crate::mounts::run;

/// A file system.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

/// All of them.
pub(crate) const ALL: [FileSystem; 3] = [FileSystem::Ext4, FileSystem::Xfs, FileSystem::Btrfs];

impl FileSystem {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// About as small as its maker allows.
    pub(crate) fn disk_bytes(self) -> u64 {
        match self {
            Self::Ext4 => 64 << 20,
            Self::Xfs => 320 << 20,
            Self::Btrfs => 128 << 20,
        }
    }

    /// Several images of one file system are mounted at once.
    pub(crate) fn mount_data(self) -> &'static CStr {
        match self {
            Self::Xfs => c"nouuid",
            Self::Ext4 | Self::Btrfs => c"",
        }
    }

    pub(crate) fn make(self, device: &Path) -> io::Result<()> {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            // A small journal wraps round often.
            Self::Ext4 => {
                command.args(["-q", "-F", "-b", "4096", "-J", "size=4"]);
                command.args(["-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"])
            }
            Self::Xfs => command.args(["-q", "-f", "-K"]),
            Self::Btrfs => command.args(["-q", "-f", "-K"]),
        };
        run(command.arg(device)).map(drop)
    }

    /// Why it cannot be tested here, if it cannot.
    pub(crate) fn missing(self) -> Option<String> {
        let kinds = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !kinds.lines().any(|line| line.split_whitespace().last() == Some(self.name())) {
            return Some(format!("the kernel does not have {}", self.name()));
        }
        let maker = format!("mkfs.{}", self.name());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs = std::env::split_paths(&path);
        (!dirs.any(|dir| dir.join(&maker).exists())).then(|| format!("{maker} is not installed"))
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}

impl FromStr for FileSystem {
    type Err = String;

    fn from_str(text: &str) -> Result<Self, String> {
        let found = ALL.into_iter().find(|file_system| file_system.name() == text);
        found.ok_or_else(|| format!("{text}: not ext4, xfs or btrfs"))
    }
}
