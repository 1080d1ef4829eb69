//! Restrictions of the operating system: io_uring (exit code 69) and file permissions (77).

use std::{collections::BTreeMap, fs, os::unix::fs::PermissionsExt, thread};

use rustix::thread::{CapabilitySet, capability_is_in_bounding_set, remove_capability_from_bounding_set};
use seccompiler::{BpfProgram, SeccompAction, SeccompFilter};

use crate::support::{CommandExt, ProgramOutput, TestDir};

/// This number is the same on every architecture.
const SYS_IO_URING_SETUP: i64 = 425;

const EPERM: u32 = 1;

/// Runs it on a thread that denies io_uring to itself and to its child processes, as Docker does.
pub(crate) fn without_io_uring(run: impl FnOnce() -> ProgramOutput + Send) -> ProgramOutput {
    let restricted = || {
        let filter = SeccompFilter::new(
            BTreeMap::from([(SYS_IO_URING_SETUP, vec![])]),
            SeccompAction::Allow,
            SeccompAction::Errno(EPERM),
            std::env::consts::ARCH.try_into().unwrap(),
        );
        let program: BpfProgram = filter.unwrap().try_into().unwrap();
        seccompiler::apply_filter(&program).unwrap();
        run()
    };
    thread::scope(|scope| scope.spawn(restricted).join().unwrap())
}

/// Runs it on a thread whose child processes cannot bypass file permissions, even as root.
pub(crate) fn without_privileges(run: impl FnOnce() -> ProgramOutput + Send) -> ProgramOutput {
    let restricted = || {
        for capability in [CapabilitySet::DAC_OVERRIDE, CapabilitySet::DAC_READ_SEARCH] {
            // Only a thread without the capability gets EPERM.
            if let Err(error) = remove_capability_from_bounding_set(capability) {
                assert_eq!(error, rustix::io::Errno::PERM);
            } else {
                assert_eq!(capability_is_in_bounding_set(capability), Ok(false));
            }
        }
        run()
    };
    thread::scope(|scope| scope.spawn(restricted).join().unwrap())
}

#[test]
fn denied_io_uring_returns_69_with_cause() {
    let dir = TestDir::new();
    let output =
        without_io_uring(|| dir.ingest().args(["--backend", "io_uring"]).run_with_stdin(b"1\n")).code(69);
    assert!(output.error().contains("seccomp"), "{output:?}");
    assert_eq!(dir.snapshot().len(), 0, "no file was created");
}

#[test]
fn denied_io_uring_falls_back_and_warns() {
    let dir = TestDir::new();
    let output = without_io_uring(|| dir.ingest().arg("--json").run_with_stdin(b"1\n2\n")).ok();
    assert_eq!(output.json()["backend"], "blocking");
    assert!(output.stderr.contains("io_uring unavailable"), "{output:?}");
    assert_eq!(dir.replay(), "1\n2\n");
}

#[test]
fn unreadable_journal_returns_77_and_is_named() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"1\n").ok();
    let set_mode = |mode| fs::set_permissions(dir.journal(), fs::Permissions::from_mode(mode)).unwrap();
    let path = dir.journal().display().to_string();
    set_mode(0o000);
    for subcommand in ["replay", "verify", "inspect", "ingest"] {
        let output = without_privileges(|| dir.command(subcommand).run()).code(77);
        assert!(output.error().contains(&path), "{subcommand}: {output:?}");
    }
    set_mode(0o600);
    assert_eq!(dir.replay(), "1\n", "the journal is unchanged");
}

#[test]
fn unreadable_input_returns_77() {
    let dir = TestDir::new();
    let input = dir.write("in", "1\n");
    fs::set_permissions(&input, fs::Permissions::from_mode(0o000)).unwrap();
    let output = without_privileges(|| dir.ingest().arg(&input).run()).code(77);
    assert!(output.error().contains(&input.display().to_string()), "{output:?}");
}
