//! `bench`, its figures left out; what `--json` has is told in `tests/cli/bench.rs`.

use crate::support::{Place, ministore};

#[test]
fn bench() {
    let place = Place::new();
    let args = ["bench", "--seconds", "0.1", "--callers", "2", "--dir"];
    snapshot!(figures place, ministore(args).arg(place.dir.path())).ok();
    snapshot!(place, ministore(args).arg(place.path("no"))).code(66);
}
