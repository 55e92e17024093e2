//! Log records on their way to the unit's log, one `juju-log` call a level instead of one a line.

use std::sync::{Mutex, PoisonError};

use log::{Level, LevelFilter, Log, Metadata, Record};

use super::HookTools;
use crate::model::shown;

/// A line of the log is cut at this many bytes.
const LINE: usize = 2000;

/// Holds records until [`JujuLog::flush_to`] hands them to Juju, at the end of the hook.
#[derive(Debug, Default)]
pub struct JujuLog {
    records: Mutex<Vec<(Level, String)>>,
}

impl JujuLog {
    /// Makes this the process's logger; `None` when there is one already.
    pub fn install() -> Option<&'static Self> {
        let logger: &'static Self = Box::leak(Box::default());
        log::set_logger(logger).ok()?;
        log::set_max_level(LevelFilter::Info);
        Some(logger)
    }

    /// Hands over what has been logged, in order within each level, most severe last. What Juju refuses goes to
    /// standard error, which ends in the unit's log as well.
    pub fn flush_to(&self, tools: &dyn HookTools) {
        let records = std::mem::take(&mut *self.records.lock().unwrap_or_else(PoisonError::into_inner));
        for level in Level::iter().collect::<Vec<_>>().into_iter().rev() {
            let lines: Vec<&str> =
                records.iter().filter(|(at, _)| *at == level).map(|(_, line)| line.as_str()).collect();
            if !lines.is_empty() && tools.juju_log(level, &lines.join("\n")).is_err() {
                eprintln!("{}", lines.join("\n"));
            }
        }
    }
}

impl Log for JujuLog {
    fn enabled(&self, metadata: &Metadata<'_>) -> bool {
        metadata.target().starts_with(env!("CARGO_CRATE_NAME")) || metadata.level() <= Level::Warn
    }

    fn log(&self, record: &Record<'_>) {
        if self.enabled(record.metadata()) {
            let mut line = shown(&record.args().to_string());
            line.truncate(line.floor_char_boundary(LINE));
            self.records.lock().unwrap_or_else(PoisonError::into_inner).push((record.level(), line));
        }
    }

    fn flush(&self) {}
}
