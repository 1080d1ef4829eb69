//! Knowledge about file systems and mount options. Pure.

use super::finding::{Finding, Level};
use crate::host::FileSystem;

/// The class of a file system, as far as it matters for a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum FsClass {
    /// Overwrites blocks in place, with metadata journaling.
    Journaling,
    /// Never overwrites a block in place.
    CopyOnWrite,
    /// Lost at a shutdown.
    Memory,
    /// Depends on another file system.
    Layered,
    /// Depends on another machine or a process.
    Remote,
    /// No protection of its metadata from a power failure.
    Unprotected,
    /// Not in the list.
    Unknown,
}

pub(super) fn class_of(kind: &str) -> FsClass {
    match kind {
        "ext4" | "ext3" | "xfs" | "jfs" => FsClass::Journaling,
        "btrfs" | "zfs" | "bcachefs" | "f2fs" | "nilfs2" => FsClass::CopyOnWrite,
        "tmpfs" | "ramfs" | "rootfs" | "devtmpfs" => FsClass::Memory,
        "overlay" | "aufs" | "ecryptfs" => FsClass::Layered,
        "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p" | "virtiofs" | "glusterfs" | "lustre" | "afs"
        | "fuse" | "fuseblk" => FsClass::Remote,
        kind if kind.starts_with("fuse.") => FsClass::Remote,
        "ext2" | "vfat" | "msdos" | "exfat" => FsClass::Unprotected,
        _ => FsClass::Unknown,
    }
}

/// Returns one finding about the kind, and one about each relevant option.
pub(super) fn check(file_system: &FileSystem) -> Vec<Finding> {
    let mut findings = vec![kind(file_system)];
    findings.extend(file_system.options.iter().filter_map(|option| about(&file_system.kind, option)));
    findings
}

fn kind(file_system: &FileSystem) -> Finding {
    let FileSystem { kind, mount_point, source, .. } = file_system;
    let source = source.as_deref().unwrap_or("none");
    let message = format!("{kind}, {source} on {mount_point}");
    let finding = |level, detail: &str| Finding::new("file system", level, message.clone()).detail(detail);
    match class_of(kind) {
        FsClass::Journaling => Finding::ok("file system", message),
        FsClass::CopyOnWrite => finding(
            Level::Note,
            "blocks are never overwritten in place, so that preallocation costs space and may gain nothing",
        )
        .remedy("use `--no-preallocate` if the figures below confirm it"),
        FsClass::Memory => finding(Level::Warning, "all data is lost when the machine stops")
            .remedy("use a directory on a disk; this one is suitable for tests only"),
        FsClass::Layered => {
            finding(Level::Note, "the writable layer of a container is deleted with the container")
                .remedy("use a volume for the journal")
        }
        FsClass::Remote => finding(Level::Note, "locks and syncs depend on the server or the FUSE process")
            .remedy("use a local disk, or make sure that the server syncs acknowledged data"),
        FsClass::Unprotected => finding(Level::Warning, "a power failure may damage the file system itself")
            .remedy("use ext4 or xfs"),
        FsClass::Unknown => finding(Level::Note, "not tested with this file system")
            .remedy("check the figures below and the documentation of the file system about fsync"),
    }
}

fn about(kind: &str, option: &str) -> Option<Finding> {
    let message = format!("{option} ({kind})");
    let finding = |level, detail: &str| Finding::new("mount option", level, message.clone()).detail(detail);
    Some(match (kind, option) {
        (_, "ro") => {
            finding(Level::Problem, "read-only").remedy("remount it read-write, or use another directory")
        }
        // The spelling depends on the kernel version.
        ("overlay", "volatile" | "fsync=volatile") => finding(
            Level::Problem,
            "syncs are skipped: acknowledged records do not survive a crash of the machine",
        )
        .remedy("mount it without this option, or use a volume for the journal"),
        (_, "nobarrier" | "barrier=0" | "barrier=none" | "fsync_mode=nobarrier") => finding(
            Level::Warning,
            "the device cache is not flushed: acknowledged records may be lost in a power failure",
        )
        .remedy("mount it without this option, unless the device cache is protected against power loss"),
        ("ext3" | "ext4", "data=writeback") => finding(
            Level::Note,
            "after a crash a file may contain stale data; the checksums of the journal detect that",
        ),
        ("nfs" | "nfs4", "nolock" | "local_lock=all" | "local_lock=flock") => {
            finding(Level::Warning, "a second writer on another machine is not locked out")
                .remedy("mount it without this option, or make sure that only one machine writes")
        }
        ("nfs" | "nfs4" | "cifs" | "smb3", "soft") => finding(
            Level::Note,
            "if the server does not respond for a while, the journal fails with an error",
        ),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn mounted(kind: &str, options: &[&str]) -> Vec<(&'static str, Level)> {
        let file_system = FileSystem {
            kind: kind.to_owned(),
            source: None,
            mount_point: "/m".to_owned(),
            options: options.iter().map(|&option| option.to_owned()).collect(),
            size_bytes: 2,
            free_bytes: 1,
        };
        check(&file_system).into_iter().map(|finding| (finding.check, finding.level)).collect()
    }

    #[test]
    fn each_class_has_its_level() {
        let level = |kind| mounted(kind, &["relatime", "rw"])[0].1;
        assert_eq!(["ext4", "xfs"].map(level), [Level::Ok; 2]);
        assert_eq!(["btrfs", "zfs", "overlay", "nfs4", "fuse.sshfs", "new"].map(level), [Level::Note; 6]);
        assert_eq!(["tmpfs", "vfat"].map(level), [Level::Warning; 2]);
    }

    #[test]
    fn unsafe_mount_options_are_reported() {
        assert_eq!(mounted("ext4", &["data=ordered", "relatime", "rw"]).len(), 1);
        for (kind, option, level) in [
            ("xfs", "ro", Level::Problem),
            ("overlay", "volatile", Level::Problem),
            ("overlay", "fsync=volatile", Level::Problem),
            ("ext4", "nobarrier", Level::Warning),
            ("ext4", "barrier=0", Level::Warning),
            ("ext4", "data=writeback", Level::Note),
            ("nfs", "local_lock=all", Level::Warning),
        ] {
            assert_eq!(mounted(kind, &[option])[1..], [("mount option", level)], "{kind} {option}");
        }
        assert_eq!(mounted("ext4", &["local_lock=all"]).len(), 1, "only relevant on nfs");
    }
}
