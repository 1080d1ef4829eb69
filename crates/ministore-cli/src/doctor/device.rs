//! Describes the block device under a directory, from sysfs: its write cache, and whether it rotates.

use std::{
    fs,
    os::unix::fs::{FileTypeExt, MetadataExt},
    path::{Path, PathBuf},
};

use serde::Serialize;

use super::finding::Finding;
use crate::host::line_of;

/// A block device.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize)]
pub(super) struct Device {
    pub(super) name: String,
    /// `queue/write_cache`: whether writes may be lost in a power failure until they are flushed.
    pub(super) volatile_cache: Option<bool>,
    pub(super) rotational: Option<bool>,
    /// Whether it can write a block through its cache.
    pub(super) fua: Option<bool>,
    /// Implemented in software: by the host of a virtual machine, or a file.
    pub(super) emulated: bool,
    /// Loses its data without power.
    pub(super) memory: bool,
    /// Persistent memory, whose syncs may take less than a microsecond.
    pub(super) persistent_memory: bool,
}

impl Device {
    /// Returns the device of the file system of `path`, by device number or (btrfs) by the mounted device.
    pub(super) fn under(path: &Path, source: Option<&str>) -> Option<Self> {
        let number = fs::metadata(path).ok()?.dev();
        let by_source = || {
            let device = fs::metadata(source?).ok()?;
            device.file_type().is_block_device().then(|| device.rdev()).and_then(Self::numbered)
        };
        Self::numbered(number).or_else(by_source)
    }

    fn numbered(number: u64) -> Option<Self> {
        let (major, minor) = (rustix::fs::major(number), rustix::fs::minor(number));
        let dir = fs::canonicalize(format!("/sys/dev/block/{major}:{minor}")).ok()?;
        let virtual_machine = fs::read_to_string("/proc/cpuinfo").is_ok_and(|text| is_virtual(&text));
        Self::at(&dir, virtual_machine)
    }

    /// Reads the sysfs directory of a device. A partition uses the queue of its disk.
    fn at(dir: &Path, virtual_machine: bool) -> Option<Self> {
        let name = dir.file_name()?.to_string_lossy().into_owned();
        let queue =
            [dir.join("queue"), dir.parent()?.join("queue")].into_iter().find(|path| path.is_dir())?;
        let read = |file: &str| line_of(queue.join(file));
        let flag = |file: &str| read(file).and_then(|text| text.parse::<u8>().ok()).map(|number| number != 0);
        let named = |starts: &[&str]| starts.iter().any(|start| name.starts_with(start));
        Some(Self {
            volatile_cache: read("write_cache").map(|text| text == "write back"),
            rotational: flag("rotational"),
            fua: flag("fua"),
            emulated: virtual_machine || named(&["vd", "xvd", "nbd", "loop", "ubd"]),
            memory: named(&["ram", "zram"]),
            persistent_memory: named(&["pmem"]),
            name,
        })
    }

    /// Whether it is a rotating disk. Emulated devices often claim to be.
    pub(super) fn is_rotating(&self) -> bool {
        self.rotational == Some(true) && !self.emulated
    }
}

/// Parses `/proc/cpuinfo`.
fn is_virtual(cpuinfo: &str) -> bool {
    let flags = cpuinfo.lines().find(|line| line.starts_with("flags"));
    flags.is_some_and(|flags| flags.split_whitespace().any(|flag| flag == "hypervisor"))
}

pub(super) fn check(device: Option<&Device>) -> Finding {
    let Some(device) = device else {
        return Finding::note("device", "no block device found for this directory")
            .detail("it is unknown whether a cache loses writes in a power failure");
    };
    let below = below(device);
    let made_of = if below.is_empty() { String::new() } else { format!(" (on {})", below.join(", ")) };
    let message = format!("{}{made_of}: {}", device.name, described(device));
    if device.memory {
        return Finding::warning("device", message)
            .detail("all data is lost when the machine stops")
            .remedy("use a directory on a disk; this one is suitable for tests only");
    }
    if device.emulated {
        return Finding::note("device", message)
            .detail("the host decides whether a flush is durable; a host that ignores flushes cannot be distinguished from a fast one")
            .remedy("check the setting of the host for this disk (in QEMU any cache mode except `unsafe`)");
    }
    Finding::ok("device", message)
}

fn described(device: &Device) -> String {
    let cache = match device.volatile_cache {
        Some(true) => "volatile write cache, flushed by syncs",
        Some(false) => "no volatile write cache, according to the device",
        None => "write cache unknown",
    };
    let motor = match device.rotational {
        Some(true) if device.is_rotating() => ", rotating",
        _ => "",
    };
    let emulated = if device.emulated { ", emulated" } else { "" };
    format!("{cache}{motor}{emulated}")
}

/// The devices below a device-mapper or RAID device.
fn below(device: &Device) -> Vec<String> {
    let slaves = PathBuf::from("/sys/class/block").join(&device.name).join("slaves");
    let Ok(entries) = fs::read_dir(slaves) else { return Vec::new() };
    let mut names: Vec<_> =
        entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::doctor::finding::Level;

    fn sysfs(name: &str, partition: Option<&str>, files: &[(&str, &str)]) -> (tempfile::TempDir, PathBuf) {
        let dir = tempfile::tempdir().unwrap();
        let disk = dir.path().join(name);
        fs::create_dir_all(disk.join("queue")).unwrap();
        for (file, text) in files {
            fs::write(disk.join("queue").join(file), text).unwrap();
        }
        let device = partition.map_or(disk.clone(), |partition| disk.join(partition));
        fs::create_dir_all(&device).unwrap();
        (dir, device)
    }

    #[test]
    fn partition_uses_the_queue_of_its_disk() {
        let files = [("write_cache", "write back\n"), ("rotational", "1\n"), ("fua", "0\n")];
        let (_dir, dir) = sysfs("sda", Some("sda1"), &files);
        let device = Device::at(&dir, false).unwrap();
        assert_eq!(
            (device.name.as_str(), device.volatile_cache, device.fua),
            ("sda1", Some(true), Some(false))
        );
        assert!(device.is_rotating());
        assert_eq!(check(Some(&device)).level, Level::Ok);
    }

    #[test]
    fn emulated_device_is_not_rotating() {
        let (_dir, dir) = sysfs("vda", None, &[("write_cache", "write through\n"), ("rotational", "1\n")]);
        let device = Device::at(&dir, false).unwrap();
        assert_eq!((device.volatile_cache, device.fua, device.is_rotating()), (Some(false), None, false));
        assert_eq!(check(Some(&device)).level, Level::Note);
        let (_dir, dir) = sysfs("sdb", None, &[("rotational", "1\n")]);
        assert!(!Device::at(&dir, true).unwrap().is_rotating(), "a disk of a virtual machine");
    }

    #[test]
    fn memory_device_is_a_warning() {
        let (_dir, dir) = sysfs("zram0", None, &[]);
        assert_eq!(check(Device::at(&dir, false).as_ref()).level, Level::Warning);
        assert_eq!(check(None).level, Level::Note);
        let (_dir, dir) = sysfs("pmem0", None, &[]);
        assert!(Device::at(&dir, false).unwrap().persistent_memory);
    }

    #[test]
    fn virtual_machine_is_detected_by_cpu_flags() {
        assert!(is_virtual("processor : 0\nflags\t\t: fpu hypervisor lahf_lm\n"));
        assert!(!is_virtual("flags\t\t: fpu lahf_lm\n") && !is_virtual(""));
    }
}
