//! Owns the check of io_uring: whether a journal gets it, and where not, what is most likely in its way.

use std::{fs, io, path::Path};

use ministore_uring::{Backend, JournalOptions, MiniStoreError};
use procfs::process::{LimitValue, Process};
use rustix::io::Errno;

use super::finding::Finding;

const CHECK: &str = "io_uring";

/// What the kernel lets be seen of its reasons.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Surroundings {
    /// Major and minor.
    kernel: Option<(u32, u32)>,
    /// `kernel.io_uring_disabled`, since 6.6.
    disabled: Option<u32>,
    /// `kernel.io_uring_group`.
    group: Option<i64>,
    /// Whether a filter decides about the system calls of this process.
    filtered: bool,
    /// `RLIMIT_MEMLOCK`, where there is one.
    locked_bytes_max: Option<u64>,
}

impl Surroundings {
    fn look(kernel: Option<&str>) -> Self {
        let process = Process::myself().ok();
        let limits = process.as_ref().and_then(|process| process.limits().ok());
        let seccomp = process.and_then(|process| process.status().ok()).and_then(|status| status.seccomp);
        Self {
            kernel: kernel.and_then(release),
            disabled: sysctl("io_uring_disabled"),
            group: sysctl("io_uring_group"),
            filtered: seccomp == Some(2),
            locked_bytes_max: limits.and_then(|limits| match limits.max_locked_memory.soft_limit {
                LimitValue::Value(bytes) => Some(bytes),
                LimitValue::Unlimited => None,
            }),
        }
    }

    fn before(&self, release: (u32, u32)) -> bool {
        self.kernel.is_some_and(|kernel| kernel < release)
    }
}

fn sysctl<T: std::str::FromStr>(name: &str) -> Option<T> {
    fs::read_to_string(format!("/proc/sys/kernel/{name}")).ok()?.trim().parse().ok()
}

/// `6.18.44-generic` as 6 and 18.
pub(super) fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Opens a journal that insists on io_uring, in a directory of its own.
pub(super) fn check(directory: &Path, kernel: Option<&str>) -> Finding {
    let around = Surroundings::look(kernel);
    match JournalOptions::new()
        .backend(Backend::Uring)
        .write_ahead(false)
        .open_blocking(directory.join("ring"))
    {
        Ok(store) => match store.blocking().close() {
            Ok(()) => granted(&around),
            Err(error) => Finding::problem(CHECK, format!("a journal closes with an error: {error}")),
        },
        Err(MiniStoreError::BackendUnavailable { source, .. }) => refused(&source, &around),
        Err(error) => Finding::problem(CHECK, format!("a journal cannot be opened: {error}")),
    }
}

fn granted(around: &Surroundings) -> Finding {
    if around.before((6, 1)) {
        return Finding::note(CHECK, "works, in the manner of kernels before 6.1")
            .why("from 6.1 on a ring is set up for one thread, which saves it interruptions");
    }
    Finding::ok(CHECK, "works")
}

fn refused(error: &io::Error, around: &Surroundings) -> Finding {
    let (cause, advice) = cause(Errno::from_io_error(error), around);
    Finding::note(CHECK, format!("refused ({error}): {cause}"))
        .why("journals are written by blocking system calls instead: the same guarantees, fewer appends a second with many callers")
        .advice(advice)
}

/// The likely cause, and what can be done about it.
fn cause(errno: Option<Errno>, around: &Surroundings) -> (String, String) {
    let told = |cause: &str, advice: &str| (cause.to_owned(), advice.to_owned());
    let nothing = "nothing: `--backend auto`, the default, does without";
    if around.before((5, 6)) {
        return told("this kernel is older than 5.6", "a newer kernel, or nothing: the default does without");
    }
    match (errno, around.disabled) {
        (Some(Errno::PERM), Some(2)) => told(
            "the sysctl kernel.io_uring_disabled is 2",
            "`sysctl kernel.io_uring_disabled=0` as root, or nothing",
        ),
        (Some(Errno::PERM), Some(1)) => {
            let group = match around.group {
                Some(group @ 0..) => format!("add the user to the group {group} (kernel.io_uring_group)"),
                _ => "name a group of the user in kernel.io_uring_group".to_owned(),
            };
            let cause = "the sysctl kernel.io_uring_disabled is 1, and this user is not in the group that is excepted";
            (cause.to_owned(), format!("{group}, or nothing"))
        }
        (Some(Errno::PERM | Errno::NOSYS), _) if around.filtered => told(
            "a seccomp filter is in force for this process, as container runtimes set them",
            "a profile that allows io_uring_setup, io_uring_enter and io_uring_register, or nothing",
        ),
        (Some(Errno::PERM | Errno::ACCESS), _) => told(
            "a security module of the kernel (SELinux, AppArmor, …) forbids it",
            "its policy, or nothing",
        ),
        (Some(Errno::NOSYS), _) => told("this kernel was built without it (CONFIG_IO_URING)", nothing),
        (Some(Errno::NOMEM), _) if around.before((5, 12)) => {
            let limit =
                around.locked_bytes_max.map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes"));
            let cause = format!("the limit of locked memory, RLIMIT_MEMLOCK, is used up ({limit})");
            (cause, "raise it: `ulimit -l`, or `LimitMEMLOCK=` in a unit file".to_owned())
        }
        (Some(Errno::NOMEM), _) => {
            told("the memory of this process or its control group is used up", "more memory")
        }
        _ => told("none of the known causes", nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modern() -> Surroundings {
        Surroundings { kernel: Some((6, 12)), disabled: Some(0), group: Some(-1), ..Surroundings::default() }
    }

    fn named(errno: Errno, around: &Surroundings) -> String {
        cause(Some(errno), around).0
    }

    #[test]
    fn releases_are_read_whatever_follows_them() {
        assert_eq!(
            ["6.18.44-fc", "5.4", "6.1-rc2"].map(release),
            [Some((6, 18)), Some((5, 4)), Some((6, 1))]
        );
        assert_eq!(["", "6", "x.y"].map(release), [None; 3]);
    }

    #[test]
    fn each_cause_is_named_by_what_can_be_seen() {
        let filtered = Surroundings { filtered: true, ..modern() };
        assert!(named(Errno::PERM, &filtered).contains("seccomp"));
        assert!(named(Errno::NOSYS, &filtered).contains("seccomp"));
        assert!(named(Errno::NOSYS, &modern()).contains("CONFIG_IO_URING"));
        assert!(named(Errno::PERM, &modern()).contains("security module"));
        assert!(named(Errno::NOMEM, &modern()).contains("control group"));
        assert!(named(Errno::BADF, &modern()).contains("none of the known"));
        let old =
            Surroundings { kernel: Some((5, 10)), locked_bytes_max: Some(65536), ..Surroundings::default() };
        assert!(
            named(Errno::NOMEM, &old).contains("RLIMIT_MEMLOCK")
                && named(Errno::NOMEM, &old).contains("65536")
        );
        let older = Surroundings { kernel: Some((5, 4)), ..Surroundings::default() };
        assert!(named(Errno::INVAL, &older).contains("older than 5.6"));
    }

    #[test]
    fn the_sysctl_is_named_before_a_filter_that_may_be_innocent() {
        let around = |disabled, group| Surroundings {
            disabled: Some(disabled),
            group: Some(group),
            filtered: true,
            ..modern()
        };
        assert!(named(Errno::PERM, &around(2, -1)).contains("io_uring_disabled is 2"));
        let (cause, advice) = cause(Some(Errno::PERM), &around(1, 42));
        assert!(cause.contains("io_uring_disabled is 1") && advice.contains("group 42"), "{cause} {advice}");
    }

    #[test]
    fn a_ring_of_an_older_kernel_is_a_note() {
        let old = Surroundings { kernel: Some((5, 15)), ..modern() };
        assert_ne!(granted(&old).level, granted(&modern()).level);
    }
}
