//! How the binary is linked.

fn main() {
    println!("cargo:rerun-if-changed=build.rs");
    let set_to = |name: &str, value: &str| std::env::var(name).is_ok_and(|found| found == value);
    // Only here the linker is lld by default. Functions of the same machine code are kept once: fewer pages in memory.
    if set_to("PROFILE", "release") && set_to("TARGET", "x86_64-unknown-linux-gnu") {
        println!("cargo:rustc-link-arg-bins=-Wl,--icf=all,-O2");
    }
}
