//! Options and conventions that all subcommands share: JSON errors, quiet, colours, environment variables, aliases.

use serde_json::Value;

use crate::support::{Place, Run, damage, ministore};

fn journal(records: u32) -> Place {
    let place = Place::new();
    let lines: String = (1..=records).map(|n| format!("{{\"n\":{n}}}\n")).collect();
    place.ingest().run_with(lines.as_bytes()).ok();
    place
}

#[test]
fn json_error_is_one_object_on_stderr() {
    let place = journal(2);
    damage(&place.journal(), "{\"n\":1");
    let ran = place.command("replay").arg("--json").run().code(65);
    let error: Value = serde_json::from_str(&ran.err).unwrap();
    assert_eq!((&error["kind"], &error["exit_code"]), (&"invalid_data".into(), &65.into()));
    assert_eq!(error["path"], place.journal().to_str().unwrap());
    assert!(error["offset"].is_u64() && error["line"].is_u64() && error["hint"].is_string(), "{error}");
}

#[test]
fn json_usage_error_has_a_kind() {
    for args in [&["verify", "--json"][..], &["bench", "--json", "--duration", "5"], &["nonsense", "--json"]]
    {
        let ran = ministore(args).run().code(64);
        let error: Value = serde_json::from_str(&ran.err).unwrap();
        assert_eq!((&error["kind"], &error["exit_code"]), (&"usage".into(), &64.into()), "{error}");
        assert!(!error["message"].as_str().unwrap().starts_with("error:"), "{error}");
    }
}

#[test]
fn bad_line_in_json_has_line_and_column() {
    let ran = Place::new().ingest().arg("--json").run_with(b"1\n[x\n").code(65);
    let error: Value = serde_json::from_str(ran.err.lines().last().unwrap()).unwrap();
    assert_eq!((&error["path"], &error["line"], &error["column"]), (&"<stdin>".into(), &2.into(), &2.into()));
    assert_eq!(ran.json()["outcome"], "failed");
}

#[test]
fn get_and_replay_json_lines_have_seq_and_record() {
    let place = journal(3);
    let ran = place.command("get").args(["--json", "3", "1"]).run().ok();
    assert_eq!(ran.out, "{\"seq\":3,\"record\":{\"n\":3}}\n{\"seq\":1,\"record\":{\"n\":1}}\n");
    let ran = place.command("replay").args(["--json", "--from", "2", "--pointer", "/n"]).run().ok();
    assert_eq!(ran.out, "{\"seq\":2,\"record\":2}\n{\"seq\":3,\"record\":3}\n");
    place.command("replay").args(["--json", "--with-seq"]).run().code(64);
}

#[test]
fn tail_shows_the_last_10_records_by_default() {
    let place = journal(12);
    let tail = |args: &[&str]| place.command("tail").args(args).run().ok().out.lines().count();
    assert_eq!([tail(&[]), tail(&["-n", "3"]), tail(&["--from", "2"])], [10, 3, 11]);
    assert_eq!(tail(&["--to", "2"]), 2);
}

#[test]
fn aliases_are_the_same_commands() {
    let place = journal(2);
    assert_eq!(place.command("cat").run().ok().out, place.replay());
    assert_eq!(place.command("status").run().ok().out, place.command("inspect").run().ok().out);
}

#[test]
fn quiet_prints_no_summary_and_no_notes() {
    let place = Place::new();
    let ran = place.ingest().arg("-q").run_with(b"1\n").ok();
    assert_eq!((&*ran.out, &*ran.err), ("", ""));
    assert_eq!(place.command("verify").arg("--quiet").run().ok().out, "");
    let ran = ministore(["verify", "-q"]).arg(place.path("missing")).run().code(66);
    assert!(ran.err.contains("missing"), "{ran:?}");
}

#[test]
fn color_option_overrides_environment_and_terminal() {
    let place = journal(1);
    let has_color = |args: &[&str]| place.command("inspect").args(args).run().ok().out.contains('\u{1b}');
    assert_eq!([has_color(&[]), has_color(&["--color", "always"])], [false, true]);
    assert_eq!([has_color(&["--color=always", "--no-color"]), has_color(&["--color", "never"])], [false; 2]);
    let by_environment = place.command("inspect").env("MINISTORE_COLOR", "always").run().ok();
    assert!(by_environment.out.contains('\u{1b}'));
    let usage = ministore(["inspect", "--color", "always"]).run().code(64);
    assert!(usage.err.contains('\u{1b}'), "errors of the argument parser, too: {usage:?}");
}

#[test]
fn ingest_with_listen_points_to_serve() {
    let place = Place::new();
    for args in [&["--listen", "tcp:127.0.0.1:0"][..], &["--max-clients", "3", "--listen=unix:socket"]] {
        let ran = place.ingest().args(args).run().code(64);
        assert!(ran.error().contains("ingest reads files and standard input"), "{ran:?}");
        assert!(ran.hint().contains("use ministore serve"), "{ran:?}");
    }
}

#[test]
fn environment_sets_options_and_the_command_line_wins() {
    let place = Place::new();
    let mut ingest = place.ingest();
    ingest.env("MINISTORE_BACKEND", "blocking").env("MINISTORE_NO_PREALLOCATE", "true").arg("--json");
    assert_eq!(ingest.run_with(b"1\n").ok().json()["backend"], "blocking");
    let ran = place.ingest().env("MINISTORE_BACKEND", "nonsense").run().code(64);
    assert!(ran.err.contains("nonsense"), "{ran:?}");
    place.ingest().env("MINISTORE_BACKEND", "nonsense").args(["--backend", "auto"]).run().ok();
}

#[test]
fn retention_of_ingest_ignores_the_environment() {
    let place = Place::new();
    let mut ingest = place.ingest();
    ingest
        .env("MINISTORE_MAX_SEGMENTS", "1")
        .env("MINISTORE_MAX_TOTAL_BYTES", "1")
        .env("MINISTORE_MAX_AGE", "1s");
    ingest.args(["--max-segment-bytes", "1KiB"]).run_with(crate::support::lines(200).as_bytes()).ok();
    assert_eq!(place.replay().lines().count(), 200);
    let ran = ministore(["serve"]).env("MINISTORE_MAX_SEGMENTS", "x").arg(place.journal()).run().code(64);
    assert!(ran.err.contains("--max-segments"), "serve takes it: {ran:?}");
}

#[test]
fn durations_and_sizes_need_and_accept_units() {
    let place = Place::new();
    let serve = |args: &[&str]| place.serve().args(["-l", "tcp:127.0.0.1:0"]).args(args).run().code(64).err;
    for args in [["--idle-timeout", "5"], ["--write-timeout", "0s"], ["--max-record-bytes", "17MiB"]] {
        assert!(serve(&args).contains(args[0]), "{args:?}");
    }
    ministore(["doctor", "--duration", "20ms"]).arg(place.dir.path()).run();
}

#[test]
fn serve_is_configured_by_the_environment() {
    let place = Place::new();
    let listen = format!("unix:{},tcp:127.0.0.1:0", place.path("socket").display());
    let mut command = place.command("serve");
    command.env("MINISTORE_LISTEN", listen).env("MINISTORE_MAX_RECORD_BYTES", "2KiB").arg("--json");
    let mut service = crate::serve::Service::of(place, &mut command);
    service.wait_to_hear("listening on unix:");
    service.wait_to_hear("listening on tcp:");
    let mut client = service.unix();
    client.send("{\"ministore\":{\"ack\":\"record\"}}\n");
    assert_eq!(client.hear()["ok"]["max_record_bytes"], 2048);
    drop(client);
    service.end("TERM").code(143);
}
