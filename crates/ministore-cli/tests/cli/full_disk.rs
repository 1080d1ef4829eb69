//! `ingest` on a full disk, simulated by a file size limit.

use std::process::Command;

use crate::support::{CommandExt, ProgramOutput, TestDir, head, lines};

/// Runs `ingest --resume` with a file size limit of 200 or 400 KiB: shells count differently.
fn ingest_limited(dir: &TestDir, options: &[&str]) -> ProgramOutput {
    let script = "trap '' XFSZ; ulimit -f 400; exec \"$@\"";
    let ingest = dir.ingest();
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(ingest.get_program()).args(ingest.get_args());
    command.args(["--json", "--resume"]).args(options).arg(dir.path("in.ndjson")).run()
}

fn check_full_disk(options: &[&str]) {
    let (dir, text) = (TestDir::new(), lines(20_000));
    let file = dir.write("in.ndjson", &text);
    for _ in 0..2 {
        let output = ingest_limited(&dir, options).code(74);
        assert!(output.error().contains("disk full"), "{output:?}");
        let durable = dir.durable();
        assert_eq!(dir.replay(), head(&text, durable), "the journal contains a prefix of the input");
        assert_eq!(output.json()["durable_seq"], durable);
    }
    dir.ingest().args(options).arg("--resume").arg(file).run().ok();
    assert!(dir.replay() == text);
    dir.command("verify").run().ok();
}

#[test]
fn full_disk_loses_no_line() {
    check_full_disk(&[]);
}

#[test]
fn full_disk_without_preallocation_loses_no_line() {
    check_full_disk(&["--no-preallocate", "--backend", "blocking"]);
}
