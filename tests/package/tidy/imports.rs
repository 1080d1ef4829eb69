//! The layers of the library: imports point down, and no file imports another in a circle.

use std::collections::{BTreeMap, BTreeSet};

use syn::{Attribute, Item, UseTree, Visibility};

use super::{SourceFile, assert_none, files_with_extension};

/// The modules of `src`, from the highest layer to the lowest. A module imports from its own layer and those below it.
///
/// `maintenance` is on top: it repairs and copies a journal through the same calls as every other program.
const LAYERS: [&[&str]; 10] = [
    &["maintenance"],
    &["api"],
    &["commit"],
    &["background"],
    &["read", "recovery"],
    &["journal"],
    &["stats"],
    &["io"],
    &["format"],
    &["caller_code", "error", "options", "serialize", "spin", "sync"],
];

/// Test machinery: it may import everything, and no layer imports it.
const TEST_MACHINERY: [&str; 3] = ["internals", "models", "testkit"];

type Module = Vec<String>;

/// What one file defines, exports and imports.
#[derive(Default)]
struct ModuleItems {
    /// Names that it exports from elsewhere, with the whole path of each.
    reexports: BTreeMap<String, Module>,
    imports: BTreeSet<Module>,
}

fn module_of(path: &str) -> Module {
    let path = path.trim_start_matches("src/").trim_end_matches(".rs");
    let path = path.strip_suffix("/mod").unwrap_or(path);
    if path == "lib" { Vec::new() } else { path.split('/').map(str::to_owned).collect() }
}

fn is_test_only(attributes: &[Attribute]) -> bool {
    attributes.iter().any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => attribute.path().is_ident("cfg") && list.tokens.to_string().contains("test"),
        _ => false,
    })
}

fn paths_of(tree: &UseTree, prefix: &[String], paths: &mut Vec<Module>) {
    let with = |name: String| [prefix, &[name]].concat();
    match tree {
        UseTree::Path(path) => paths_of(&path.tree, &with(path.ident.to_string()), paths),
        UseTree::Group(group) => group.items.iter().for_each(|tree| paths_of(tree, prefix, paths)),
        UseTree::Name(name) if name.ident == "self" => paths.push(prefix.to_vec()),
        UseTree::Name(name) => paths.push(with(name.ident.to_string())),
        UseTree::Rename(rename) => paths.push(with(rename.ident.to_string())),
        UseTree::Glob(_) => paths.push(prefix.to_vec()),
    }
}

/// A path of a `use` declaration, counted from the root of the crate; `None` for another crate.
fn absolute(module: &[String], path: &[String], modules: &BTreeSet<Module>) -> Option<Module> {
    let first = path.first()?;
    if first == "crate" {
        return Some(path[1..].to_vec());
    }
    if first == "super" || first == "self" {
        let ups = path.iter().take_while(|part| *part == "super").count();
        let names = path.iter().skip_while(|part| *part == "super" || *part == "self").cloned();
        return Some(module[..module.len() - ups].iter().cloned().chain(names).collect());
    }
    let child = [module, std::slice::from_ref(first)].concat();
    modules.contains(&child).then(|| [module, path].concat())
}

fn items_of(file: &SourceFile, modules: &BTreeSet<Module>) -> ModuleItems {
    let module = module_of(&file.path);
    let mut found = ModuleItems::default();
    for item in syn::parse_file(&file.text).unwrap().items {
        let Item::Use(item) = item else { continue };
        if is_test_only(&item.attrs) {
            continue;
        }
        let mut paths = Vec::new();
        paths_of(&item.tree, &[], &mut paths);
        for path in paths.iter().filter_map(|path| absolute(&module, path, modules)) {
            if !matches!(item.vis, Visibility::Inherited)
                && let Some(name) = path.last()
            {
                found.reexports.insert(name.clone(), path.clone());
            }
            found.imports.insert(path);
        }
    }
    let code = file.text.split("#[cfg(test)]\nmod ").next().unwrap();
    for line in code.lines().filter(|line| !line.trim_start().starts_with("//")) {
        for path in line.split("crate::").skip(1) {
            let names = path.split(|c: char| !c.is_alphanumeric() && c != '_' && c != ':').next().unwrap();
            let path: Module = names.split("::").filter(|name| !name.is_empty()).map(str::to_owned).collect();
            found.imports.insert(path);
        }
    }
    found
}

/// The imports of every file, as the files that define what is imported.
struct ImportGraph(BTreeMap<Module, BTreeSet<Module>>);

impl ImportGraph {
    fn of_the_library() -> Self {
        let is_test =
            |path: &str| path.contains("/tests") || path.contains("/fault") || path.ends_with("testing.rs");
        let files: Vec<SourceFile> = files_with_extension("rs")
            .into_iter()
            .filter(|file| file.path.starts_with("src/") && !is_test(&file.path))
            .collect();
        let modules: BTreeSet<Module> = files.iter().map(|file| module_of(&file.path)).collect();
        let items: BTreeMap<Module, ModuleItems> =
            files.iter().map(|file| (module_of(&file.path), items_of(file, &modules))).collect();
        let graph = items.iter().map(|(module, found)| {
            let imports = found.imports.iter().map(|path| definition(path, &items, 0));
            // A child may use what its parents define; lib.rs has nothing but exports.
            let imports = imports.filter(|import| !module.starts_with(import));
            (module.clone(), imports.collect())
        });
        Self(graph.filter(|(module, _): &(Module, _)| !module.is_empty()).collect())
    }
}

/// The file that defines the item at `path`: exports are followed.
fn definition(path: &[String], items: &BTreeMap<Module, ModuleItems>, depth: usize) -> Module {
    let known = (0..=path.len()).rev().find(|length| items.contains_key(&path[..*length])).unwrap_or(0);
    let module = &path[..known];
    match path.get(known).and_then(|name| items.get(module)?.reexports.get(name)) {
        Some(exported) if depth < 10 => definition(exported, items, depth + 1),
        _ => module.to_vec(),
    }
}

fn layer_of(module: &[String]) -> Option<usize> {
    let top = module.first()?;
    LAYERS.iter().position(|layer| layer.contains(&top.as_str()))
}

#[test]
fn every_module_has_a_layer() {
    let graph = ImportGraph::of_the_library();
    let has_place =
        |module: &Module| layer_of(module).is_some() || TEST_MACHINERY.contains(&module[0].as_str());
    let violations: Vec<String> =
        graph.0.keys().filter(|module| !has_place(module)).map(|module| module.join("::")).collect();
    assert_none(&violations, "modules that no layer has");
}

#[test]
fn imports_point_down() {
    let mut violations = Vec::new();
    for (module, imports) in &ImportGraph::of_the_library().0 {
        let Some(layer) = layer_of(module) else { continue };
        for import in imports {
            let is_upward = match layer_of(import) {
                Some(imported) => imported < layer,
                None => true,
            };
            if is_upward {
                violations.push(format!("{} imports {}", module.join("::"), import.join("::")));
            }
        }
    }
    assert_none(&violations, "imports from a higher layer");
}

#[test]
fn no_file_is_imported_in_a_circle() {
    let graph = ImportGraph::of_the_library().0;
    let reachable = |from: &Module| {
        let (mut seen, mut next) = (BTreeSet::new(), vec![from.clone()]);
        while let Some(module) = next.pop() {
            for import in graph.get(&module).into_iter().flatten() {
                if seen.insert(import.clone()) {
                    next.push(import.clone());
                }
            }
        }
        seen
    };
    let reachable: BTreeMap<&Module, BTreeSet<Module>> = graph
        .keys()
        .filter(|module| layer_of(module).is_some())
        .map(|module| (module, reachable(module)))
        .collect();
    let mut violations = Vec::new();
    for (module, imports) in &graph {
        for import in imports {
            if reachable.get(import).is_some_and(|back| back.contains(module)) {
                violations.push(format!("{} imports {}", module.join("::"), import.join("::")));
            }
        }
    }
    assert_none(&violations, "imports that are part of a circle");
}
