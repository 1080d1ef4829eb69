//! `bench`, its figures left out, and what `doctor` refuses. What is another on every machine is in `crates/ministore-cli/tests/cli/bench.rs` and
//! `crates/ministore-cli/tests/cli/doctor.rs`: the JSON of both, and what `doctor` finds.

use crate::support::{Place, ministore};

#[test]
fn bench() {
    let place = Place::new();
    let args = ["bench", "--duration", "0.1s", "--clients", "2", "--dir"];
    snapshot!(figures place, ministore(args).arg(place.dir.path())).ok();
    snapshot!(place, ministore(args).arg(place.path("no"))).code(66);
}

#[test]
fn doctor_where_there_is_no_directory() {
    let place = Place::new();
    let file = place.write("file", "");
    snapshot!(place, ministore(["doctor"]).arg(place.path("no"))).code(66);
    snapshot!(place, ministore(["doctor"]).arg(file)).code(66);
    snapshot!(place, &mut ministore(["doctor", "--duration", "never"])).code(64);
}
