//! Extracts the tests, byte for byte, and the documentation examples from the published source of `ministore` 0.1.7.

use std::{env, error::Error, fs, path::PathBuf};

/// The start of the tests, which are the last item of the file.
const TESTS: &str = "\n#[cfg(test)]\nmod tests {\n";

fn main() -> Result<(), Box<dyn Error>> {
    println!("cargo::rerun-if-env-changed=FAMILY_MINISTORE");
    let published = env::var("FAMILY_MINISTORE")
        .map_err(|_| "FAMILY_MINISTORE must name the unpacked source of ministore 0.1.7: run family/run")?;
    let path = PathBuf::from(published).join("src/lib.rs");
    println!("cargo::rerun-if-changed={}", path.display());
    let source = String::from_utf8_lossy(&fs::read(&path)?).into_owned();
    let (program, tests) = source.split_once(TESTS).ok_or("the source has no tests at its end")?;
    let out = PathBuf::from(env::var("OUT_DIR")?);
    fs::write(out.join("tests.rs"), format!("{TESTS}{tests}"))?;
    fs::write(out.join("examples.md"), doc_examples(program))?;
    Ok(())
}

/// Returns the fenced blocks of the documentation comments, as `rustdoc` reads them.
fn doc_examples(program: &str) -> String {
    let mut found = String::new();
    let mut inside = false;
    for line in program.lines() {
        let line = line.trim_start();
        let Some(text) = line.strip_prefix("//!").or_else(|| line.strip_prefix("///")) else {
            continue;
        };
        let text = text.strip_prefix(' ').unwrap_or(text);
        let is_fence = text.starts_with("```");
        if inside || is_fence {
            found.push_str(text);
            found.push('\n');
        }
        inside ^= is_fence;
    }
    found
}
