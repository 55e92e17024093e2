//! The files of the charm, found in what strace(1) saw of it.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;

use crate::site::Site;

/// The journal, below the unit's root.
pub const JOURNAL: &str = "var/lib/runner-image-builder/journal.json";

/// What it is called until it is complete.
pub const JOURNAL_BESIDE: &str = "var/lib/runner-image-builder/.journal.json.new";

/// The options of strace that show which files are written and read.
pub fn recording() -> Vec<String> {
    ["-y", "-e", "trace=rename,read"].map(str::to_owned).to_vec()
}

/// The files that took their place by a rename, and the times that one thread did that to the journal. Files with names
/// of their own in each run are left out: strace takes no patterns; a full disk meets them.
pub fn sites(traces: &[String], root: &Path) -> Vec<Site> {
    let root = format!("{}/", root.display());
    let below = |path: &str| path.strip_prefix(&root).map(str::to_owned);
    let mut renamed = BTreeMap::new();
    let mut read = BTreeSet::new();
    let mut journal = BTreeMap::<&str, u32>::new();
    for line in traces.iter().flat_map(|trace| trace.lines()) {
        let Some((thread, call)) = line.split_once(' ') else { continue };
        let call = call.trim_start();
        if let Some((from, to)) = call.strip_prefix("rename(\"").and_then(|rest| rest.split_once("\", \""))
            // Behind it comes the result, or that another thread was quicker.
            && let Some((to, _)) = to.split_once('"')
            && let (Some(from), Some(to)) = (below(from), below(to))
        {
            if to == JOURNAL {
                *journal.entry(thread).or_default() += 1;
            }
            renamed.insert(to, from);
        } else if let Some(path) = call.strip_prefix("read(").and_then(|rest| rest.split(['<', '>']).nth(1)) {
            read.extend(below(path));
        }
    }
    let is_lasting = |path: &str| {
        let name = path.rsplit('/').next().unwrap_or_default();
        path.starts_with("etc/")
            || path.starts_with("var/") && !name.contains(".log") && !path.contains("/manifests/")
    };
    let files = renamed.into_iter().filter(|(path, _)| is_lasting(path)).map(|(path, beside)| {
        let is_read = read.contains(&path);
        Site::File { path, beside, is_read }
    });
    let most = journal.values().copied().max().unwrap_or_default();
    files.chain((1..=most).map(|nth| Site::Journal { nth })).collect()
}
