//! Turns the engine's primitives into those of the model checker, in this package only.

#![allow(clippy::print_stdout, reason = "that is how a build script talks")]

fn main() {
    println!("cargo::rustc-cfg=shuttle");
    println!("cargo::rerun-if-changed=build.rs");
}
