//! A file size limit of the service acts as a full disk: clients get an error, and the service keeps running and starts again.

use std::process::Command;

use super::service::ServeProcess;
use crate::support::{TestDir, lines};

/// Starts a service with a file size limit of 200 or 400 KiB: shells count differently.
fn start_limited(dir: TestDir) -> ServeProcess {
    let mut command = Command::new("sh");
    let serve = dir.serve();
    command.args(["-c", "ulimit -f 400; exec \"$@\"", "sh"]).arg(serve.get_program()).args(serve.get_args());
    command.arg("--listen").arg(format!("unix:{}", dir.path("socket").display()));
    let mut service = ServeProcess::spawn_command(dir, &mut command);
    service.wait_for_log("listening on unix:");
    service
}

#[test]
fn file_size_limit_does_not_end_the_service() {
    let mut dir = TestDir::new();
    for _ in 0..2 {
        let mut service = start_limited(dir);
        let mut client = service.connect_unix().with_acks("batch");
        client.send(lines(20_000));
        let responses = client.receive_all();
        let last = responses.last().unwrap();
        assert_eq!(last["write_outcome"], "not_written", "{last}");
        // It still answers.
        drop(service.connect_unix().with_acks("batch"));
        let output = service.stop("TERM");
        assert!(output.code.is_some(), "killed by a signal: {output:?}");
        dir = std::mem::replace(&mut service.dir, TestDir::new());
    }
}
