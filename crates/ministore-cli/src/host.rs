//! Describes the host: kernel, processors, memory, and the file system of a path. Read-only; unknown values are left out.

use std::{
    fs,
    io::{self, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
};

use procfs::{FromRead, process::MountInfos};
use serde::{Deserialize, Serialize};

/// The host that figures were measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct HostInfo {
    /// The name of the machine. Reports of earlier versions have none.
    #[serde(default)]
    pub(crate) hostname: Option<String>,
    /// The output of `uname -r`.
    pub(crate) kernel: Option<String>,
    /// The model name.
    pub(crate) processor: Option<String>,
    /// The parallelism available to this process.
    pub(crate) processors: usize,
    pub(crate) memory_bytes: Option<u64>,
}

impl HostInfo {
    pub(crate) fn this() -> Self {
        Self {
            hostname: line_of("/proc/sys/kernel/hostname"),
            kernel: line_of("/proc/sys/kernel/osrelease"),
            processor: fs::read_to_string("/proc/cpuinfo").ok().and_then(|text| processor(&text)),
            processors: thread::available_parallelism().map_or(1, usize::from),
            memory_bytes: procfs::Meminfo::from_file("/proc/meminfo").ok().map(|memory| memory.mem_total),
        }
    }
}

/// The file system under a path.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct FileSystem {
    /// `ext4`, `xfs`, …
    pub(crate) kind: String,
    /// The mounted device, or a name.
    pub(crate) source: Option<String>,
    pub(crate) mount_point: String,
    /// Options of the mount and of the file system, sorted.
    pub(crate) options: Vec<String>,
    pub(crate) size_bytes: u64,
    /// Available to processes without root privileges.
    pub(crate) free_bytes: u64,
}

impl FileSystem {
    /// # Errors
    ///
    /// Fails if the path cannot be read, or its mount is unknown.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let statvfs = rustix::fs::statvfs(&path)?;
        let mounts = MountInfos::from_read(BufReader::new(fs::File::open("/proc/self/mountinfo")?))
            .map_err(io::Error::other)?;
        let device = device_name(fs::metadata(&path)?.dev());
        // A later mount hides an earlier one at the same mount point. If no mount has the device (btrfs uses a device number
        // per subvolume), the mount point decides.
        let over = |mount: &&procfs::process::MountInfo| path.starts_with(&mount.mount_point);
        let depth = |mount: &&procfs::process::MountInfo| mount.mount_point.components().count();
        let all = mounts.iter().filter(over);
        let mount = all
            .clone()
            .filter(|mount| mount.majmin == device)
            .max_by_key(depth)
            .or_else(|| all.max_by_key(depth))
            .ok_or_else(|| io::Error::other("no mount of /proc/self/mountinfo contains it"))?;
        let option = |(name, value): (&String, &Option<String>)| match value {
            Some(value) => format!("{name}={value}"),
            None => name.clone(),
        };
        let mut options: Vec<_> =
            mount.mount_options.iter().chain(&mount.super_options).map(option).collect();
        options.sort();
        options.dedup();
        Ok(Self {
            kind: mount.fs_type.clone(),
            source: mount.mount_source.clone(),
            mount_point: mount.mount_point.to_string_lossy().into_owned(),
            options,
            size_bytes: statvfs.f_blocks.saturating_mul(statvfs.f_frsize),
            free_bytes: statvfs.f_bavail.saturating_mul(statvfs.f_frsize),
        })
    }
}

/// The device number as in mountinfo.
fn device_name(device: u64) -> String {
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

/// Returns the content of a file of the kernel, without surrounding white space; `None` if it is empty.
pub(crate) fn line_of(path: impl AsRef<Path>) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Parses `/proc/cpuinfo`, whose keys depend on the architecture.
fn processor(cpuinfo: &str) -> Option<String> {
    let value = |key: &str| {
        let mut fields = cpuinfo.lines().filter_map(|line| line.split_once(':'));
        fields.find(|(name, _)| name.trim() == key).map(|(_, value)| value.trim().to_owned())
    };
    ["model name", "cpu model", "Model", "CPU part"].into_iter().find_map(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn host_info_is_detected() {
        let machine = HostInfo::this();
        assert!(machine.hostname.is_some());
        assert!(machine.kernel.is_some_and(|kernel| kernel.contains('.')));
        assert!(machine.processors > 0);
        assert!(machine.memory_bytes.is_some_and(|bytes| bytes > 1 << 24));
    }

    #[test]
    fn file_system_is_the_innermost_mount() {
        assert_eq!(FileSystem::of(Path::new("/proc/self")).unwrap().kind, "proc");
        let dir = tempfile::tempdir().unwrap();
        let here = FileSystem::of(dir.path()).unwrap();
        assert!(here.size_bytes >= here.free_bytes && here.size_bytes > 0);
        assert!(dir.path().canonicalize().unwrap().starts_with(&here.mount_point));
        assert!(FileSystem::of(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn processor_key_depends_on_architecture() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: X 1\n"), Some("X 1".to_owned()));
        assert_eq!(processor("processor : 0\nCPU part : 0xd40\n"), Some("0xd40".to_owned()));
        assert_eq!(processor(""), None);
    }
}
