//! Options and conventions that all subcommands share: JSON errors, quiet, colours, environment variables, aliases.

use serde_json::Value;

use crate::support::{CommandExt, TestDir, damage, ministore};

fn journal(records: u32) -> TestDir {
    let dir = TestDir::new();
    let lines: String = (1..=records).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    dir.ingest().run_with_stdin(lines.as_bytes()).ok();
    dir
}

#[test]
fn json_error_is_one_object_on_stderr() {
    let dir = journal(2);
    damage(&dir.journal(), "{\"n\":1");
    let output = dir.command("replay").arg("--json").run().code(65);
    let error: Value = serde_json::from_str(&output.stderr).unwrap();
    assert_eq!((&error["kind"], &error["exit_code"]), (&"invalid_data".into(), &65.into()));
    assert_eq!(error["path"], dir.journal().to_str().unwrap());
    assert!(error["offset"].is_u64() && error["line"].is_u64() && error["hint"].is_string(), "{error}");
}

#[test]
fn json_usage_error_has_a_kind() {
    for args in [&["verify", "--json"][..], &["bench", "--json", "--duration", "5"], &["nonsense", "--json"]]
    {
        let output = ministore(args).run().code(64);
        let error: Value = serde_json::from_str(&output.stderr).unwrap();
        assert_eq!((&error["kind"], &error["exit_code"]), (&"usage".into(), &64.into()), "{error}");
        assert!(!error["message"].as_str().unwrap().starts_with("error:"), "{error}");
    }
}

#[test]
fn bad_line_in_json_has_line_and_column() {
    let output = TestDir::new().ingest().arg("--json").run_with_stdin(b"1\n[x\n").code(65);
    let error: Value = serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap();
    assert_eq!((&error["path"], &error["line"], &error["column"]), (&"<stdin>".into(), &2.into(), &2.into()));
    assert_eq!(output.json()["outcome"], "failed");
}

#[test]
fn get_and_replay_json_lines_have_seq_and_record() {
    let dir = journal(3);
    let output = dir.command("get").args(["--json", "3", "1"]).run().ok();
    assert_eq!(output.stdout, "{\"seq\":3,\"record\":{\"n\":3}}\n{\"seq\":1,\"record\":{\"n\":1}}\n");
    let output = dir.command("replay").args(["--json", "--from", "2", "--pointer", "/n"]).run().ok();
    assert_eq!(output.stdout, "{\"seq\":2,\"record\":2}\n{\"seq\":3,\"record\":3}\n");
    dir.command("replay").args(["--json", "--with-seq"]).run().code(64);
}

#[test]
fn tail_shows_the_last_10_records_by_default() {
    let dir = journal(12);
    let tail = |args: &[&str]| dir.command("tail").args(args).run().ok().stdout.lines().count();
    assert_eq!([tail(&[]), tail(&["-n", "3"]), tail(&["--from", "2"])], [10, 3, 11]);
    assert_eq!(tail(&["--to", "2"]), 2);
}

#[test]
fn aliases_are_the_same_commands() {
    let dir = journal(2);
    assert_eq!(dir.command("cat").run().ok().stdout, dir.replay());
    assert_eq!(dir.command("status").run().ok().stdout, dir.command("inspect").run().ok().stdout);
}

#[test]
fn quiet_prints_no_summary_and_no_notes() {
    let dir = TestDir::new();
    let output = dir.ingest().arg("-q").run_with_stdin(b"1\n").ok();
    assert_eq!((&*output.stdout, &*output.stderr), ("", ""));
    assert_eq!(dir.command("verify").arg("--quiet").run().ok().stdout, "");
    let output = ministore(["verify", "-q"]).arg(dir.path("missing")).run().code(66);
    assert!(output.stderr.contains("missing"), "{output:?}");
}

#[test]
fn color_option_overrides_environment_and_terminal() {
    let dir = journal(1);
    let has_color = |args: &[&str]| dir.command("inspect").args(args).run().ok().stdout.contains('\u{1b}');
    assert_eq!([has_color(&[]), has_color(&["--color", "always"])], [false, true]);
    assert_eq!([has_color(&["--color=always", "--no-color"]), has_color(&["--color", "never"])], [false; 2]);
    let by_environment = dir.command("inspect").env("MINISTORE_COLOR", "always").run().ok();
    assert!(by_environment.stdout.contains('\u{1b}'));
    let usage = ministore(["inspect", "--color", "always"]).run().code(64);
    assert!(usage.stderr.contains('\u{1b}'), "errors of the argument parser are coloured, too: {usage:?}");
}

#[test]
fn ingest_with_listen_points_to_serve() {
    let dir = TestDir::new();
    for args in [&["--listen", "tcp:127.0.0.1:0"][..], &["--max-clients", "3", "--listen=unix:socket"]] {
        let output = dir.ingest().args(args).run().code(64);
        assert!(output.error().contains("ingest reads files and standard input"), "{output:?}");
        assert!(output.hint().contains("use ministore serve"), "{output:?}");
    }
}

#[test]
fn environment_sets_options_and_the_command_line_wins() {
    let dir = TestDir::new();
    let mut ingest = dir.ingest();
    ingest.env("MINISTORE_BACKEND", "blocking").env("MINISTORE_NO_PREALLOCATE", "true").arg("--json");
    assert_eq!(ingest.run_with_stdin(b"1\n").ok().json()["backend"], "blocking");
    let output = dir.ingest().env("MINISTORE_BACKEND", "nonsense").run().code(64);
    assert!(output.stderr.contains("nonsense"), "{output:?}");
    dir.ingest().env("MINISTORE_BACKEND", "nonsense").args(["--backend", "auto"]).run().ok();
}

#[test]
fn retention_of_ingest_ignores_the_environment() {
    let dir = TestDir::new();
    let mut ingest = dir.ingest();
    ingest
        .env("MINISTORE_MAX_SEGMENTS", "1")
        .env("MINISTORE_MAX_TOTAL_BYTES", "1")
        .env("MINISTORE_MAX_AGE", "1s");
    ingest.args(["--max-segment-bytes", "1KiB"]).run_with_stdin(crate::support::lines(200).as_bytes()).ok();
    assert_eq!(dir.replay().lines().count(), 200);
    let output = ministore(["serve"]).env("MINISTORE_MAX_SEGMENTS", "x").arg(dir.journal()).run().code(64);
    assert!(output.stderr.contains("--max-segments"), "serve uses the environment: {output:?}");
}

#[test]
fn durations_and_sizes_need_and_accept_units() {
    let dir = TestDir::new();
    let serve = |args: &[&str]| dir.serve().args(["-l", "tcp:127.0.0.1:0"]).args(args).run().code(64).stderr;
    for args in [["--idle-timeout", "5"], ["--write-timeout", "0s"], ["--max-record-bytes", "17MiB"]] {
        assert!(serve(&args).contains(args[0]), "{args:?}");
    }
    ministore(["doctor", "--duration", "20ms"]).arg(dir.root()).run();
}

#[test]
fn serve_is_configured_by_the_environment() {
    let dir = TestDir::new();
    let listen = format!("unix:{},tcp:127.0.0.1:0", dir.path("socket").display());
    let mut command = dir.command("serve");
    command.env("MINISTORE_LISTEN", listen).env("MINISTORE_MAX_RECORD_BYTES", "2KiB").arg("--json");
    let mut service = crate::serve::ServeProcess::spawn_command(dir, &mut command);
    service.wait_for_log("listening on unix:");
    service.wait_for_log("listening on tcp:");
    let mut client = service.connect_unix();
    client.send("{\"ministore\":{\"ack\":\"record\"}}\n");
    assert_eq!(client.receive()["ok"]["max_record_bytes"], 2048);
    drop(client);
    service.stop("TERM").ok();
}
