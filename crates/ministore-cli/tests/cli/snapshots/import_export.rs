//! `import` and `export`, and what writes the manual.

use crate::support::{Place, Run, ministore};

fn import(place: &Place, source: &str, journal: &str) -> std::process::Command {
    ministore(["import".as_ref(), place.path(source).as_os_str(), place.path(journal).as_os_str()])
}

#[test]
fn export() {
    let place = Place::new();
    place.ingest().run_with(b"{\"a\":1}\n[2]\n").ok();
    snapshot!(place, place.command("export").arg(place.path("plain.jsonl"))).ok();
    snapshot!(place, place.command("export").arg(place.path("lines.ndjson")).args(["--lines", "--json"]))
        .ok();
    snapshot!(place, place.command("export").arg("-")).ok();
    snapshot!(place, place.command("export").arg(place.path("plain.jsonl"))).code(73);
    snapshot!(place, place.command("export").args(["-", "--json"])).code(64);
    snapshot!(place, place.command("export").arg(place.path("journal.jsonl.001"))).code(64);
}

#[test]
fn import_of_what_is_sound() {
    let place = Place::new();
    place.write("in.ndjson", "{\"a\":1}\n\n[2]\n");
    snapshot!(place, &mut import(&place, "in.ndjson", "journal.jsonl")).ok();
    snapshot!(place, import(&place, "journal.jsonl", "copy.jsonl").arg("--json")).ok();
    snapshot!(place, &mut import(&place, "in.ndjson", "journal.jsonl")).code(73);
}

#[test]
fn import_of_what_is_not() {
    let place = Place::new();
    place.write("in.ndjson", "{\"a\":1}\n{\"a\":}\n");
    snapshot!(place, &mut import(&place, "in.ndjson", "journal.jsonl")).code(65);
    place.write("torn.jsonl", "// MINISTORE JOURNAL v0.1.4\n1\n2\n{\"n\":");
    snapshot!(place, &mut import(&place, "torn.jsonl", "journal.jsonl")).ok();
    place.write("bad.jsonl", "// MINISTORE JOURNAL v0.1.4\n1\n{\"n\":\n3\n");
    snapshot!(place, &mut import(&place, "bad.jsonl", "other.jsonl")).code(65);
    snapshot!(place, &mut ministore(["import", "-", "other.jsonl"])).code(64);
}

#[test]
fn manual_pages() {
    let place = Place::new();
    snapshot!(place, ministore(["man"]).arg(place.dir.path())).ok();
}
