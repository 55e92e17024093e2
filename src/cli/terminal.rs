//! Long work as a terminal shows it: below the lines that are told, one that moves, with the bytes of the transfer under way,
//! their rate and the time left. Where standard error is no terminal, there are only the lines.

use std::io::{IsTerminal, stderr};
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use indicatif::{ProgressBar, ProgressStyle};

use crate::model::{Transfer, shown, transfers};

/// How often the line moves.
const LOOK: Duration = Duration::from_millis(200);

/// The line while nothing is transferred, while it is known how much there is to transfer, and while it is not.
const WORK: &str = "{spinner} {msg}, {elapsed}";
const KNOWN: &str = "{spinner} {msg}: {prefix}, {bytes} of {total_bytes}, {bytes_per_sec}, {eta} left";
const UNKNOWN: &str = "{spinner} {msg}: {prefix}, {bytes}, {bytes_per_sec}";

/// Does `work`, which tells of its phases, and shows how far it is.
pub fn show_progress<T>(say: &dyn Fn(&str), work: impl FnOnce(&dyn Fn(&str)) -> T) -> T {
    if !stderr().is_terminal() {
        return work(say);
    }
    let (bar, ended) = (ProgressBar::new_spinner(), AtomicBool::new(false));
    bar.set_style(style(WORK));
    bar.set_message("starting");
    bar.tick();
    std::thread::scope(|scope| {
        // Also when the work panics.
        let _end = End(&ended);
        scope.spawn(|| follow(&bar, &ended));
        work(&|text| {
            bar.suspend(|| say(text));
            bar.set_message(shown(text));
        })
    })
}

struct End<'a>(&'a AtomicBool);

impl Drop for End<'_> {
    fn drop(&mut self) {
        self.0.store(true, Ordering::Release);
    }
}

/// Moves the line until the work has ended, and removes it.
fn follow(bar: &ProgressBar, ended: &AtomicBool) {
    let mut last: Option<Arc<Transfer>> = None;
    while !ended.load(Ordering::Acquire) {
        let now = transfers().into_iter().next();
        if now.as_ref().map(Arc::as_ptr) != last.as_ref().map(Arc::as_ptr) {
            begin(bar, now.as_deref());
            last.clone_from(&now);
        }
        match &now {
            Some(transfer) => bar.set_position(transfer.done()),
            None => bar.tick(),
        }
        std::thread::sleep(LOOK);
    }
    bar.finish_and_clear();
}

/// Changes the line to one of `transfer`.
fn begin(bar: &ProgressBar, transfer: Option<&Transfer>) {
    match transfer {
        Some(Transfer { what, total: Some(total), .. }) => {
            bar.set_length(*total);
            bar.set_prefix(*what);
            bar.set_style(style(KNOWN));
        }
        Some(Transfer { what, total: None, .. }) => {
            bar.unset_length();
            bar.set_prefix(*what);
            bar.set_style(style(UNKNOWN));
        }
        None => bar.set_style(style(WORK)),
    }
    bar.reset();
}

fn style(template: &str) -> ProgressStyle {
    // The templates are ours, which a test has read.
    ProgressStyle::with_template(template).unwrap_or_else(|_| ProgressStyle::default_spinner())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_template_is_understood() {
        for template in [WORK, KNOWN, UNKNOWN] {
            assert!(ProgressStyle::with_template(template).is_ok(), "{template}");
        }
    }
}
