//! Compares every name that a user of the program can see with `tests/public-names/cli.txt`: subcommands, flags, environment
//! variables, exit codes, JSON fields, metrics, wire messages, files and threads. A rename is a decision: to accept one, run
//! `PUBLIC_NAMES=update cargo test -p ministore-cli --test cli public_names`, review the difference, and note it in the changelog.

use std::{collections::BTreeSet, fs, path::Path, process::Command};

use serde_json::{Value, json};

use crate::{
    manual::subcommands,
    serve::ServeProcess,
    support::{CommandExt, TestDir, damage, lines, ministore, quarantined},
};

#[test]
fn public_names_match_the_list() {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/public-names/cli.txt");
    let found = names();
    if std::env::var_os("PUBLIC_NAMES").is_some_and(|value| value == "update") {
        fs::create_dir_all(path.parent().unwrap()).unwrap();
        fs::write(&path, &found).unwrap();
        return;
    }
    let listed = fs::read_to_string(&path).unwrap_or_default();
    let [before, after] = [&listed, &found].map(|text| text.lines().collect::<BTreeSet<_>>());
    let gone: Vec<_> = before.difference(&after).collect();
    let new: Vec<_> = after.difference(&before).collect();
    assert!(
        listed == found,
        "the public names of the program differ from tests/public-names/cli.txt\n  gone: {gone:#?}\n  new: {new:#?}\n\
         If this is intended, run: PUBLIC_NAMES=update cargo test -p ministore-cli --test cli public_names"
    );
}

/// Returns all names, one per line, each after its kind.
fn names() -> String {
    let mut names = BTreeSet::new();
    command_line(&mut names);
    manual(&mut names);
    reports(&mut names);
    errors(&mut names);
    service(&mut names);
    names.into_iter().map(|name| name + "\n").collect()
}

fn command_line(names: &mut BTreeSet<String>) {
    let help = ministore(["--help"]).run().ok().stdout;
    options("", &help, names);
    for line in help.lines() {
        let alias = line.split_once("[alias: ").or_else(|| line.split_once("[aliases: "));
        if let Some((_, alias)) = alias {
            names.insert(format!("alias {}", alias.split(']').next().unwrap()));
        }
    }
    let codes = help.split_once("Exit codes:\n").unwrap().1;
    for code in codes.lines().filter_map(|line| line.split_whitespace().next()) {
        if code.parse::<u8>().is_ok() {
            names.insert(format!("exit code {code}"));
        }
    }
    for subcommand in subcommands() {
        names.insert(format!("command {subcommand}"));
        let help = ministore([&*subcommand, "--help"]).run().ok().stdout;
        options(&subcommand, &help, names);
    }
}

/// Collects flags with their value names, and environment variables, from a help text.
fn options(subcommand: &str, help: &str, names: &mut BTreeSet<String>) {
    const GLOBAL: [&str; 6] = ["--help", "--verbose", "--quiet", "--color", "--no-color", "--log-format"];
    for line in help.lines() {
        let text = line.trim_start();
        // Descriptions are indented further, and notes are not indented.
        let is_flag = (2..=6).contains(&(line.len() - text.len())) && text.starts_with('-');
        if is_flag && (subcommand.is_empty() || !GLOBAL.iter().any(|flag| text.contains(flag))) {
            names.insert(format!("option {subcommand} {text}").replace("  ", " "));
        }
        if let Some((_, variable)) = text.split_once("[env: ") {
            names.insert(format!("environment {}", variable.split(['=', ']']).next().unwrap()));
        }
    }
}

fn manual(names: &mut BTreeSet<String>) {
    let page = ministore(["man"]).run().ok().stdout;
    for section in ["FILES", "ENVIRONMENT"] {
        let text = page.split_once(&format!(".SH {section}\n")).unwrap().1;
        let text = text.split("\n.SH ").next().unwrap();
        for name in text.lines().filter_map(|line| line.strip_prefix("\\fB")) {
            names.insert(format!(
                "{} {}",
                section.to_lowercase(),
                name.trim_end_matches("\\fR").replace('\\', "")
            ));
        }
    }
}

/// Collects the fields of every report from real runs.
fn reports(names: &mut BTreeSet<String>) {
    let dir = TestDir::new();
    dir.ingest().args(["--max-segment-bytes", "4KiB"]).run_with_stdin(lines(100).as_bytes()).ok();
    let store = ministore_uring::JournalOptions::new().open_blocking(dir.journal()).unwrap();
    store.blocking().hold("HOLD", 1).unwrap();
    // A segment that stays sound, so that something can be salvaged.
    store.blocking().rotate().unwrap();
    store.blocking().append(&101).unwrap();
    store.blocking().rotate().unwrap();
    store.blocking().close().unwrap();
    let input = dir.write("in.ndjson", "1\n");
    let empty = dir.path("empty");
    fs::create_dir(&empty).unwrap();
    let mut report = |name: &str, command: &mut Command| {
        let output = command.arg("--json").run();
        for line in output.stdout.lines() {
            fields(&format!("json {name}"), &serde_json::from_str(line).unwrap(), names);
        }
        output
    };
    report("ingest", dir.ingest().arg(&input)).ok();
    report("get", dir.command("get").arg("1")).ok();
    report("replay", dir.command("replay").args(["--limit", "1"])).ok();
    report("import", ministore(["import".as_ref(), input.as_os_str()]).arg(dir.path("imported.jsonl"))).ok();
    let damaged = dir.write("damaged.ndjson", "1\n{");
    report("import --repair", ministore(["import", "--repair", "--in-place"]).arg(damaged)).code(1);
    report("export", dir.command("export").arg(dir.path("plain.jsonl"))).ok();
    report("backup", &mut dir.backup()).ok();
    let new = dir.path("restored.jsonl");
    report("restore", ministore(["restore".as_ref(), dir.backed_up().as_os_str()]).arg(new)).ok();
    let bench = ["bench", "--duration", "200ms", "--warm-up", "0", "-c", "2", "--rate", "100", "--dir"];
    let bench = report("bench", ministore(bench).arg(&empty)).ok();
    let mut other = bench.json();
    other["host"]["kernel"] = "other".into();
    let (a, b) = (dir.write("a.json", &bench.stdout), dir.write("b.json", other.to_string()));
    report("compare", ministore(["compare"]).args([a, b])).ok();
    report("doctor", ministore(["doctor", "--duration", "100ms"]).arg(&empty));
    report("repair", dir.command("repair").arg("--dry-run")).ok();
    damage(&dir.path("journal.jsonl.001"), "{\"n\":1");
    let file = fs::OpenOptions::new().write(true).open(dir.journal()).unwrap();
    file.set_len(file.metadata().unwrap().len() - 20).unwrap();
    report("inspect", &mut dir.command("inspect")).ok();
    report("verify", &mut dir.command("verify")).code(1);
    report("repair", dir.command("repair").arg("--dry-run")).code(1);
    report("salvage", dir.command("salvage").arg(dir.path("salvaged.jsonl"))).code(1);
    for entry in quarantined(&dir.path("damaged.repaired.ndjson.removed")) {
        fields("removed", &entry, names);
    }
}

/// Collects the fields and kinds of errors.
fn errors(names: &mut BTreeSet<String>) {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"n\":1}\n{\"n\":2}\n").ok();
    let mut error = |command: &mut Command, stdin: &[u8]| {
        let output = command.arg("--json").run_with_stdin(stdin);
        let error: Value = serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap();
        names.insert(format!("error kind {}", error["kind"].as_str().unwrap()));
        assert_eq!(error["exit_code"].as_i64(), output.code.map(i64::from), "{error}");
        fields("json error", &error, names);
    };
    error(&mut dir.ingest(), b"{\n");
    error(dir.command("get").arg("7"), b"");
    error(ministore(["verify"]).arg(dir.path("missing")), b"");
    error(&mut ministore(["verify"]), b"");
    damage(&dir.journal(), "{\"n\":1");
    error(&mut dir.command("replay"), b"");
}

/// Collects the metrics, wire messages, summary fields and threads of the service.
fn service(names: &mut BTreeSet<String>) {
    let mut service = ServeProcess::start(&["--metrics", "127.0.0.1:0", "--on-error", "skip"]);
    for ack in ["record", "batch"] {
        let mut client = service.connect_tcp();
        client.send(format!("{}\n1\nx\n", json!({ "ministore": { "ack": ack } })));
        for response in client.finish() {
            fields("wire", &response, names);
        }
    }
    let mut rejected = service.connect_tcp();
    rejected.send("{\"ministore\":{\"ack\":\"x\"}}\n");
    for response in rejected.finish() {
        fields("wire", &response, names);
    }
    for line in service.get("/metrics").1.lines() {
        if let Some(metric) = line.strip_prefix("# TYPE ") {
            names.insert(format!("metric {metric}"));
        } else if line.starts_with("ministore_serve_") {
            names.insert(format!("metric {}", line.split(' ').next().unwrap()));
        }
    }
    let tasks = fs::read_dir(format!("/proc/{}/task", service.child().id())).unwrap();
    for task in tasks.flatten() {
        if let Ok(name) = fs::read_to_string(task.path().join("comm")) {
            // The names of kernel workers contain the process id.
            if !name.starts_with("iou-") {
                names.insert(format!("thread {}", name.trim()));
            }
        }
    }
    // Truncated while it is open: the next append fails and ends the service.
    let mut client = service.connect_tcp().with_acks("record");
    fs::OpenOptions::new().write(true).open(service.dir.journal()).unwrap().set_len(20).unwrap();
    client.send("2\n");
    for response in client.receive_all() {
        fields("wire", &response, names);
    }
    let output = service.wait().code(74);
    fields("json serve", &output.json(), names);
    let error: Value = serde_json::from_str(output.stderr.lines().last().unwrap()).unwrap();
    names.insert(format!("error kind {}", error["kind"].as_str().unwrap()));
    fields("json error", &error, names);
}

/// Adds the path of every field. The names of holds are chosen by users, a record is the user's data, and a device is unknown on
/// some machines.
fn fields(path: &str, value: &Value, names: &mut BTreeSet<String>) {
    match value {
        Value::Object(object) => {
            for (name, value) in object {
                let path = format!("{path}.{name}");
                if !["holds", "record", "device"].contains(&&**name) {
                    fields(&path, value, names);
                }
                names.insert(path);
            }
        }
        Value::Array(array) => array.iter().for_each(|value| fields(&format!("{path}[]"), value, names)),
        _ => {}
    }
}
