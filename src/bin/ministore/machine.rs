//! Owns what is told of the machine: kernel, processors, memory, and the file system that a path is on. Only looks;
//! what cannot be found out is left out.

use std::{
    fs,
    io::{self, BufReader},
    os::unix::fs::MetadataExt,
    path::Path,
    thread,
};

use procfs::{FromRead, process::MountInfos};
use serde::{Deserialize, Serialize};

/// The machine that a figure was measured on.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(crate) struct Machine {
    /// As `uname -r` prints it.
    pub(crate) kernel: Option<String>,
    /// As the processor calls itself.
    pub(crate) processor: Option<String>,
    /// Threads that can run at the same time, by this process's limits.
    pub(crate) processors: usize,
    pub(crate) memory_bytes: Option<u64>,
}

impl Machine {
    pub(crate) fn this() -> Self {
        Self {
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
    /// What is mounted: a device, or a name.
    pub(crate) source: Option<String>,
    pub(crate) mount_point: String,
    /// Of the mount and of the file system, in the order of their names.
    pub(crate) options: Vec<String>,
    pub(crate) size_bytes: u64,
    /// For a process that is not root's.
    pub(crate) free_bytes: u64,
}

impl FileSystem {
    /// # Errors
    ///
    /// Where the path cannot be looked at, or the mounts do not tell of its device.
    pub(crate) fn of(path: &Path) -> io::Result<Self> {
        let path = fs::canonicalize(path)?;
        let room = rustix::fs::statvfs(&path)?;
        let mounts = MountInfos::from_read(BufReader::new(fs::File::open("/proc/self/mountinfo")?))
            .map_err(io::Error::other)?;
        let device = device_name(fs::metadata(&path)?.dev());
        // A later mount hides an earlier one at the same place. Where the device is none of the mounts' (btrfs gives every
        // subvolume one of its own), the place alone tells.
        let over = |mount: &&procfs::process::MountInfo| path.starts_with(&mount.mount_point);
        let depth = |mount: &&procfs::process::MountInfo| mount.mount_point.components().count();
        let all = mounts.iter().filter(over);
        let mount = all
            .clone()
            .filter(|mount| mount.majmin == device)
            .max_by_key(depth)
            .or_else(|| all.max_by_key(depth))
            .ok_or_else(|| io::Error::other("it is on none of the mounts of /proc/self/mountinfo"))?;
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
            size_bytes: room.f_blocks.saturating_mul(room.f_frsize),
            free_bytes: room.f_bavail.saturating_mul(room.f_frsize),
        })
    }
}

/// As the mounts name it.
fn device_name(device: u64) -> String {
    format!("{}:{}", rustix::fs::major(device), rustix::fs::minor(device))
}

fn line_of(path: &str) -> Option<String> {
    fs::read_to_string(path).ok().map(|text| text.trim().to_owned()).filter(|line| !line.is_empty())
}

/// Out of `/proc/cpuinfo`, which has other keys on other architectures.
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
    fn this_machine_has_a_kernel_processors_and_memory() {
        let machine = Machine::this();
        assert!(machine.kernel.is_some_and(|kernel| kernel.contains('.')));
        assert!(machine.processors > 0);
        assert!(machine.memory_bytes.is_some_and(|bytes| bytes > 1 << 24));
    }

    #[test]
    fn the_file_system_of_a_path_is_the_innermost_mount_over_it() {
        assert_eq!(FileSystem::of(Path::new("/proc/self")).unwrap().kind, "proc");
        let dir = tempfile::tempdir().unwrap();
        let here = FileSystem::of(dir.path()).unwrap();
        assert!(here.size_bytes >= here.free_bytes && here.size_bytes > 0);
        assert!(dir.path().canonicalize().unwrap().starts_with(&here.mount_point));
        assert!(FileSystem::of(&dir.path().join("missing")).is_err());
    }

    #[test]
    fn a_processor_names_itself_by_other_keys_elsewhere() {
        assert_eq!(processor("processor\t: 0\nmodel name\t: X 1\n"), Some("X 1".to_owned()));
        assert_eq!(processor("processor : 0\nCPU part : 0xd40\n"), Some("0xd40".to_owned()));
        assert_eq!(processor(""), None);
    }
}
