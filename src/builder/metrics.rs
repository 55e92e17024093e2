//! The age of the truth as metrics, in the text format of Prometheus. Nothing is kept for them: they are read from
//! what hooks and worker have left, whenever somebody asks.

use std::fmt::Write;
use std::io::{self, Read};

use super::cron::Schedule;
use super::job::Request;
use super::journal::{Journal, JournalError, Timestamp};
use super::peers::Peers;
use crate::host::{FileError, Host};

/// A longer request is none that a collector makes.
const LONGEST_REQUEST: u64 = 8 << 10;

/// The metrics could not be told.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The journal or the last request could not be read.
    #[error(transparent)]
    Journal(#[from] JournalError),
    /// A file could not be read.
    #[error(transparent)]
    File(#[from] FileError),
    /// The collector went away.
    #[error("answering a collector: {0}")]
    Connection(#[from] io::Error),
}

/// All metrics of this unit.
pub fn metrics(host: &Host) -> Result<String, MetricsError> {
    let (journal, peers, request) = (Journal::load(host)?, Peers::load(host)?, Request::load(host)?);
    let config = request.as_ref().map(|request| &request.config);
    let mut text = Text::default();
    text.gauge("leader", "Whether this unit leads, and so is the one that builds.", [u64::from(peers.leads)]);
    text.gauge(
        "failures_in_row",
        "The most failures in a row that a target has in a project.",
        [u64::from(config.map_or(0, |config| journal.failures_in_row(config, peers.task())))],
    );
    let seconds = |at: Timestamp| at.0;
    text.gauge(
        "last_success_timestamp_seconds",
        "When a target last got a new image in a project.",
        journal.last_success().map(seconds),
    );
    text.gauge(
        "last_run_timestamp_seconds",
        "When the last job was taken up.",
        journal.job.as_ref().map(|job| job.started.0),
    );
    if let Some(schedule) = Schedule::load(host)? {
        let next = schedule.next_after(Timestamp::now());
        let retry = config.and_then(|config| journal.next_try(config, peers.task()));
        let next = retry.filter(|at| *at > Timestamp::now()).map_or(next, |at| at.min(next));
        text.gauge("next_run_timestamp_seconds", "When work is next looked for.", [next.0]);
        text.gauge("build_interval_seconds", "The option build-interval.", [schedule.interval * 3600]);
    }
    if let Some(config) = config {
        let age = u64::from(config.max_image_age_hours) * 3600;
        text.gauge("max_image_age_seconds", "The option max-image-age.", [age]);
    }
    text.head("image_built_timestamp_seconds", "When the newest image of a target in a cloud was built.");
    for image in &journal.images {
        let place = &image.result.config;
        // None of these words can hold a quote or a line's end.
        let labels =
            format!("{{target=\"{}-{}\",cloud=\"{}\"}}", place.base, place.arch, place.cloud_name.as_str());
        text.sample("image_built_timestamp_seconds", &labels, image.built.0);
    }
    Ok(text.0)
}

/// Reads one HTTP request and answers it with the metrics.
pub fn answer_collector(host: &Host, from: impl Read, mut to: impl io::Write) -> Result<(), MetricsError> {
    let (status, body) = match first_line(from)?.split(' ').collect::<Vec<_>>()[..] {
        ["GET", "/metrics", _] => match metrics(host) {
            Ok(text) => ("200 OK", text),
            Err(error) => ("500 Internal Server Error", format!("{error}\n")),
        },
        _ => ("404 Not Found", "only GET /metrics is answered\n".to_owned()),
    };
    write!(
        to,
        "HTTP/1.0 {status}\r\nContent-Type: text/plain; version=0.0.4\r\nContent-Length: {}\r\n\r\n{body}",
        body.len()
    )?;
    Ok(to.flush()?)
}

/// The first line of a request, whose head is read to its end.
fn first_line(from: impl Read) -> io::Result<String> {
    let mut head = Vec::new();
    for byte in io::BufReader::new(from.take(LONGEST_REQUEST)).bytes() {
        head.push(byte?);
        if head.ends_with(b"\r\n\r\n") {
            break;
        }
    }
    Ok(String::from_utf8_lossy(&head).lines().next().unwrap_or_default().to_owned())
}

/// Metrics being written; each begins with the charm's name.
#[derive(Default)]
struct Text(String);

impl Text {
    fn gauge(&mut self, name: &str, help: &str, values: impl IntoIterator<Item = u64>) {
        self.head(name, help);
        values.into_iter().for_each(|value| self.sample(name, "", value));
    }

    fn head(&mut self, name: &str, help: &str) {
        // Writing into a string never fails.
        let _ = writeln!(
            self.0,
            "# HELP runner_image_builder_{name} {help}\n# TYPE runner_image_builder_{name} gauge"
        );
    }

    fn sample(&mut self, name: &str, labels: &str, value: u64) {
        let _ = writeln!(self.0, "runner_image_builder_{name}{labels} {value}");
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn asked(request: &[u8]) -> String {
        let dir = tempfile::tempdir().unwrap();
        let mut answer = Vec::new();
        answer_collector(&Host::below(dir.path()), request, &mut answer).unwrap();
        String::from_utf8(answer).unwrap()
    }

    #[test]
    fn a_collector_gets_metrics_and_others_get_none() {
        let answer = asked(b"GET /metrics HTTP/1.1\r\nHost: localhost\r\n\r\n");
        assert!(answer.starts_with("HTTP/1.0 200 OK\r\n"), "{answer}");
        let (head, body) = answer.split_once("\r\n\r\n").unwrap();
        assert!(head.ends_with(&format!("Content-Length: {}", body.len())));
        assert!(body.contains("\nrunner_image_builder_failures_in_row 0\n"), "{body}");
        let long = [b'x'; 20_000];
        for request in [&b""[..], b"\r\n\r\n", b"POST /metrics HTTP/1.1\r\n\r\n", b"GET /\xff", &long] {
            assert!(asked(request).starts_with("HTTP/1.0 404 "));
        }
    }
}
