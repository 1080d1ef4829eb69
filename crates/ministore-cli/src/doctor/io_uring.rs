//! Checks whether a journal can use io_uring, and if not, determines the likely cause.

use std::{io, path::Path};

use ministore_uring::{Backend, JournalOptions, MiniStoreError};
use procfs::process::Process;
use rustix::{
    io::Errno,
    process::{Resource, getrlimit},
};

use super::finding::Finding;
use crate::host::line_of;

const CHECK: &str = "io_uring";

/// The observable causes of a refusal.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Environment {
    /// Major and minor.
    kernel: Option<(u32, u32)>,
    /// `kernel.io_uring_disabled`, since 6.6.
    disabled: Option<u32>,
    /// `kernel.io_uring_group`.
    group: Option<i64>,
    /// Whether a seccomp filter is active for this process.
    filtered: bool,
    /// `RLIMIT_MEMLOCK`, if there is one.
    locked_bytes_max: Option<u64>,
}

impl Environment {
    fn detect(kernel: Option<&str>) -> Self {
        let status = Process::myself().and_then(|process| process.status());
        Self {
            kernel: kernel.and_then(release),
            disabled: sysctl("io_uring_disabled"),
            group: sysctl("io_uring_group"),
            filtered: status.is_ok_and(|status| status.seccomp == Some(2)),
            locked_bytes_max: getrlimit(Resource::Memlock).current,
        }
    }

    fn before(&self, release: (u32, u32)) -> bool {
        self.kernel.is_some_and(|kernel| kernel < release)
    }
}

fn sysctl<T: std::str::FromStr>(name: &str) -> Option<T> {
    line_of(format!("/proc/sys/kernel/{name}"))?.parse().ok()
}

/// Parses `6.18.44-generic` into 6 and 18.
pub(super) fn release(text: &str) -> Option<(u32, u32)> {
    let mut numbers = text.split(|c: char| !c.is_ascii_digit());
    Some((numbers.next()?.parse().ok()?, numbers.next()?.parse().ok()?))
}

/// Checks io_uring by opening a journal that requires it.
pub(super) fn check(directory: &Path, kernel: Option<&str>) -> Finding {
    let environment = Environment::detect(kernel);
    match JournalOptions::new()
        .backend(Backend::Uring)
        .preallocate(false)
        .open_blocking(directory.join("ring"))
    {
        Ok(store) => match store.blocking().close() {
            Ok(()) => granted(&environment),
            Err(error) => Finding::problem(CHECK, format!("closing a journal failed: {error}")),
        },
        Err(MiniStoreError::BackendUnavailable { source, .. }) => refused(&source, &environment),
        Err(error) => Finding::problem(CHECK, format!("opening a journal failed: {error}")),
    }
}

fn granted(environment: &Environment) -> Finding {
    if environment.before((6, 1)) {
        return Finding::note(CHECK, "available, without the optimisations of kernel 6.1")
            .detail("since 6.1 a ring can be limited to one thread, which avoids interrupts");
    }
    Finding::ok(CHECK, "available")
}

fn refused(error: &io::Error, environment: &Environment) -> Finding {
    let (cause, remedy) = cause(Errno::from_io_error(error), environment);
    Finding::note(CHECK, format!("not available ({error}): {cause}"))
        .detail("blocking system calls are used instead: the same guarantees, fewer appends per second with many callers")
        .remedy(remedy)
}

/// Returns the likely cause and a remedy.
fn cause(errno: Option<Errno>, environment: &Environment) -> (String, String) {
    let pair = |cause: &str, remedy: &str| (cause.to_owned(), remedy.to_owned());
    let nothing = "none needed: `--backend auto`, the default, works without it";
    if environment.before((5, 6)) {
        return pair("this kernel is older than 5.6", "use a newer kernel; the default works without it");
    }
    match (errno, environment.disabled) {
        (Some(Errno::PERM), Some(2)) => pair(
            "the sysctl kernel.io_uring_disabled is 2",
            "run `sysctl kernel.io_uring_disabled=0` as root",
        ),
        (Some(Errno::PERM), Some(1)) => {
            let group = match environment.group {
                Some(group @ 0..) => format!("add the user to the group {group} (kernel.io_uring_group)"),
                _ => "set kernel.io_uring_group to a group of the user".to_owned(),
            };
            let cause =
                "the sysctl kernel.io_uring_disabled is 1, and this user is not in kernel.io_uring_group";
            (cause.to_owned(), group)
        }
        (Some(Errno::PERM | Errno::NOSYS), _) if environment.filtered => pair(
            "a seccomp filter is active for this process, as in many containers",
            "use a profile that allows io_uring_setup, io_uring_enter and io_uring_register",
        ),
        (Some(Errno::PERM | Errno::ACCESS), _) => {
            pair("a security module of the kernel (SELinux, AppArmor, …) denies it", "change its policy")
        }
        (Some(Errno::NOSYS), _) => pair("this kernel was built without it (CONFIG_IO_URING)", nothing),
        (Some(Errno::NOMEM), _) if environment.before((5, 12)) => {
            let limit =
                environment.locked_bytes_max.map_or("unlimited".to_owned(), |bytes| format!("{bytes} bytes"));
            let cause = format!("the limit of locked memory, RLIMIT_MEMLOCK, is exhausted ({limit})");
            (cause, "raise it: `ulimit -l`, or `LimitMEMLOCK=` in a unit file".to_owned())
        }
        (Some(Errno::NOMEM), _) => {
            pair("the memory of this process or its control group is exhausted", "provide more memory")
        }
        _ => pair("unknown cause", nothing),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn modern() -> Environment {
        Environment { kernel: Some((6, 12)), disabled: Some(0), group: Some(-1), ..Environment::default() }
    }

    fn named(errno: Errno, environment: &Environment) -> String {
        cause(Some(errno), environment).0
    }

    #[test]
    fn release_suffix_is_ignored() {
        assert_eq!(
            ["6.18.44-fc", "5.4", "6.1-rc2"].map(release),
            [Some((6, 18)), Some((5, 4)), Some((6, 1))]
        );
        assert_eq!(["", "6", "x.y"].map(release), [None; 3]);
    }

    #[test]
    fn each_cause_is_recognised() {
        let filtered = Environment { filtered: true, ..modern() };
        assert!(named(Errno::PERM, &filtered).contains("seccomp"));
        assert!(named(Errno::NOSYS, &filtered).contains("seccomp"));
        assert!(named(Errno::NOSYS, &modern()).contains("CONFIG_IO_URING"));
        assert!(named(Errno::PERM, &modern()).contains("security module"));
        assert!(named(Errno::NOMEM, &modern()).contains("control group"));
        assert!(named(Errno::BADF, &modern()).contains("unknown cause"));
        let old =
            Environment { kernel: Some((5, 10)), locked_bytes_max: Some(65536), ..Environment::default() };
        assert!(
            named(Errno::NOMEM, &old).contains("RLIMIT_MEMLOCK")
                && named(Errno::NOMEM, &old).contains("65536")
        );
        let older = Environment { kernel: Some((5, 4)), ..Environment::default() };
        assert!(named(Errno::INVAL, &older).contains("older than 5.6"));
    }

    #[test]
    fn sysctl_is_reported_before_a_filter() {
        let environment = |disabled, group| Environment {
            disabled: Some(disabled),
            group: Some(group),
            filtered: true,
            ..modern()
        };
        assert!(named(Errno::PERM, &environment(2, -1)).contains("io_uring_disabled is 2"));
        let (cause, remedy) = cause(Some(Errno::PERM), &environment(1, 42));
        assert!(cause.contains("io_uring_disabled is 1") && remedy.contains("group 42"), "{cause} {remedy}");
    }

    #[test]
    fn older_kernel_is_a_note() {
        let old = Environment { kernel: Some((5, 15)), ..modern() };
        assert_ne!(granted(&old).level, granted(&modern()).level);
    }
}
