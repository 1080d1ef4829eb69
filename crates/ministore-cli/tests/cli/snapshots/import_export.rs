//! `import`, `export`, `backup`, `restore` and `man`.

use crate::support::{CommandExt, TestDir, ministore};

fn import(dir: &TestDir, source: &str, journal: &str) -> std::process::Command {
    ministore(["import".as_ref(), dir.path(source).as_os_str(), dir.path(journal).as_os_str()])
}

#[test]
fn export() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"a\":1}\n[2]\n").ok();
    snapshot!(dir, dir.command("export").arg(dir.path("plain.jsonl"))).ok();
    snapshot!(dir, dir.command("export").arg(dir.path("lines.ndjson")).args(["--lines", "--json"])).ok();
    snapshot!(dir, dir.command("export").arg("-")).ok();
    snapshot!(dir, dir.command("export").arg(dir.path("plain.jsonl"))).code(73);
    snapshot!(dir, dir.command("export").args(["-", "--json"])).code(64);
    snapshot!(dir, dir.command("export").arg(dir.path("journal.jsonl.001"))).code(64);
}

#[test]
fn import_sound_source() {
    let dir = TestDir::new();
    dir.write("in.ndjson", "{\"a\":1}\n\n[2]\n");
    snapshot!(dir, &mut import(&dir, "in.ndjson", "journal.jsonl")).ok();
    snapshot!(dir, import(&dir, "journal.jsonl", "copy.jsonl").arg("--json")).ok();
    snapshot!(dir, &mut import(&dir, "in.ndjson", "journal.jsonl")).code(73);
}

#[test]
fn import_damaged_source() {
    let dir = TestDir::new();
    dir.write("in.ndjson", "{\"a\":1}\n{\"a\":}\n");
    snapshot!(dir, &mut import(&dir, "in.ndjson", "journal.jsonl")).code(65);
    dir.write("torn.jsonl", "// MINISTORE JOURNAL v0.1.4\n1\n2\n{\"n\":");
    snapshot!(dir, &mut import(&dir, "torn.jsonl", "journal.jsonl")).ok();
    dir.write("bad.jsonl", "// MINISTORE JOURNAL v0.1.4\n1\n{\"n\":\n3\n");
    snapshot!(dir, &mut import(&dir, "bad.jsonl", "other.jsonl")).code(65);
    snapshot!(dir, &mut ministore(["import", "-", "other.jsonl"])).code(64);
}

#[test]
fn import_damaged_lines() {
    let dir = TestDir::new();
    dir.write("in.ndjson", "\u{feff}{\"a\":1}{\"a\":2}\r\n\0\0\0{\"a\":\"te{\"a\":3}\n{\"a\":1e400}\n{\"a\"");
    let repair = || {
        let mut command = ministore(["import", "--repair"]);
        command.arg(dir.path("in.ndjson"));
        command
    };
    snapshot!(dir, repair().arg("--dry-run")).code(1);
    snapshot!(dir, repair().arg(dir.path("journal.jsonl"))).code(1);
    snapshot!(dir, repair().args(["--in-place", "--json"])).code(1);
    snapshot!(dir, repair().arg("--in-place")).code(73);
    snapshot!(dir, repair().arg(dir.path("journal.jsonl")).arg("--in-place")).code(64);
    snapshot!(dir, ministore(["import", "--repair", "-n"]).arg(dir.path("journal.jsonl"))).code(64);
    snapshot!(dir, ministore(["import", "--repair", "-n"]).arg(dir.path("in.repaired.ndjson"))).ok();
}

#[test]
fn manual_pages() {
    let dir = TestDir::new();
    snapshot!(dir, ministore(["man"]).arg(dir.root())).ok();
}

#[test]
fn backup_and_restore() {
    let dir = TestDir::new();
    dir.ingest().run_with_stdin(b"{\"a\":1}\n[2]\n").ok();
    snapshot!(dir, &mut dir.backup()).ok();
    snapshot!(dir, dir.backup().arg("--json")).ok();
    snapshot!(dir, dir.command("backup").arg(dir.root())).code(64);
    let restore = || {
        let mut command = ministore(["restore"]);
        command.arg(dir.backed_up()).arg(dir.path("new.jsonl"));
        command
    };
    snapshot!(dir, &mut restore()).ok();
    snapshot!(dir, &mut restore()).code(73);
}
