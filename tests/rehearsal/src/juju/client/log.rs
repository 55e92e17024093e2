//! `juju debug-log`.

use std::io::IsTerminal;
use std::time::Duration;

use rehearsal::juju::api::Request;
use serde_json::Value;

use crate::arguments::DebugLog;
use crate::connection::Controller;
use crate::output::print;
use crate::{Failure, usage};

const LEVELS: [&str; 6] = ["TRACE", "DEBUG", "INFO", "WARNING", "ERROR", "CRITICAL"];
/// How often new lines are looked for.
const POLL: Duration = Duration::from_millis(500);

pub fn show(controller: &Controller, words: DebugLog) -> Result<(), Failure> {
    if words.tail && words.no_tail {
        return Err(usage("setting --tail and --no-tail not valid"));
    }
    let level = level(&words.level.to_ascii_uppercase());
    let level = level
        .ok_or_else(|| usage(format!("level value {:?} is not one of {}", words.level, LEVELS.join(", "))))?;
    let is_wanted = |line: &Value| {
        let unit = line["entity"].as_str().unwrap_or_default();
        let is_meant = |name: &String| {
            let tag = format!("unit-{}", name.trim_start_matches("unit-").replace('/', "-"));
            let rest = unit.strip_prefix(&tag);
            rest.is_some_and(|rest| rest.is_empty() || rest[1..].chars().all(|c| c.is_ascii_digit()))
        };
        let included = words.include.is_empty() || words.include.iter().any(is_meant);
        let at = line["level"].as_str().and_then(self::level).unwrap_or_default();
        included && !words.exclude.iter().any(is_meant) && at >= level
    };
    let follows = words.limit.is_none() && !words.no_tail && (words.tail || std::io::stdout().is_terminal());
    let mut from = 0;
    loop {
        let answer = controller.ask(&Request::DebugLog { from })?;
        let all = answer.as_array().cloned().unwrap_or_default();
        let lines: Vec<&Value> = all.iter().filter(|line| is_wanted(line)).collect();
        let shown = match (from, words.limit) {
            (0, Some(0)) => lines.len(),
            (0, Some(limit)) => limit,
            (0, None) if !words.replay => words.lines,
            _ => lines.len(),
        };
        for line in lines.iter().skip(lines.len().saturating_sub(shown)) {
            let word = |key: &str| line[key].as_str().unwrap_or_default();
            let [entity, at, level, module] = ["entity", "timestamp", "level", "module"].map(word);
            print(&format!("{entity}: {at} {level} {module} {}\n", word("message")))?;
        }
        from += all.len();
        if !follows {
            return Ok(());
        }
        std::thread::sleep(POLL);
    }
}

fn level(word: &str) -> Option<usize> {
    LEVELS.iter().position(|level| *level == word)
}
