//! Sets the flag by which the cells take loom's atomics. Here and not by `RUSTFLAGS`: it must reach no other crate, and a plain
//! `loom` would have other crates change as well.

fn main() {
    println!("cargo:rustc-cfg=punctual_loom");
    println!("cargo:rerun-if-changed=build.rs");
}
