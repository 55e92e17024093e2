//! The result as a table: places down, faults across.

use std::collections::{BTreeMap, BTreeSet};

use crate::case::{Case, Fault};

/// Prints a mark for each case: `ok`, `FAIL`, or a dot where the place does not have that fault or it was not run.
pub fn print(results: &[(Case, bool)]) {
    let faults: BTreeSet<Fault> = results.iter().map(|(case, _)| case.fault).collect();
    let mut rows: BTreeMap<String, BTreeMap<Fault, bool>> = BTreeMap::new();
    for (case, passed) in results {
        rows.entry(case.site.to_string()).or_default().insert(case.fault, *passed);
    }
    let width = rows.keys().map(String::len).max().unwrap_or_default();
    let head: Vec<String> = faults.iter().map(|fault| format!("{:>8}", fault.word())).collect();
    println!("{:width$}{}", "", head.concat());
    for (site, row) in &rows {
        let marks = faults.iter().map(|fault| match row.get(fault) {
            None => ".",
            Some(true) => "ok",
            Some(false) => "FAIL",
        });
        let marks: Vec<String> = marks.map(|mark| format!("{mark:>8}")).collect();
        println!("{site:width$}{}", marks.concat());
    }
}
