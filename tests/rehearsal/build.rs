//! Builds the hook tools' executable beside the library, so that whoever depends on this crate has it: cargo
//! builds no binaries of a dependency. The source has no dependencies and takes a second.

use std::env;
use std::error::Error;
use std::path::{Path, PathBuf};
use std::process::Command;

const SOURCES: [&str; 3] = ["src/bin/hook-tool/main.rs", "src/bin/hook-tool/usage.rs", "src/agent/wire.rs"];

fn main() -> Result<(), Box<dyn Error>> {
    let manifest_dir = PathBuf::from(env::var("CARGO_MANIFEST_DIR")?);
    let executable = Path::new(&env::var("OUT_DIR")?).join("hook-tool");

    let mut compile = Command::new(env::var("RUSTC")?);
    compile
        .args(["--edition=2024", "--crate-name=hook_tool", "--crate-type=bin"])
        .args(["-Copt-level=s", "-Cpanic=abort", "-Cstrip=symbols", "--target", &env::var("TARGET")?])
        .arg(manifest_dir.join(SOURCES[0]))
        .arg("-o")
        .arg(&executable);
    if let Ok(linker) = env::var("RUSTC_LINKER") {
        compile.arg(format!("-Clinker={linker}"));
    }
    if let Ok(flags) = env::var("CARGO_ENCODED_RUSTFLAGS") {
        compile.args(flags.split('\x1f').filter(|flag| !flag.is_empty()));
    }
    if !compile.status()?.success() {
        return Err("compiling hook-tool failed, see above".into());
    }

    println!("cargo::rustc-env=REHEARSAL_HOOK_TOOL={}", executable.display());
    println!("cargo::rerun-if-changed=build.rs");
    for source in SOURCES {
        println!("cargo::rerun-if-changed={source}");
    }
    Ok(())
}
