//! The age of the truth as metrics, in the text format of Prometheus. Nothing is kept for them: they are read from
//! what hooks and worker have left, whenever somebody asks.

mod boot;
pub mod family;
mod runner;
mod security;

use std::collections::BTreeMap;
use std::io::{self, Read};

use self::family::{
    BUILD_INFO, BUILD_INTERVAL, BUILDS_REVOKED, DELIVERED_BYTES, FAILURES_IN_ROW, IMAGE_BUILT, IMAGE_INFO,
    IMAGE_PINNED, IMAGE_SIZE, IMAGE_WANTED, JOB_RUNNING, JOBS, LAST_RUN, LAST_SUCCESS, LEADER, MAX_IMAGE_AGE,
    NEXT_RUN, ORPHANS, PAUSED, PHASE_DURATION, RESULTS, RETRIES, TARGET_FAILURE, TARGET_FAILURES,
    TARGET_RETRY, TARGET_SUCCESS, Text, UNNEEDED,
};
use crate::builder::Schedule;
use crate::host::{FileError, Host};
use crate::model::{Target, Timestamp};
use crate::record::{
    BuildConfig, BuilderRunConfig, CloudName, Count, Found, History, Journal, Levers, Peers, RecordError,
    Remedy, Request, Revision, Settings, Standing, TaskKind, Totals, Unneeded,
};

/// A longer request is none that a collector makes.
const LONGEST_REQUEST: u64 = 8 << 10;

/// The metrics could not be told.
#[derive(Debug, thiserror::Error)]
pub enum MetricsError {
    /// The journal or the last request could not be read.
    #[error(transparent)]
    Journal(#[from] RecordError),
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
    text.samples(&BUILD_INFO, [([env!("CARGO_PKG_VERSION").to_owned()], 1)]);
    text.value(&LEADER, [u64::from(peers.leads)]);
    text.value(&PAUSED, Settings::load(host)?.map(|settings| u64::from(settings.paused)));
    text.value(&JOB_RUNNING, [u64::from(journal.running().is_some())]);
    let in_row = config.map_or(0, |config| journal.failures_in_row(config, peers.task()));
    text.value(&FAILURES_IN_ROW, [u64::from(in_row)]);
    text.value(&LAST_SUCCESS, journal.last_success().map(|at| at.0));
    text.value(&LAST_RUN, journal.job.as_ref().map(|job| job.started.0));
    let schedule = Schedule::load(host)?;
    text.value(&NEXT_RUN, schedule.map(|schedule| next_run(schedule, &journal, config, &peers).0));
    text.value(&BUILD_INTERVAL, schedule.map(|schedule| schedule.interval * 3600));
    let by_age = config.filter(|config| config.rebuild_on.age());
    text.value(&MAX_IMAGE_AGE, by_age.map(|config| config.max_image_age().as_secs()));
    images(&mut text, &journal, config);
    standings(&mut text, &journal, config, peers.task());
    text.samples(
        &ORPHANS,
        journal.orphans.iter().filter(|orphans| orphans.since.is_some()).map(|orphans| {
            let state = if orphans.given_up.is_some() { "abandoned" } else { "retrying" };
            let many = u64::try_from(orphans.what.len()).unwrap_or(u64::MAX).max(1);
            ([orphans.cloud.as_str().to_owned(), state.to_owned()], many)
        }),
    );
    let found = Found::last(host)?.map(|found| found.unneeded).unwrap_or_default();
    // Ids that were not found are in the answer, too.
    let is_there =
        |unneeded: &&Unneeded| unneeded.outcome.as_deref() != Some("deleted") && unneeded.kind != "unknown";
    let stays = found.iter().filter(is_there);
    text.samples(&UNNEEDED, counted(stays.map(|unneeded| unneeded.kind.clone())));
    contents(&mut text, &journal, &Levers::load(host)?);
    let history = History::load(host)?;
    boot::times(&mut text, &journal, &history.boots);
    totals(&mut text, history.totals);
    runner::refusals(&mut text, host, config)?;
    security::fixes(&mut text, host, config)?;
    Ok(text.0)
}

/// What is in the newest builds, and what operators have decided about builds.
fn contents(text: &mut Text, journal: &Journal, levers: &Levers) {
    let inside = newest(journal).into_iter().filter_map(|(target, build)| {
        let contents = build.contents.as_ref()?;
        let date = contents.base_image.to_string().chars().take_while(|c| *c != 'T').collect();
        Some(([target, contents.runner.clone(), date], 1))
    });
    text.samples(&IMAGE_INFO, inside);
    text.samples(&IMAGE_PINNED, levers.pins.iter().map(|pin| ([pin.build.target.to_string()], 1)));
    text.samples(&BUILDS_REVOKED, counted(levers.revoked.iter().map(|revoked| revoked.target.to_string())));
}

/// What all jobs have come to.
fn totals(text: &mut Text, Totals { phases, jobs, results, bytes, retries }: Totals) {
    text.histogram(&PHASE_DURATION, &phases);
    text.samples(&JOBS, jobs.into_iter().map(|Count { kind, count }| ([kind.trigger, kind.outcome], count)));
    let results = results.into_iter();
    let results = results.map(|Count { kind, count }| ([kind.target, kind.project, kind.reason], count));
    text.samples(&RESULTS, results);
    text.samples(&DELIVERED_BYTES, bytes.into_iter().map(|Count { kind, count }| ([kind], count)));
    text.value(&RETRIES, [retries]);
}

/// How often each word comes.
fn counted(words: impl Iterator<Item = String>) -> impl Iterator<Item = ([String; 1], u64)> {
    let mut counts: BTreeMap<String, u64> = BTreeMap::new();
    words.for_each(|word| *counts.entry(word).or_default() += 1);
    counts.into_iter().map(|(word, count)| ([word], count))
}

fn next_run(
    schedule: Schedule,
    journal: &Journal,
    config: Option<&BuilderRunConfig>,
    peers: &Peers,
) -> Timestamp {
    let now = Timestamp::now();
    let next = schedule.next_after(now);
    let retry = config.and_then(|config| journal.next_try(config, peers.task()));
    retry.filter(|at| *at > now).map_or(next, |at| at.min(next))
}

/// What is to be there, what is, and how large it is.
fn images(text: &mut Text, journal: &Journal, config: Option<&BuilderRunConfig>) {
    let wanted = config.into_iter().flat_map(|config| {
        let clouds = config.clouds.iter();
        clouds.flat_map(|cloud| config.targets.iter().map(move |target| (place(*target, cloud), 1)))
    });
    text.samples(&IMAGE_WANTED, wanted);
    text.samples(
        &IMAGE_BUILT,
        journal.images.iter().map(|image| {
            let BuildConfig { base, arch, cloud_name } = &image.result.config;
            (place(Target { base: *base, arch: *arch }, cloud_name), image.built.0)
        }),
    );
    let sizes = newest(journal)
        .into_iter()
        .filter_map(|(target, build)| Some(([target], build.proof.as_ref()?.size)));
    text.samples(&IMAGE_SIZE, sizes);
}

/// The newest build of each target.
fn newest(journal: &Journal) -> BTreeMap<String, &Revision> {
    let mut newest: BTreeMap<String, &Revision> = BTreeMap::new();
    for revision in &journal.revisions {
        let known = newest.entry(revision.target.to_string()).or_insert(revision);
        if revision.built > known.built {
            *known = revision;
        }
    }
    newest
}

/// What has succeeded and what fails, by target and project.
fn standings(text: &mut Text, journal: &Journal, config: Option<&BuilderRunConfig>, task: TaskKind) {
    let all = || journal.standings.iter().filter(|standing| standing.task == task);
    let scope = |standing: &Standing| {
        let target = standing.target.map(|target| target.to_string()).unwrap_or_default();
        let cloud = standing.cloud.as_ref().map(|cloud| cloud.as_str().to_owned()).unwrap_or_default();
        [target, cloud]
    };
    let at = |moment: fn(&Standing) -> Option<Timestamp>| {
        all().filter_map(move |standing| Some((scope(standing), moment(standing)?.0)))
    };
    text.samples(&TARGET_SUCCESS, at(|standing| standing.last_success));
    text.samples(&TARGET_FAILURE, at(|standing| standing.last_failure));
    let failing: Vec<_> = config.into_iter().flat_map(|config| journal.failing(config, task)).collect();
    text.samples(
        &TARGET_FAILURES,
        failing.iter().map(|(standing, open)| {
            let [target, cloud] = scope(standing);
            let failure = open.failures.first();
            let cause = failure.map_or("", |failure| failure.cause.as_str());
            let remedy = failure.map_or("", |failure| remedy(failure.remedy));
            ([target, cloud, cause.to_owned(), remedy.to_owned()], u64::from(open.in_row))
        }),
    );
    text.samples(&TARGET_RETRY, failing.iter().map(|(standing, open)| (scope(standing), open.next_try().0)));
}

fn place(target: Target, cloud: &CloudName) -> [String; 2] {
    [target.to_string(), cloud.as_str().to_owned()]
}

/// Who can mend a failure, in a word.
fn remedy(remedy: Remedy) -> &'static str {
    match remedy {
        Remedy::Operator => "operator",
        Remedy::Retry => "transient",
        Remedy::Hook => "secrets-lost",
    }
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
