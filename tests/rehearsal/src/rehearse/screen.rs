//! What is printed: in colour on a terminal, plain in a pipe.

use std::io::{IsTerminal, Write};
use std::time::Instant;

/// Where the rehearsal is seen.
pub struct Screen {
    coloured: bool,
    started: Instant,
}

/// The colours in use, as a terminal knows them.
#[derive(Clone, Copy)]
enum Colour {
    Red = 31,
    Green = 32,
    Yellow = 33,
    Blue = 34,
    Grey = 90,
}

impl Screen {
    /// Standard output.
    pub fn of_process() -> Self {
        let set = |name: &str| std::env::var_os(name).is_some_and(|value| !value.is_empty());
        let dumb = std::env::var_os("TERM").is_none_or(|term| term == "dumb");
        let coloured = std::io::stdout().is_terminal() && !set("NO_COLOR") && !dumb;
        Self { coloured, started: Instant::now() }
    }

    /// A scenario begins.
    pub fn title(&self, number: usize, name: &str, title: &str) {
        let line = format!("{number}. {title} ({name})");
        self.line(&format!("\n{}", self.bold(&line)));
        self.line(&self.colour(Colour::Grey, &"-".repeat(line.chars().count())));
    }

    /// What the rehearsal says itself.
    pub fn say(&self, text: &str) {
        self.line(text);
    }

    /// A command that the operator types.
    pub fn command(&self, command: &str) {
        self.line(&format!("{} {}", self.colour(Colour::Blue, "$"), self.bold(command)));
    }

    /// What a command prints.
    pub fn output(&self, text: &str) {
        text.lines().for_each(|line| self.line(&format!("  {line}")));
    }

    /// A status, when it comes.
    pub fn status(&self, unit: &str, state: &str, message: &str) {
        let colour = match state {
            "active" => Colour::Green,
            "blocked" | "error" => Colour::Red,
            _ => Colour::Yellow,
        };
        let time = format!("{:5.1} s", self.started.elapsed().as_secs_f32());
        let state = self.colour(colour, &format!("{state:<11}"));
        self.line(&format!("  {} {unit}  {state} {message}", self.colour(Colour::Grey, &time)));
    }

    /// A line of a log, when it comes.
    pub fn log(&self, text: &str) {
        let time = format!("{:5.1} s", self.started.elapsed().as_secs_f32());
        self.line(&self.colour(Colour::Grey, &format!("  {time} {text}")));
    }

    /// A check that passed.
    pub fn passed(&self, check: &str, seen: &str) {
        let seen =
            if seen.is_empty() { String::new() } else { self.colour(Colour::Grey, &format!(": {seen}")) };
        self.line(&format!("  {} {check}{seen}", self.colour(Colour::Green, "ok")));
    }

    /// A check that failed.
    pub fn failed(&self, check: &str, problem: &str) {
        self.line(&format!("  {} {check}: {problem}", self.colour(Colour::Red, "NOT OK")));
    }

    /// The good end.
    pub fn good(&self, text: &str) {
        self.line(&format!("\n{}", self.colour(Colour::Green, text)));
    }

    /// The bad end.
    pub fn bad(&self, text: &str) {
        self.line(&format!("\n{}", self.colour(Colour::Red, text)));
    }

    /// Writes a line at once. A reader that has gone away is no reason to stop: what runs must be ended in order.
    fn line(&self, text: &str) {
        drop(writeln!(std::io::stdout().lock(), "{text}"));
    }

    fn bold(&self, text: &str) -> String {
        if self.coloured { format!("\x1b[1m{text}\x1b[0m") } else { text.to_owned() }
    }

    fn colour(&self, colour: Colour, text: &str) -> String {
        if self.coloured { format!("\x1b[{}m{text}\x1b[0m", colour as u8) } else { text.to_owned() }
    }
}
