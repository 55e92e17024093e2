//! Writes what an installation of `dispatch` brings along: manual pages and shell completion, made from the tree of
//! commands. `cargo run --example manual -- FOLDER`; `make manual` does it.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap_complete::{Shell, generate_to};
use runner_image_builder::cli::Arguments;

fn main() -> io::Result<()> {
    let folder = std::env::args_os().nth(1).map(PathBuf::from);
    let folder = folder.ok_or_else(|| io::Error::other("use: manual FOLDER"))?;
    let pages = folder.join("man/man1");
    fs::create_dir_all(&pages)?;
    clap_mangen::generate_to(Arguments::tree(), &pages)?;
    for (shell, place) in [
        (Shell::Bash, "bash-completion/completions"),
        (Shell::Zsh, "zsh/site-functions"),
        (Shell::Fish, "fish/vendor_completions.d"),
    ] {
        let place = folder.join(place);
        fs::create_dir_all(&place)?;
        generate_to(shell, &mut Arguments::tree(), "dispatch", &place)?;
    }
    Ok(())
}
