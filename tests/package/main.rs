//! What is promised of the package as a whole: the licences of all that is compiled with it, and the oldest compiler.
//!
//! `cargo deny` checks more, from the same `deny.toml`, where it is installed; this runs wherever the tests do.
#![expect(clippy::unwrap_used, reason = "a test fails by panicking")]

mod links;
mod public_names;
mod tidy;

use std::{
    collections::{BTreeMap, BTreeSet},
    path::Path,
    process::Command,
    sync::LazyLock,
};

use serde_json::Value;
use spdx::{Expression, LicenseReq};

/// What Cargo knows of this workspace and of everything that it depends on, on the machine that the tests run on.
static METADATA: LazyLock<Value> = LazyLock::new(|| {
    let mut command = Command::new(env!("CARGO"));
    let triple = format!("{}-unknown-linux-gnu", std::env::consts::ARCH);
    command.args(["metadata", "--format-version", "1", "--filter-platform", &triple, "--manifest-path"]);
    let output = command.arg(root().join("Cargo.toml")).output().unwrap();
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    serde_json::from_slice(&output.stdout).unwrap()
});

fn root() -> &'static Path {
    Path::new(env!("CARGO_MANIFEST_DIR"))
}

fn toml(file: &str) -> toml::Table {
    std::fs::read_to_string(root().join(file)).unwrap().parse().unwrap()
}

fn packages() -> &'static Vec<Value> {
    METADATA["packages"].as_array().unwrap()
}

fn named(package: &Value) -> String {
    format!("{} {}", package["name"].as_str().unwrap(), package["version"].as_str().unwrap())
}

/// `deny.toml`: what is allowed of all, and what of single packages.
fn allowed() -> (BTreeSet<String>, BTreeMap<String, BTreeSet<String>>) {
    let deny = toml("deny.toml");
    let names = |value: &toml::Value| {
        value.as_array().unwrap().iter().map(|name| name.as_str().unwrap().to_owned()).collect()
    };
    let of_all = names(&deny["licenses"]["allow"]);
    let exceptions = deny["licenses"]["exceptions"].as_array().unwrap().iter();
    let of_one = exceptions.map(|one| (one["crate"].as_str().unwrap().to_owned(), names(&one["allow"])));
    (of_all, of_one.collect())
}

fn is_allowed(licence: &str, names: &[&BTreeSet<String>]) -> bool {
    let allows = |required: &LicenseReq| names.iter().any(|set| set.contains(&required.to_string()));
    Expression::parse_mode(licence, spdx::ParseMode::LAX).unwrap().evaluate(allows)
}

#[test]
fn licences_are_allowed_by_deny_toml() {
    let (of_all, of_one) = allowed();
    let none = BTreeSet::new();
    for package in packages() {
        let licence = package["license"].as_str().unwrap_or_else(|| panic!("{}: no licence", named(package)));
        let of_this = of_one.get(package["name"].as_str().unwrap()).unwrap_or(&none);
        assert!(is_allowed(licence, &[&of_all, of_this]), "{}: {licence}", named(package));
    }
    assert!(packages().len() > 100, "{} packages", packages().len());
}

#[test]
fn a_licence_that_is_not_allowed_is_seen() {
    let (of_all, _) = allowed();
    assert!(is_allowed("MIT OR GPL-3.0-only", &[&of_all]) && is_allowed("MIT/Apache-2.0", &[&of_all]));
    assert!(!is_allowed("GPL-3.0-only", &[&of_all]) && !is_allowed("MIT AND GPL-3.0-only", &[&of_all]));
}

fn release(text: &str) -> Vec<u32> {
    text.split('.').map(|number| number.parse().unwrap()).collect()
}

/// The oldest compiler that this crate compiles with, as it says.
fn ours() -> &'static str {
    let ours = packages().iter().find(|package| package["name"] == "ministore-uring").unwrap();
    ours["rust_version"].as_str().unwrap()
}

#[test]
fn no_dependency_asks_for_a_newer_compiler_than_we_do() {
    let ours = release(ours());
    assert_eq!(ours, [1, 89]);
    let newer: Vec<_> = packages()
        .iter()
        .filter(|package| {
            package["rust_version"].as_str().is_some_and(|theirs| release(theirs)[..2] > ours[..2])
        })
        .map(|package| format!("{}: {}", named(package), package["rust_version"]))
        .collect();
    assert!(newer.is_empty(), "{newer:?}");
}

#[test]
fn excluded_packages_have_the_same_rust_version() {
    for package in ["fuzz", "benches/peers", "family"] {
        let manifest = format!("{package}/Cargo.toml");
        if !root().join(&manifest).exists() {
            continue; // A published package has none of them.
        }
        let theirs = toml(&manifest);
        let stated = theirs.get("package").or_else(|| theirs["workspace"].get("package")).unwrap();
        assert_eq!(stated["rust-version"].as_str(), Some(ours()), "{manifest}");
    }
}
