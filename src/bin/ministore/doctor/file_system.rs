//! Owns what is known of file systems and of the options they are mounted with. Pure.

use super::finding::{Finding, Level};
use crate::machine::FileSystem;

/// What a file system means for a journal.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Nature {
    /// Blocks are overwritten in place, and a journal of the file system's own keeps it whole.
    Journaling,
    /// A block is never overwritten in place.
    CopyOnWrite,
    /// It is gone when the machine stops.
    Memory,
    /// Another file system below decides.
    Layered,
    /// Another machine decides, or a process.
    Remote,
    /// Nothing protects its own structures from a power cut.
    Unprotected,
    /// Not one that is known here.
    Unknown,
}

pub(super) fn nature(kind: &str) -> Nature {
    match kind {
        "ext4" | "ext3" | "xfs" | "jfs" => Nature::Journaling,
        "btrfs" | "zfs" | "bcachefs" | "f2fs" | "nilfs2" => Nature::CopyOnWrite,
        "tmpfs" | "ramfs" | "rootfs" | "devtmpfs" => Nature::Memory,
        "overlay" | "aufs" | "ecryptfs" => Nature::Layered,
        "nfs" | "nfs4" | "cifs" | "smb3" | "ceph" | "9p" | "virtiofs" | "glusterfs" | "lustre" | "afs"
        | "fuse" | "fuseblk" => Nature::Remote,
        kind if kind.starts_with("fuse.") => Nature::Remote,
        "ext2" | "vfat" | "msdos" | "exfat" => Nature::Unprotected,
        _ => Nature::Unknown,
    }
}

/// One finding about the kind, and one about each option that matters.
pub(super) fn check(file_system: &FileSystem) -> Vec<Finding> {
    let mut findings = vec![kind(file_system)];
    findings.extend(file_system.options.iter().filter_map(|option| about(&file_system.kind, option)));
    findings
}

fn kind(file_system: &FileSystem) -> Finding {
    let FileSystem { kind, mount_point, source, .. } = file_system;
    let source = source.as_deref().unwrap_or("none");
    let found = format!("{kind}, {source} on {mount_point}");
    let finding = |level, why: &str| Finding::new("file system", level, found.clone()).why(why);
    match nature(kind) {
        Nature::Journaling => Finding::ok("file system", found),
        Nature::CopyOnWrite => finding(
            Level::Note,
            "a block is never overwritten in place, so that writing ahead costs space and may win nothing",
        )
        .advice("`--no-write-ahead`, where the figures below say the same"),
        Nature::Memory => finding(Level::Warning, "what is acknowledged here is gone when the machine stops")
            .advice("a directory on a disk; this one is good for tests"),
        Nature::Layered => finding(Level::Note, "a container's own layer goes when the container goes")
            .advice("a volume for the journal, unless it may go with the container"),
        Nature::Remote => finding(
            Level::Note,
            "locks and syncs are as good as the server, or the process behind it, makes them",
        )
        .advice("a local disk, or proof that this server syncs what it acknowledges"),
        Nature::Unprotected => {
            finding(Level::Warning, "a power cut may leave the file system itself in need of repair")
                .advice("ext4 or xfs")
        }
        Nature::Unknown => finding(Level::Note, "not one of those that the test suite has run on")
            .advice("what the figures below and the file system's own documents say about fsync"),
    }
}

fn about(kind: &str, option: &str) -> Option<Finding> {
    let found = format!("{option} ({kind})");
    let finding = |level, why: &str| Finding::new("mount option", level, found.clone()).why(why);
    Some(match (kind, option) {
        (_, "ro") => finding(Level::Problem, "nothing can be written").advice("mount it writable, or another directory"),
        // Kernels differ in how they tell it.
        ("overlay", "volatile" | "fsync=volatile") => {
            finding(Level::Problem, "every sync is left out: nothing that is acknowledged survives a crash of the machine")
                .advice("mount it without this option, or a volume for the journal")
        }
        (_, "nobarrier" | "barrier=0" | "barrier=none" | "fsync_mode=nobarrier") => finding(
            Level::Warning,
            "no flush is sent to the device: unless its cache survives a power cut, what was acknowledged does not",
        )
        .advice("mount it without this option, or be sure of the device's cache"),
        ("ext3" | "ext4", "data=writeback") => {
            finding(Level::Note, "after a crash a file may hold what is not its own; the seals of the journal show that")
        }
        ("nfs" | "nfs4", "nolock" | "local_lock=all" | "local_lock=flock") => {
            finding(Level::Warning, "a second writer on another machine is not kept out")
                .advice("mount it without this option, or see to it that one machine alone writes")
        }
        ("nfs" | "nfs4" | "cifs" | "smb3", "soft") => {
            finding(Level::Note, "a server that does not answer for a while stops the journal with an error")
        }
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
    fn each_nature_has_its_level() {
        let level = |kind| mounted(kind, &["relatime", "rw"])[0].1;
        assert_eq!(["ext4", "xfs"].map(level), [Level::Ok; 2]);
        assert_eq!(["btrfs", "zfs", "overlay", "nfs4", "fuse.sshfs", "new"].map(level), [Level::Note; 6]);
        assert_eq!(["tmpfs", "vfat"].map(level), [Level::Warning; 2]);
    }

    #[test]
    fn options_that_take_durability_away_are_told() {
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
        assert_eq!(mounted("ext4", &["local_lock=all"]).len(), 1, "it means something on nfs alone");
    }
}
