//! `compare` of generated reports.

use crate::{
    compare::bench_report,
    support::{TestDir, ministore},
};

#[test]
fn compare() {
    let dir = TestDir::new();
    let (a, b) = (bench_report(16, &[100.0, 105.0, 110.0]), bench_report(16, &[80.0, 90.0, 85.0]));
    let mut other_host = b.clone();
    other_host["host"]["kernel"] = "6.2".into();
    let few = bench_report(16, &[80.0]);
    let [a, b] = [("a.json", a), ("b.json", b)].map(|(name, report)| dir.write(name, report.to_string()));
    let other_host = dir.write("elsewhere.json", other_host.to_string());
    let few = dir.write("few.json", few.to_string());
    snapshot!(dir, ministore(["compare"]).args([&a, &b])).code(1);
    snapshot!(dir, ministore(["compare", "--json"]).args([&a, &b])).code(1);
    snapshot!(dir, ministore(["compare"]).args([&b, &a])).ok();
    snapshot!(dir, ministore(["compare"]).args([&a, &other_host])).code(1);
    snapshot!(dir, ministore(["compare"]).args([&a, &few])).ok();
    snapshot!(dir, ministore(["compare"]).args([&a, &dir.path("no.json")])).code(66);
}
