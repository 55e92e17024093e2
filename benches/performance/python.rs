//! Python's ops and openstacksdk from PyPI, in a virtual environment below target/.

use std::fs;
use std::io::{BufRead, BufReader, Write};
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, ChildStdout, Command, Stdio};

use serde_json::{Value, json};

use crate::deployment::Tenant;

/// Where our own Python lies.
const SOURCES: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/benches/performance");

/// An interpreter that has them.
pub struct Python(PathBuf);

impl Python {
    /// Installs them unless they are there, or says why they cannot be had.
    pub fn get(target: &Path) -> Result<Self, String> {
        let wanted = fs::read(Path::new(SOURCES).join("requirements.txt")).unwrap();
        let (venv, noted) = (target.join("venv"), target.join("venv.installed"));
        let python = Self(venv.join("bin/python"));
        if fs::read(&noted).is_ok_and(|installed| installed == wanted) {
            return Ok(python);
        }
        println!("installing ops and openstacksdk from PyPI");
        let _ = (fs::remove_file(&noted), fs::remove_dir_all(&venv));
        run(Command::new("python3").args(["-m", "venv"]).arg(&venv))?;
        let pip = ["-m", "pip", "install", "--quiet", "--disable-pip-version-check", "--retries", "1", "-r"];
        run(Command::new(&python.0).args(pip).arg(Path::new(SOURCES).join("requirements.txt")))?;
        fs::write(&noted, &wanted).unwrap();
        Ok(python)
    }

    /// The interpreter.
    pub fn path(&self) -> &Path {
        &self.0
    }

    /// What is to be run by it.
    pub fn source(name: &str) -> PathBuf {
        Path::new(SOURCES).join(name)
    }

    /// A process of openstacksdk that is connected to these projects.
    pub fn sdk(&self, tenants: &[Tenant]) -> Sdk {
        let mut process = Command::new(&self.0)
            .arg(Self::source("sdk.py"))
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .spawn()
            .unwrap();
        let (input, output) = (process.stdin.take().unwrap(), process.stdout.take().unwrap());
        let mut sdk = Sdk { process, input, output: BufReader::new(output) };
        let clouds: Vec<Value> = tenants.iter().map(Tenant::auth).collect();
        assert_eq!(sdk.ask(&json!(clouds)), "ready");
        sdk
    }
}

/// Runs a command to its end; what it says last is why it failed.
fn run(command: &mut Command) -> Result<(), String> {
    let output = command.output().map_err(|error| format!("{command:?}: {error}"))?;
    if output.status.success() {
        return Ok(());
    }
    let said = String::from_utf8_lossy(&output.stderr);
    Err(said.lines().last().unwrap_or("Python's packages could not be installed").to_owned())
}

/// The process.
pub struct Sdk {
    process: Child,
    input: ChildStdin,
    output: BufReader<ChildStdout>,
}

impl Sdk {
    /// How many seconds it takes to do what is asked.
    pub fn seconds(&mut self, asked: &Value) -> f64 {
        let answer = self.ask(asked);
        answer.parse().unwrap_or_else(|_| panic!("openstacksdk said {answer:?}"))
    }

    fn ask(&mut self, asked: &Value) -> String {
        writeln!(self.input, "{asked}").unwrap();
        let mut answer = String::new();
        self.output.read_line(&mut answer).unwrap();
        answer.trim().to_owned()
    }
}

impl Drop for Sdk {
    fn drop(&mut self) {
        let _ = (self.process.kill(), self.process.wait());
    }
}
