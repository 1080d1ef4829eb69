//! `bench` without its figures, and errors of `doctor`. Output that depends on the machine is tested in
//! `crates/ministore-cli/tests/cli/bench.rs` and `crates/ministore-cli/tests/cli/doctor.rs`.

use crate::support::{TestDir, ministore};

#[test]
fn bench() {
    let dir = TestDir::new();
    let args = ["bench", "--duration", "0.1s", "--clients", "2", "--dir"];
    snapshot!(figures dir, ministore(args).arg(dir.root())).ok();
    snapshot!(dir, ministore(args).arg(dir.path("no"))).code(66);
}

#[test]
fn doctor_without_directory() {
    let dir = TestDir::new();
    let file = dir.write("file", "");
    snapshot!(dir, ministore(["doctor"]).arg(dir.path("no"))).code(66);
    snapshot!(dir, ministore(["doctor"]).arg(file)).code(66);
    snapshot!(dir, &mut ministore(["doctor", "--duration", "never"])).code(64);
}
