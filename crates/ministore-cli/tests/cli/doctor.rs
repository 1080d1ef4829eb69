//! `doctor`: its checks, its measurements, its findings, and that it leaves no file.

use std::{
    ffi::OsStr,
    fs,
    os::unix::{
        ffi::OsStrExt,
        fs::{PermissionsExt, symlink},
    },
    path::Path,
    process::{Command, Stdio},
    thread,
    time::{Duration, Instant},
};

use serde_json::Value;

use crate::{
    os_restrictions::{without_io_uring, without_privileges},
    support::{CommandExt, ProgramOutput, TIMEOUT, TestDir, kill, ministore, skipped},
};

/// Long enough for one write with every method.
const SHORT: [&str; 3] = ["doctor", "--duration", "0.1s"];

fn doctor(dir: impl AsRef<OsStr>) -> Command {
    let mut command = ministore(SHORT);
    command.arg(dir);
    command
}

/// Checks that the command ended with 0 or 1 and without an error, on any disk.
fn assert_report(output: ProgramOutput) -> ProgramOutput {
    assert!(matches!(output.code, Some(0 | 1)), "{output:?}");
    assert_eq!(output.errors(), Vec::<&str>::new(), "{output:?}");
    output
}

fn level<'a>(report: &'a Value, check: &str) -> &'a str {
    let checks = report["checks"].as_array().unwrap();
    checks.iter().find(|one| one["check"] == check).unwrap_or(&Value::Null)["level"]
        .as_str()
        .unwrap_or("absent")
}

#[test]
fn doctor_reports_all_and_leaves_directory_unchanged() {
    let dir = TestDir::new();
    let output = assert_report(doctor(dir.root()).run());
    for name in [
        "kernel",
        "file system",
        "device",
        "free space",
        "io_uring",
        "synchronous writes",
        "sync mode",
        "direct writes",
        "directories",
        "locks",
        "sync",
        "append, fdatasync",
        "append, fsync",
        "allocated, fdatasync",
        "write in place, fdatasync",
        "O_DSYNC in place",
        "O_DIRECT|O_DSYNC in place",
        "a journal, blocking calls",
        "a journal, io_uring",
        "a journal, tokio-uring",
        "recommendations",
    ] {
        assert!(output.stdout.contains(name), "{name}: {}", output.stdout);
    }
    assert_eq!(dir.snapshot().len(), 0);
}

#[test]
fn json_report_has_documented_fields() {
    let dir = TestDir::new();
    let output = assert_report(doctor(dir.root()).arg("--json").run());
    let report = output.json();
    let worst = report["verdict"].as_str().unwrap();
    assert_eq!(output.code, Some(i32::from(["warning", "problem"].contains(&worst))), "{report}");
    assert_eq!(report["directory"], dir.root().to_str().unwrap());
    for (object, key) in [("host", "kernel"), ("file_system", "kind"), ("space", "free_bytes")] {
        assert!(!report[object][key].is_null(), "{object}.{key}: {report}");
    }
    let sync_mode = report["sync_mode"].as_str().unwrap();
    assert!(["dsync", "fdatasync"].contains(&sync_mode), "{report}");
    let checks = report["checks"].as_array().unwrap();
    let named = checks.iter().find(|check| check["check"] == "sync mode").unwrap();
    assert!(named["message"].as_str().unwrap().starts_with(sync_mode), "{report}");
    assert!(checks.iter().any(|check| check["level"] == worst) && checks.len() >= 9, "{report}");
    for check in checks {
        assert!(check["check"].is_string() && check["message"].is_string(), "{check}");
        let needed = check["level"] != "ok";
        assert_eq!(check["detail"].is_string(), needed, "every other level has a detail: {check}");
    }
    let measured = report["measurements"].as_array().unwrap();
    assert_eq!(measured.len(), 22);
    for one in measured.iter().filter(|one| one["error"].is_null()) {
        let [p50, p99, max] = ["p50", "p99", "max"].map(|point| one["latency_us"][point].as_f64().unwrap());
        assert!(0.0 < p50 && p50 <= p99 && p99 <= max, "{one}");
        assert!(
            one["writes"].as_u64().unwrap() > 0 && one["writes_per_second"].as_f64().unwrap() > 0.0,
            "{one}"
        );
    }
    for option in report["recommendations"].as_array().unwrap() {
        assert!(option["option"].is_string() && option["reason"].is_string(), "{option}");
    }
}

#[test]
fn zero_duration_skips_measurements() {
    let dir = TestDir::new();
    let args = ["doctor", "--json", "--duration", "0s"];
    let report = assert_report(ministore(args).current_dir(dir.root()).run()).json();
    assert_eq!((&report["measurements"], level(&report, "sync")), (&Value::Array(vec![]), "note"));
    assert_eq!(report["directory"], ".", "the default is the current directory");
    assert_eq!(dir.snapshot().len(), 0);
}

#[test]
fn denied_io_uring_is_a_note_with_the_cause() {
    let dir = TestDir::new();
    let output = assert_report(without_io_uring(|| doctor(dir.root()).arg("--json").run()));
    let report = output.json();
    let checks = report["checks"].as_array().unwrap();
    let found = &checks.iter().find(|check| check["check"] == "io_uring").unwrap();
    assert_eq!(found["level"], "note");
    assert!(found["message"].as_str().unwrap().contains("seccomp filter"), "{found}");
    assert!(found["remedy"].as_str().unwrap().contains("io_uring_setup"), "{found}");
    let measured = report["measurements"].as_array().unwrap();
    for method in ["a journal, io_uring", "a journal, tokio-uring"] {
        let ring = measured.iter().find(|one| one["method"] == method).unwrap();
        assert!(ring["error"].as_str().unwrap().contains("backend is not available"), "{ring}");
    }
}

#[test]
fn unusable_directory_returns_66_or_77() {
    let dir = TestDir::new();
    let file = dir.write("file", "");
    for (path, code) in [(dir.path("missing"), 66), (file.clone(), 66), (dir.path("file/below"), 74)] {
        let output = doctor(&path).run().code(code);
        assert!(output.error().contains(path.to_str().unwrap()), "{output:?}");
    }
    let forbidden = dir.path("forbidden");
    fs::create_dir(&forbidden).unwrap();
    fs::set_permissions(&forbidden, fs::Permissions::from_mode(0o555)).unwrap();
    let output = without_privileges(|| doctor(&forbidden).run()).code(77);
    assert!(output.error().contains("forbidden"), "{output:?}");
    ministore(["doctor", "--duration", "-1s"]).run().code(64);
    assert_eq!(fs::read_dir(&forbidden).unwrap().count(), 0);
}

#[test]
fn signal_stops_and_cleans_up() {
    for signal in [("INT", 130), ("TERM", 143)] {
        let dir = TestDir::new();
        let child = ministore(["doctor", "--duration", "600s"]).arg(dir.root()).spawn_with_stdin();
        let started = Instant::now();
        while !is_measuring(dir.root()) {
            assert!(started.elapsed() < TIMEOUT, "the measurement does not start");
            thread::sleep(Duration::from_millis(2));
        }
        kill(&child, signal.0);
        let output = ProgramOutput::from(child.wait_with_output().unwrap()).code(signal.1);
        assert_eq!((output.errors().len(), output.stdout.as_str()), (0, ""), "{output:?}");
        assert_eq!(fs::read_dir(dir.root()).unwrap().count(), 0);
    }
}

/// Whether the journal, which is measured last, exists in the directory of the measurement.
fn is_measuring(dir: &Path) -> bool {
    let own = fs::read_dir(dir).unwrap().flatten().next();
    own.is_some_and(|own| {
        fs::read_dir(own.path()).is_ok_and(|entries| {
            entries.flatten().any(|entry| entry.file_name().to_string_lossy().starts_with("a journal"))
        })
    })
}

#[test]
fn control_characters_in_names_are_replaced() {
    let dir = TestDir::new();
    for name in [&b"two\nlines"[..], b"\x1b[31mred", b"not \xff UTF-8", b"-x", b"a b'c\"d"] {
        let named = dir.root().join(OsStr::from_bytes(name));
        fs::create_dir(&named).unwrap();
        let output = assert_report(doctor(&named).run());
        assert!(!output.stdout.contains('\x1b'), "{output:?}");
        let output = assert_report(
            ministore(SHORT).args(["--json", "--"]).arg(name_of(&named)).current_dir(dir.root()).run(),
        );
        assert_eq!(output.stdout.lines().count(), 1, "{output:?}");
        assert!(output.json()["directory"].is_string());
        assert_eq!(fs::read_dir(&named).unwrap().count(), 0, "{}", named.display());
    }
}

fn name_of(path: &Path) -> &OsStr {
    path.file_name().unwrap()
}

#[test]
fn directory_symlink_is_followed() {
    let (dir, other) = (TestDir::new(), TestDir::new());
    symlink(other.root(), dir.path("link")).unwrap();
    assert_report(doctor(dir.path("link")).run());
    assert_eq!(other.snapshot().len(), 0);
}

/// Runs it on a new tmpfs in its own mount namespace. Returns `None` without root.
fn run_on_tmpfs(options: &str) -> Option<(Value, ProgramOutput)> {
    run_on_mount(&format!("mount -t tmpfs -o {options} tmpfs \"$1\""))
}

/// Runs it on a file system that this shell command mounts at `$1`.
fn run_on_mount(mount: &str) -> Option<(Value, ProgramOutput)> {
    let dir = TestDir::new();
    let script = format!("{mount} || exit 99; shift; exec \"$@\"");
    let mut command = Command::new("unshare");
    command.args(["--mount", "sh", "-c", &script, "sh"]).arg(dir.root()).arg(env!("CARGO_BIN_EXE_ministore"));
    command.args(SHORT).arg("--json").arg(dir.root());
    let output = command.stdin(Stdio::null()).output().ok().map(ProgramOutput::from);
    let is_unavailable =
        |output: &ProgramOutput| output.code == Some(99) || output.stderr.starts_with("unshare: ");
    let Some(output) = output.filter(|output| !is_unavailable(output)) else {
        skipped(&format!("SKIPPED: doctor with `{mount}`: needs root and unshare"));
        return None;
    };
    let output = assert_report(output);
    Some((output.json(), output))
}

#[test]
fn tmpfs_and_its_syncs_are_warnings() {
    let Some((report, output)) = run_on_tmpfs("size=100m") else { return };
    assert_eq!(
        (level(&report, "file system"), level(&report, "sync"), output.code),
        ("warning", "warning", Some(1))
    );
    assert_eq!(report["file_system"]["kind"], "tmpfs");
}

#[test]
fn volatile_overlay_is_a_problem() {
    let layers = "lowerdir=$1/below,upperdir=$1/above,workdir=$1/work,volatile";
    let mount = format!(
        "mount -t tmpfs layers \"$1\" && mkdir \"$1/below\" \"$1/above\" \"$1/work\" && mount -t overlay -o \"{layers}\" o \"$1\""
    );
    let Some((report, output)) = run_on_mount(&mount) else { return };
    let levels = (level(&report, "file system"), level(&report, "mount option"));
    assert_eq!((levels, output.code), (("note", "problem"), Some(1)), "{report}");
}

#[test]
fn low_disk_space_fails_without_measuring() {
    let Some((report, output)) = run_on_tmpfs("size=16m") else { return };
    assert_eq!((level(&report, "free space"), output.code), ("problem", Some(1)));
    assert_eq!(report["measurements"], Value::Array(vec![]));
    assert_eq!(level(&report, "locks"), "ok", "checks that need little space run");
}

#[test]
fn read_only_file_system_is_a_problem() {
    let Some((report, output)) = run_on_tmpfs("ro") else { return };
    assert_eq!((level(&report, "mount option"), level(&report, "directory")), ("problem", "problem"));
    assert_eq!((output.code, &report["verdict"]), (Some(1), &"problem".into()));
}

#[test]
fn full_disk_is_a_problem() {
    // Two inodes: the root and the directory of the measurement, so that no file can be created in it.
    let Some((report, output)) = run_on_tmpfs("size=100m,nr_inodes=2") else { return };
    assert_eq!((level(&report, "writes"), output.code), ("problem", Some(1)), "{report}");
}
