//! The file systems under test: how each is created and mounted.

use std::{ffi::CStr, fmt, fs, io, path::Path, process::Command};

use clap::ValueEnum;
use ministore_faultfs::mounts::run;
use serde::{Deserialize, Serialize};

/// A file system under test.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize, ValueEnum)]
pub(crate) enum FileSystem {
    Ext4,
    Xfs,
    Btrfs,
}

impl FileSystem {
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Ext4 => "ext4",
            Self::Xfs => "xfs",
            Self::Btrfs => "btrfs",
        }
    }

    /// Returns a disk size close to the minimum that `mkfs` accepts.
    pub(crate) fn disk_bytes(self) -> u64 {
        match self {
            Self::Ext4 => 64 << 20,
            Self::Xfs => 320 << 20,
            Self::Btrfs => 128 << 20,
        }
    }

    /// Returns the mount options. Several images of one file system are mounted at once, which xfs allows only with
    /// `nouuid`.
    pub(crate) fn mount_data(self) -> &'static CStr {
        match self {
            Self::Xfs => c"nouuid",
            Self::Ext4 | Self::Btrfs => c"",
        }
    }

    /// Creates the file system.
    pub(crate) fn mkfs(self, device: &Path) -> io::Result<()> {
        let mut command = Command::new(format!("mkfs.{}", self.name()));
        match self {
            // A small journal wraps around often.
            Self::Ext4 => {
                command.args(["-q", "-F", "-b", "4096", "-J", "size=4"]);
                command.args(["-E", "nodiscard,lazy_itable_init=0,lazy_journal_init=0"])
            }
            Self::Xfs => command.args(["-q", "-f", "-K"]),
            Self::Btrfs => command.args(["-q", "-f", "-K"]),
        };
        run(command.arg(device)).map(drop)
    }

    /// Returns the reason if this file system cannot be tested on this machine.
    pub(crate) fn unavailable_reason(self) -> Option<String> {
        let kinds = fs::read_to_string("/proc/filesystems").unwrap_or_default();
        if !kinds.lines().any(|line| line.split_whitespace().last() == Some(self.name())) {
            return Some(format!("the kernel does not have {}", self.name()));
        }
        let mkfs = format!("mkfs.{}", self.name());
        let path = std::env::var_os("PATH").unwrap_or_default();
        let mut dirs = std::env::split_paths(&path);
        (!dirs.any(|dir| dir.join(&mkfs).exists())).then(|| format!("{mkfs} is not installed"))
    }
}

impl fmt::Display for FileSystem {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.pad(self.name())
    }
}
