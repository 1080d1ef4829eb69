//! Links between the documents: every relative link of a Markdown page leads to a file, and its fragment to a heading of
//! that file. No network.

use std::{
    collections::{BTreeMap, BTreeSet},
    fs,
    path::{Component, Path, PathBuf},
};

use super::root;

/// Folders with nothing that is written here.
const IGNORED: [&str; 4] = ["target", ".git", "published", "corpus"];
/// What the published package leaves out, see `exclude` in Cargo.toml.
const NOT_PUBLISHED: [&str; 8] =
    [".ci", "benches/peers", "crates", "docs/performance", "family", "fuzz", "packaging", "stress"];
/// Pages of the crate documentation, in the module `docs`: they may link to each other only.
const IN_RUSTDOC: [&str; 8] = [
    "docs/reference/events.md",
    "docs/reference/format.md",
    "docs/reference/glossary.md",
    "docs/reference/metrics.md",
    "docs/reference/options.md",
    "docs/reference/recovery.md",
    "docs/reference/side-files.md",
    "linux-only.md",
];

fn files(dir: &Path, extensions: &[&str], into: &mut Vec<PathBuf>) {
    for entry in fs::read_dir(dir).unwrap() {
        let path = entry.unwrap().path();
        let name = path.file_name().unwrap().to_string_lossy().into_owned();
        if path.is_dir() {
            if !IGNORED.contains(&name.as_str()) {
                files(&path, extensions, into);
            }
        } else if extensions.iter().any(|extension| name.ends_with(extension)) {
            into.push(path);
        }
    }
}

fn pages() -> Vec<PathBuf> {
    let mut pages = Vec::new();
    files(root(), &[".md"], &mut pages);
    pages
}

/// The text without code blocks and code spans.
fn prose(text: &str) -> String {
    let (mut prose, mut in_block) = (String::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        } else if !in_block {
            for (n, part) in line.split('`').enumerate() {
                prose.push_str(if n % 2 == 0 { part } else { "code" });
            }
            prose.push('\n');
        }
    }
    prose
}

/// The fragments that the headings of a page make, as GitHub and rustdoc do.
fn fragments(text: &str) -> BTreeSet<String> {
    let (mut seen, mut found, mut in_block) = (BTreeMap::<String, usize>::new(), BTreeSet::new(), false);
    for line in text.lines() {
        if line.trim_start().starts_with("```") {
            in_block = !in_block;
        }
        let Some((marks, title)) = line.split_once(' ') else { continue };
        if in_block || marks.is_empty() || marks.len() > 6 || marks.bytes().any(|byte| byte != b'#') {
            continue;
        }
        let kept = title.chars().filter(|c| c.is_alphanumeric() || matches!(c, ' ' | '-' | '_'));
        let slug = kept.collect::<String>().trim().to_lowercase().replace(' ', "-");
        let count = seen.entry(slug.clone()).or_default();
        found.insert(if *count == 0 { slug } else { format!("{slug}-{count}") });
        *count += 1;
    }
    found
}

/// Targets of inline links, of reference definitions and of images; labels that have no definition.
fn links(text: &str) -> (Vec<String>, Vec<String>) {
    let prose = prose(text);
    let (mut targets, mut labels, mut defined) = (Vec::new(), Vec::new(), BTreeSet::new());
    for line in prose.lines() {
        if let Some((label, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
            defined.insert(label.to_owned());
            targets.push(target.trim().to_owned());
        }
    }
    for (at, _) in prose.match_indices("](") {
        targets.push(prose[at + 2..].split([')', ' ']).next().unwrap().to_owned());
    }
    for (at, _) in prose.match_indices("][") {
        labels.push(prose[at + 2..].split(']').next().unwrap().to_owned());
    }
    for attribute in ["src=\"", "srcset=\"", "href=\""] {
        for (at, _) in prose.match_indices(attribute) {
            targets.push(prose[at + attribute.len()..].split('"').next().unwrap().to_owned());
        }
    }
    labels.retain(|label| !defined.contains(label));
    (targets, labels)
}

fn is_external(target: &str) -> bool {
    target.contains("://") || target.starts_with("mailto:")
}

fn resolved(page: &Path, target: &str) -> PathBuf {
    let mut path = page.parent().unwrap().to_path_buf();
    for part in Path::new(target).components() {
        match part {
            Component::ParentDir => drop(path.pop()),
            part => path.push(part),
        }
    }
    path
}

fn inside(path: &Path) -> String {
    path.strip_prefix(root()).unwrap_or(path).to_str().unwrap().to_owned()
}

/// What is wrong with the links of a page.
fn broken(page: &Path, text: &str) -> Vec<String> {
    let is_published = !root().join("crates").exists();
    let (targets, undefined) = links(text);
    let mut broken: Vec<_> = undefined.iter().map(|label| format!("[{label}] is not defined")).collect();
    for target in targets.iter().filter(|target| !is_external(target)) {
        let (file, fragment) = target.split_once('#').unwrap_or((target, ""));
        let path = if file.is_empty() { page.to_path_buf() } else { resolved(page, file) };
        let name = inside(&path);
        if is_published && NOT_PUBLISHED.iter().any(|folder| name.starts_with(folder)) {
            continue;
        }
        if IN_RUSTDOC.contains(&inside(page).as_str()) && !IN_RUSTDOC.contains(&name.as_str()) {
            broken.push(format!("{target}: not a page of the crate documentation"));
        } else if !path.exists() {
            broken.push(format!("{target}: no such file"));
        } else if !fragment.is_empty() && !fragments(&fs::read_to_string(&path).unwrap()).contains(fragment) {
            broken.push(format!("{target}: no such heading"));
        }
    }
    broken
}

#[test]
fn relative_links_of_all_pages_resolve() {
    let pages = pages();
    assert!(pages.len() > 20, "{} pages", pages.len());
    let mut all = Vec::new();
    for page in pages {
        let text = fs::read_to_string(&page).unwrap();
        all.extend(broken(&page, &text).into_iter().map(|what| format!("{}: {what}", inside(&page))));
    }
    assert!(all.is_empty(), "{all:#?}");
}

#[test]
fn broken_links_are_found() {
    let page = root().join("README.md");
    let of = |text: &str| broken(&page, text).len();
    assert_eq!(of("[a](docs/no-such.md)"), 1);
    assert_eq!(of("[a](docs/faq.md#no-such-heading)"), 1);
    assert_eq!(of("[a][b]"), 1);
    assert_eq!(of("[a][b]\n\n[b]: docs/no-such.md"), 1);
    assert_eq!(of("<img src=\"docs/no-such.svg\">"), 1);
    assert_eq!(of("`[a](no-such.md)` [a](docs/faq.md) [b](https://example.com/no-such.md)"), 0);
    assert_eq!(broken(&root().join(IN_RUSTDOC[0]), "[a](../faq.md)").len(), 1);
}

/// Each page of the crate documentation is included there, with a module for each of its reference links.
#[test]
fn pages_of_the_crate_docs_are_included() {
    let source = fs::read_to_string(root().join("src/lib.rs")).unwrap();
    for page in IN_RUSTDOC {
        let include = format!("include_str!(\"../{page}\")");
        let before = source.split(&include).next().unwrap();
        assert_ne!(before.len(), source.len(), "{page} is not included");
        let attributes = &before[before.rfind("pub mod").unwrap_or(0)..];
        for line in fs::read_to_string(root().join(page)).unwrap().lines() {
            if let Some((label, target)) = line.strip_prefix('[').and_then(|rest| rest.split_once("]: ")) {
                let target = target.split('#').next().unwrap().trim_end_matches(".md").replace('-', "_");
                let module = format!("[{label}]: crate::docs::{target}");
                assert!(attributes.contains(&module), "{page}: {module}");
            }
        }
    }
}

/// Paths of documents in sources, scripts and manifests exist.
#[test]
fn paths_of_documents_in_sources_exist() {
    let mut sources = Vec::new();
    for folder in ["src", "crates", "tests", "stress", "examples", "family", "fuzz", "packaging", ".ci"] {
        if root().join(folder).exists() {
            files(&root().join(folder), &[".rs", ".toml", "check", "semver", "deb", "run"], &mut sources);
        }
    }
    let mut missing = Vec::new();
    for source in sources.iter().filter(|source| !source.ends_with("tests/package/links.rs")) {
        let Ok(text) = fs::read_to_string(source) else { continue };
        for (at, _) in text.match_indices("docs/") {
            if text[..at].ends_with(|c: char| c.is_ascii_alphanumeric() || c == '-') {
                continue; // Part of an address.
            }
            let end = text[at..].find(|c: char| !(c.is_ascii_alphanumeric() || "-_./".contains(c)));
            let path = text[at..at + end.unwrap_or(text.len() - at)].trim_end_matches('.');
            if path.ends_with(".md") && !root().join(path).exists() {
                missing.push(format!("{}: {path}", inside(source)));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Files of the repository that documents name in code spans exist.
#[test]
fn paths_of_sources_in_documents_exist() {
    let folders =
        ["src/", "tests/", "stress/", "crates/", "benches/", "examples/", "family/", "packaging/", "fuzz/"];
    let is_published = !root().join("crates").exists();
    // These pages name files of other projects, and of the reader's own program.
    let others = ["benches/peers/", "docs/tutorial/"];
    let mut missing = Vec::new();
    for page in pages().into_iter().filter(|page| !others.iter().any(|other| inside(page).starts_with(other)))
    {
        // A page next to a manifest counts from there, too.
        let bases = [root(), page.parent().unwrap()];
        for span in fs::read_to_string(&page).unwrap().split('`').skip(1).step_by(2) {
            let path = span.split([' ', ':', '#']).next().unwrap();
            let is_path =
                folders.iter().any(|folder| path.starts_with(folder)) && !path.contains(['*', '{', '<', '…']);
            let is_left_out = is_published && NOT_PUBLISHED.iter().any(|folder| path.starts_with(folder));
            if is_path && !is_left_out && !bases.iter().any(|base| base.join(path).exists()) {
                missing.push(format!("{}: {path}", inside(&page)));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}

/// Tests that documents name in code spans exist.
#[test]
fn tests_named_in_documents_exist() {
    let mut sources = Vec::new();
    files(root(), &[".rs"], &mut sources);
    let text: String = sources.iter().map(|path| fs::read_to_string(path).unwrap()).collect();
    let is_published = !root().join("crates").exists();
    let mut missing = Vec::new();
    for page in pages().into_iter().filter(|page| inside(page).starts_with("docs/reports") && !is_published) {
        for span in fs::read_to_string(&page).unwrap().split('`').skip(1).step_by(2) {
            let name = span.rsplit("::").next().unwrap().trim_end_matches('*');
            let is_name =
                name.bytes().all(|byte| byte.is_ascii_lowercase() || byte.is_ascii_digit() || byte == b'_');
            // Three words at least: shorter spans are fields and options.
            if is_name && name.matches('_').count() >= 3 && !text.contains(&format!("fn {name}")) {
                missing.push(format!("{}: {span}", inside(&page)));
            }
        }
    }
    assert!(missing.is_empty(), "{missing:#?}");
}
