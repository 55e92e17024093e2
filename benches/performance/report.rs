//! What was measured: told line by line as it comes, and kept as JSON.

use std::fs;
use std::path::Path;

use serde::Serialize;

use crate::pairs::Ratio;

/// One figure.
#[derive(Debug, Serialize)]
pub struct Figure {
    /// What it belongs to.
    group: String,
    /// What it is.
    name: String,
    /// The median.
    value: f64,
    /// Its unit.
    unit: &'static str,
    /// How it stands to something else that was measured in turn with it.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio: Option<Ratio>,
    /// What that is.
    #[serde(skip_serializing_if = "Option::is_none")]
    ratio_to: Option<String>,
    /// What it is to be at most: the ratio where there is one, else the value.
    #[serde(skip_serializing_if = "Option::is_none")]
    at_most: Option<f64>,
    /// Whether it is.
    #[serde(skip_serializing_if = "Option::is_none")]
    is_met: Option<bool>,
}

impl Figure {
    /// A figure of its own.
    pub fn new(name: impl Into<String>, value: f64, unit: &'static str) -> Self {
        let (group, name) = (String::new(), name.into());
        Self { group, name, value, unit, ratio: None, ratio_to: None, at_most: None, is_met: None }
    }

    /// It stands to `other` as `ratio` says.
    pub fn ratio(self, ratio: Ratio, other: impl Into<String>) -> Self {
        Self { ratio: Some(ratio), ratio_to: Some(other.into()), ..self }
    }

    /// What the project wants it to be.
    pub fn at_most(self, limit: f64) -> Self {
        let figure = self.ratio.map_or(self.value, |ratio| ratio.median);
        Self { at_most: Some(limit), is_met: Some(figure <= limit), ..self }
    }
}

/// All of it.
#[derive(Debug, Serialize)]
pub struct Report {
    /// Whether it was measured in a hurry.
    quick: bool,
    /// How many processors there are.
    processors: usize,
    /// How many processes wanted one, on the average of a minute, at the beginning and at the end.
    load: (f64, f64),
    figures: Vec<Figure>,
    /// What was not measured, and why.
    left_out: Vec<(String, String)>,
    /// What is slower than it was.
    regressions: Vec<String>,
    #[serde(skip)]
    group: String,
}

impl Report {
    /// Nothing yet.
    pub fn new(quick: bool) -> Self {
        let processors = std::thread::available_parallelism().map_or(1, Into::into);
        let (load, group) = ((load(), 0.0), String::new());
        let (figures, left_out, regressions) = (Vec::new(), Vec::new(), Vec::new());
        Self { quick, processors, load, figures, left_out, regressions, group }
    }

    /// What follows belongs to `group`.
    pub fn group(&mut self, group: &str) {
        println!("\n{group}");
        group.clone_into(&mut self.group);
    }

    /// A figure.
    pub fn add(&mut self, figure: Figure) {
        let Figure { name, value, unit, ratio, ratio_to, at_most, is_met, .. } = &figure;
        let ratio = ratio.zip(ratio_to.as_ref()).map(|(Ratio { median, low, high }, other)| {
            format!("{median:.2} ({low:.2} to {high:.2}) of {other}")
        });
        let limit = at_most
            .zip(*is_met)
            .map(|(limit, is_met)| format!("; at most {limit}: {}", if is_met { "met" } else { "not met" }));
        println!(
            "  {name:<46} {value:>10.2} {unit:<6} {}{}",
            ratio.unwrap_or_default(),
            limit.unwrap_or_default()
        );
        self.figures.push(Figure { group: self.group.clone(), ..figure });
    }

    /// Something is not measured.
    pub fn leave_out(&mut self, what: &str, why: impl Into<String>) {
        let why = why.into();
        println!("  {what}: not measured: {why}");
        self.left_out.push((what.to_owned(), why));
    }

    /// Something is slower than it was.
    pub fn regression(&mut self, what: String) {
        println!("  SLOWER: {what}");
        self.regressions.push(what);
    }

    /// Whether anything is slower than it was.
    pub fn has_regressions(&self) -> bool {
        !self.regressions.is_empty()
    }

    /// Writes it down.
    pub fn save(&mut self, path: &Path) {
        self.load.1 = load();
        let text = serde_json::to_string_pretty(self).expect("figures as JSON");
        fs::write(path, text + "\n").expect("the file of the figures");
        println!(
            "\n{} processors, load {:.1} before and {:.1} after; all figures: {}",
            self.processors,
            self.load.0,
            self.load.1,
            path.display()
        );
    }
}

/// The average number of processes that ran or wanted to, in the last minute.
fn load() -> f64 {
    let text = fs::read_to_string("/proc/loadavg").unwrap_or_default();
    text.split(' ').next().and_then(|load| load.parse().ok()).unwrap_or_default()
}
