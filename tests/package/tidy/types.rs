//! One name, one type: within a package no two files define types of the same name.

use std::collections::{BTreeMap, BTreeSet};

use syn::Item;

use super::{SourceFile, assert_none, files_with_extension};

/// Names that every file may define for itself, and why.
const ALLOWED: &[(&str, &str)] =
    &[("Args", "the arguments of a subcommand, as clap's own examples call them")];

/// The package that a file belongs to: the directory of its `Cargo.toml`, and the file itself for an example or a benchmark,
/// which are programs of their own.
fn package(path: &str) -> String {
    let parts: Vec<&str> = path.split('/').collect();
    let kinds = ["src", "tests", "examples", "benches", "fuzz_targets"];
    let at = match parts[..] {
        ["benches", "peers", ..] => 2,
        _ => parts.iter().position(|part| kinds.contains(part)).unwrap_or(0),
    };
    match parts.get(at) {
        Some(&("examples" | "benches")) => parts[..parts.len().min(at + 2)].join("/"),
        _ => parts[..at].join("/"),
    }
}

fn type_names(items: &[Item], names: &mut BTreeSet<String>) {
    for item in items {
        match item {
            Item::Struct(item) => drop(names.insert(item.ident.to_string())),
            Item::Enum(item) => drop(names.insert(item.ident.to_string())),
            Item::Union(item) => drop(names.insert(item.ident.to_string())),
            Item::Trait(item) => drop(names.insert(item.ident.to_string())),
            Item::Type(item) => drop(names.insert(item.ident.to_string())),
            Item::Mod(module) => {
                if let Some((_, items)) = &module.content {
                    type_names(items, names);
                }
            }
            _ => {}
        }
    }
}

fn types_of(file: &SourceFile) -> BTreeSet<String> {
    let mut names = BTreeSet::new();
    type_names(&syn::parse_file(&file.text).unwrap().items, &mut names);
    names
}

#[test]
fn type_names_are_unique_in_a_package() {
    let mut defined: BTreeMap<(String, String), Vec<String>> = BTreeMap::new();
    for file in files_with_extension("rs").iter().filter(|file| file.is_rust()) {
        for name in types_of(file) {
            defined.entry((package(&file.path), name)).or_default().push(file.path.clone());
        }
    }
    let is_allowed = |name: &str| ALLOWED.iter().any(|(allowed, _)| *allowed == name);
    let violations: Vec<String> = defined
        .into_iter()
        .filter(|((_, name), files)| files.len() > 1 && !is_allowed(name))
        .map(|((_, name), files)| format!("{name}: {}", files.join(", ")))
        .collect();
    assert_none(&violations, "names of more than one type");
}

#[test]
fn files_are_counted_to_their_package() {
    assert_eq!(package("src/io/mod.rs"), "");
    assert_eq!(package("tests/it/main.rs"), "");
    assert_eq!(package("stress/sim/src/main.rs"), "stress/sim");
    assert_eq!(package("examples/ingest.rs"), "examples/ingest.rs");
    assert_eq!(package("examples/walmq_metadata/change.rs"), "examples/walmq_metadata");
    assert_eq!(package("benches/peers/src/main.rs"), "benches/peers");
}
