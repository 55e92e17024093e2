//! The way to the controller: a socket beside this program.

use std::env;
use std::io::{BufRead, BufReader, Write};
use std::os::unix::net::UnixStream;
use std::path::{Path, PathBuf};

use rehearsal::juju::api::{Answer, Asked, Operation, Request, SOCKET};
use serde_json::Value;

use crate::{Failure, failed};

/// The controller of the rehearsal that this program was found in.
pub struct Controller {
    socket: PathBuf,
    /// The model that the operator names.
    model: Option<String>,
}

impl Controller {
    /// Finds it beside the name by which this program was called.
    pub fn find(model: Option<String>) -> Result<Self, Failure> {
        let called = PathBuf::from(env::args_os().next().unwrap_or_default());
        let beside =
            |program: &Path| program.parent().map(|folder| folder.join(SOCKET)).filter(|it| it.exists());
        let socket = if called.components().count() > 1 {
            beside(&called)
        } else {
            let path = env::var_os("PATH").unwrap_or_default();
            env::split_paths(&path).find_map(|folder| beside(&folder.join(&called)))
        };
        let socket = socket
            .ok_or_else(|| failed("no rehearsal is kept here: start one with make rehearse ARGS=--keep"))?;
        Ok(Self { socket, model })
    }

    /// Asks, and returns what is answered.
    pub fn ask(&self, request: &Request) -> Result<Value, Failure> {
        self.follow(request, |_| ())
    }

    /// The same, for an operation: `begun` hears of it and its tasks as soon as they are known.
    pub fn follow(&self, request: &Request, mut begun: impl FnMut(&Operation)) -> Result<Value, Failure> {
        let gone = |_| failed("the rehearsal has ended");
        let mut stream = UnixStream::connect(&self.socket).map_err(gone)?;
        let asked = Asked { model: self.model.clone(), request: request.clone() };
        let mut line = serde_json::to_vec(&asked).map_err(|error| failed(error.to_string()))?;
        line.push(b'\n');
        stream.write_all(&line).map_err(gone)?;
        for line in BufReader::new(stream).lines() {
            match serde_json::from_str(&line.map_err(gone)?).map_err(|error| failed(error.to_string()))? {
                Answer::Begun(operation) => begun(&operation),
                Answer::Done(value) => return Ok(value),
                Answer::Refused(text) => return Err(failed(text)),
            }
        }
        Err(failed("the rehearsal has ended"))
    }
}
