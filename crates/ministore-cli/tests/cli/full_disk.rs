//! `ingest` where there is no room: a limit on the size of files stands for a full disk.

use std::process::Command;

use crate::support::{Place, Ran, Run, head, lines};

/// The program where no file may grow beyond 200 KiB or 400 KiB, as the shell counts.
fn limited(place: &Place, options: &[&str]) -> Ran {
    let script = "trap '' XFSZ; ulimit -f 400; exec \"$@\"";
    let ingest = place.ingest();
    let mut command = Command::new("sh");
    command.args(["-c", script, "sh"]).arg(ingest.get_program()).args(ingest.get_args());
    command.args(["--json", "--resume"]).args(options).arg(place.path("in.ndjson")).run()
}

fn the_run_ends_with_74_and_goes_on_when_there_is_room(options: &[&str]) {
    let (place, text) = (Place::new(), lines(20_000));
    let file = place.write("in.ndjson", &text);
    for _ in 0..2 {
        let ran = limited(&place, options).code(74);
        assert!(ran.error().contains("disk full"), "{ran:?}");
        let durable = place.durable();
        assert_eq!(place.replay(), head(&text, durable), "the first lines and no others");
        assert_eq!(ran.json()["durable_seq"], durable);
    }
    place.ingest().args(options).arg("--resume").arg(file).run().ok();
    assert!(place.replay() == text);
    place.command("verify").run().ok();
}

#[test]
fn a_full_disk_loses_no_line() {
    the_run_ends_with_74_and_goes_on_when_there_is_room(&[]);
}

#[test]
fn a_full_disk_loses_no_line_without_writing_ahead() {
    the_run_ends_with_74_and_goes_on_when_there_is_room(&["--no-preallocate", "--backend", "blocking"]);
}
