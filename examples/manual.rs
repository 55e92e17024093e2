//! Writes what an installation of `dispatch` brings along, manual pages and shell completion, made from the tree of
//! commands; and the pages of the documentation that are made from the commands and the metrics. `make manual` calls it.

use std::fs;
use std::io;
use std::path::PathBuf;

use clap_complete::{Shell, generate_to};
use runner_image_builder::cli::metrics::family;
use runner_image_builder::cli::{Arguments, reference};

fn main() -> io::Result<()> {
    let mut words = std::env::args_os().skip(1).map(PathBuf::from);
    let (Some(folder), Some(metrics)) = (words.next(), words.next()) else {
        return Err(io::Error::other("use: manual FOLDER METRICS.md"));
    };
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
    fs::write(metrics.with_file_name("commands.md"), reference::page())?;
    fs::write(metrics, family::page())
}
