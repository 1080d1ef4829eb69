//! `compare`, of measurements made up for it.

use crate::{
    compare::measured,
    support::{Place, ministore},
};

#[test]
fn compare() {
    let place = Place::new();
    let (a, b) = (measured(16, &[100.0, 105.0, 110.0]), measured(16, &[80.0, 90.0, 85.0]));
    let mut elsewhere = b.clone();
    elsewhere["host"]["kernel"] = "6.2".into();
    let few = measured(16, &[80.0]);
    let [a, b] =
        [("a.json", a), ("b.json", b)].map(|(name, measured)| place.write(name, measured.to_string()));
    let elsewhere = place.write("elsewhere.json", elsewhere.to_string());
    let few = place.write("few.json", few.to_string());
    snapshot!(place, ministore(["compare"]).args([&a, &b])).code(1);
    snapshot!(place, ministore(["compare", "--json"]).args([&a, &b])).code(1);
    snapshot!(place, ministore(["compare"]).args([&b, &a])).ok();
    snapshot!(place, ministore(["compare"]).args([&a, &elsewhere])).code(1);
    snapshot!(place, ministore(["compare"]).args([&a, &few])).ok();
    snapshot!(place, ministore(["compare"]).args([&a, &place.path("no.json")])).code(66);
}
