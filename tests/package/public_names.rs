//! Every name that a user of the library sees, against `tests/package/public-names.txt`: public items, options and report
//! fields as they are serialized, error texts, events, metrics, thread names and side files. A rename is then a decision.
//!
//! `ACCEPT_NAMES=1 cargo test --test package public_names` writes the list.

use std::{
    collections::{BTreeMap, BTreeSet},
    env, fs,
    path::{Path, PathBuf},
};

use syn::{Attribute, Fields, ImplItem, Item, ItemUse, UseTree, Visibility};

use super::root;

const LIST: &str = "tests/package/public-names.txt";

/// Source files of the library, without those that only tests compile.
fn sources(dir: &Path, into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_str().unwrap();
        if path.is_dir() {
            if !matches!(name, "tests" | "internals" | "fault") {
                sources(&path, into);
            }
        } else if name.ends_with(".rs")
            && !matches!(name, "tests.rs" | "testing.rs" | "fault.rs" | "layer.rs" | "stepped.rs")
        {
            into.push(path);
        }
    }
}

fn is_public(visibility: &Visibility) -> bool {
    matches!(visibility, Visibility::Public(_))
}

fn has(attributes: &[Attribute], name: &str, word: &str) -> bool {
    let names = |attribute: &&Attribute| attribute.path().is_ident(name);
    attributes.iter().filter(names).any(|attribute| match &attribute.meta {
        syn::Meta::List(list) => list.tokens.to_string().contains(word),
        _ => false,
    })
}

fn reexported(tree: &UseTree, into: &mut BTreeSet<String>) {
    match tree {
        UseTree::Path(path) => reexported(&path.tree, into),
        UseTree::Group(group) => group.items.iter().for_each(|tree| reexported(tree, into)),
        UseTree::Name(name) => drop(into.insert(name.ident.to_string())),
        UseTree::Rename(rename) => drop(into.insert(rename.rename.to_string())),
        UseTree::Glob(_) => drop(into.insert("a glob hides what is public".to_owned())),
    }
}

/// Names that a module of `src` re-exports.
fn exports(file: &str) -> BTreeSet<String> {
    let text = fs::read_to_string(root().join("src").join(file)).unwrap();
    let mut names = BTreeSet::new();
    for item in syn::parse_file(&text).unwrap().items {
        if let Item::Use(ItemUse { vis, tree, .. }) = &item
            && is_public(vis)
        {
            reexported(tree, &mut names);
        }
    }
    names
}

/// A line per name, and what it belongs to.
#[derive(Default)]
struct Names(BTreeMap<&'static str, BTreeSet<String>>);

impl Names {
    fn add(&mut self, section: &'static str, name: impl Into<String>) {
        self.0.entry(section).or_default().insert(name.into());
    }

    fn fields(&mut self, section: &'static str, of: &str, fields: &Fields, all: bool) {
        for field in fields {
            if let Some(name) = &field.ident
                && (all || is_public(&field.vis))
                && !has(&field.attrs, "serde", "skip")
            {
                self.add(section, format!("{of}.{name}"));
            }
        }
    }

    fn item(&mut self, item: &Item, public: &BTreeSet<String>) {
        match item {
            Item::Struct(item) if public.contains(&item.ident.to_string()) => {
                let name = item.ident.to_string();
                self.add("items", format!("struct {name}"));
                self.fields("items", &name, &item.fields, false);
                if has(&item.attrs, "derive", "Serialize") {
                    self.fields("serialized fields", &name, &item.fields, true);
                }
            }
            Item::Enum(item) if public.contains(&item.ident.to_string()) => {
                self.add("items", format!("enum {}", item.ident));
                for variant in &item.variants {
                    let name = format!("{}::{}", item.ident, variant.ident);
                    self.add("items", name.clone());
                    self.fields("items", &name, &variant.fields, true);
                    for attribute in
                        variant.attrs.iter().filter(|attribute| attribute.path().is_ident("error"))
                    {
                        let syn::Meta::List(list) = &attribute.meta else { continue };
                        let text: String = list.tokens.to_string();
                        self.add(
                            "error texts",
                            format!("{name}: {}", text.split('"').nth(1).unwrap_or(&text)),
                        );
                    }
                }
            }
            Item::Impl(item) if item.trait_.is_none() => {
                let syn::Type::Path(of) = &*item.self_ty else { return };
                let of = of.path.segments.last().unwrap().ident.to_string();
                for function in &item.items {
                    if let ImplItem::Fn(function) = function
                        && is_public(&function.vis)
                        && public.contains(&of)
                        && !has(&function.attrs, "cfg", "unstable-internals")
                    {
                        self.add("items", format!("{of}::{}()", function.sig.ident));
                    }
                }
            }
            Item::Fn(item) if is_public(&item.vis) && public.contains(&item.sig.ident.to_string()) => {
                self.add("items", format!("fn {}()", item.sig.ident));
            }
            _ => {}
        }
    }

    /// Events, metrics and threads stand in the text of the source.
    fn text(&mut self, source: &str) {
        for (at, _) in source.match_indices("tracing::") {
            let call = &source[at + "tracing::".len()..];
            let Some((level, rest)) = call.split_once("!(") else { continue };
            if !["error", "warn", "info", "debug", "trace"].contains(&level) {
                continue;
            }
            let end = rest.find(");").unwrap_or(rest.len());
            let text: Vec<&str> = rest[..end].split('"').collect();
            let message = text[text.len().saturating_sub(2)].replace("\\\n", "");
            let message = message.split_whitespace().collect::<Vec<_>>().join(" ");
            let fields: Vec<&str> = text[0]
                .split(',')
                .map(|field| field.split('=').next().unwrap().trim().trim_start_matches(['%', '?']))
                .filter(|field| {
                    !field.is_empty() && field.chars().all(|c| c == '_' || c.is_ascii_lowercase())
                })
                .collect();
            self.add("events", format!("{level}: {message} [{}]", fields.join(", ")));
        }
        for word in source.split(|c: char| c != '_' && c != '-' && !c.is_ascii_alphanumeric()) {
            if word.starts_with("ministore_")
                && ["_total", "_seconds", "_bytes", "_records", "_seq", "_poisoned"]
                    .iter()
                    .any(|end| word.ends_with(end))
            {
                self.add("metrics", word);
            }
        }
        for (at, name) in source.match_indices(".name(\"ministore-") {
            let name = &source[at + name.len()..];
            self.add("threads", format!("ministore-{}", &name[..name.find('"').unwrap()]));
        }
    }
}

#[test]
fn public_names_match_the_list() {
    let mut files = Vec::new();
    sources(&root().join("src"), &mut files);
    let mut public = exports("lib.rs");
    for module in ["maintenance/mod.rs", "stats/mod.rs"] {
        public.extend(exports(module));
    }
    public.insert("Stats".to_owned());
    public.insert("Corruption".to_owned());
    for name in ["SimDisk", "DirectIo", "DirEntriesAfterCrash"] {
        public.insert(name.to_owned());
    }
    let mut names = Names::default();
    for file in files {
        let source = fs::read_to_string(&file).unwrap();
        let parsed = syn::parse_file(&source).unwrap();
        parsed.items.iter().for_each(|item| names.item(item, &public));
        names.text(source.split("#[cfg(test)]\nmod tests {").next().unwrap());
    }
    let mut text = String::new();
    for (section, names) in &names.0 {
        text += &format!("[{section}]\n");
        names.iter().for_each(|name| text += &format!("{name}\n"));
        text += "\n";
    }
    let list = root().join(LIST);
    if env::var_os("ACCEPT_NAMES").is_some() {
        fs::write(&list, &text).unwrap();
    }
    let listed = fs::read_to_string(&list).unwrap();
    let (listed, found): (BTreeSet<&str>, BTreeSet<&str>) =
        (listed.lines().collect(), text.lines().collect());
    let missing: Vec<_> = listed.difference(&found).collect();
    let new: Vec<_> = found.difference(&listed).collect();
    assert!(
        missing.is_empty() && new.is_empty(),
        "public names changed; if that is meant, run ACCEPT_NAMES=1 cargo test --test package public_names\n\
         gone: {missing:#?}\nnew: {new:#?}"
    );
}
