//! Sets `cfg(shuttle)`, which replaces the engine's primitives with those of the model checker, in this package only.

#![allow(clippy::print_stdout, reason = "build scripts print their instructions")]

fn main() {
    println!("cargo::rustc-cfg=shuttle");
    println!("cargo::rerun-if-changed=build.rs");
}
