//! Sets `cfg(fuzzing)`, as `cargo fuzz` does, so that `cargo check` compiles the bodies of the targets, too.

fn main() {
    println!("cargo::rustc-check-cfg=cfg(fuzzing)");
    println!("cargo::rustc-cfg=fuzzing");
}
