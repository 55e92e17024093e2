//! Misbehaviour on demand, and the record of what was asked: rules that say which request goes wrong and how,
//! and a log of all requests (method, URL, status; no header, hence no token).

use std::sync::{Mutex, OnceLock};
use std::time::Duration;

use regex_lite::Regex;

use super::hostile::Script;
use crate::lock;

/// How a request goes wrong.
#[derive(Clone, Debug, PartialEq, Eq)]
pub enum What {
    /// Nobody listens: connections to the server whose base URL matches are refused until the rule is lifted.
    Refuse,
    /// The request is read and never answered.
    AcceptAndHang,
    /// This answer instead of the real one; the request has no effect.
    Status(u16, Vec<(String, String)>, String),
    /// The real answer's headers, half of its body, and the connection is closed.
    TruncateBody,
    /// The real status, and a body that is no JSON.
    GarbageJson,
    /// The real answer, later.
    Delay(Duration),
    /// The connection is closed as soon as the headers are read; the request has no effect.
    DropConnection,
    /// The request has its effect, and the connection is closed before the answer.
    LoseReply,
    /// The request has its effect and is never answered.
    ActAndHang,
    /// What the request sends is read at so many bytes a second; at 0, never.
    ReadSlowly(u32),
    /// The real answer, ten bytes a second.
    Trickle,
    /// The real answer, with what the script makes of its body.
    Distort(Script),
    /// Status 200 and what the script says; the request has no effect.
    Say(Script),
}

/// A request, as far as rules depend on it.
#[derive(Clone, Copy, Debug, Default)]
pub struct Asked<'a> {
    /// The method.
    pub method: &'a str,
    /// Scheme, host, path and query.
    pub url: &'a str,
    /// The keys at the top of the JSON object that is sent.
    pub keys: &'a [String],
    /// The project of whoever asks, or wants to be let in.
    pub project: Option<&'a str>,
}

/// One rule: which requests, what happens to them, how often.
#[derive(Clone, Debug)]
pub struct Fault {
    method: Option<String>,
    url: Regex,
    key: Option<String>,
    project: Option<String>,
    skip: u32,
    times: Option<u32>,
    what: What,
    struck: u32,
}

impl Fault {
    /// `what` happens to every request whose method is `method` (`*` for any) and whose URL
    /// (`http://127.0.0.1:PORT/path?query`) has a match of the regular expression `url`.
    pub fn new(method: &str, url: &str, what: What) -> Result<Self, regex_lite::Error> {
        let method = (method != "*").then(|| method.to_owned());
        Ok(Self {
            method,
            url: Regex::new(url)?,
            key: None,
            project: None,
            skip: 0,
            times: None,
            what,
            struck: 0,
        })
    }

    /// Only requests with this key at the top of the JSON object that they send: what Nova is to do with a server.
    pub fn of_key(mut self, key: &str) -> Self {
        self.key = Some(key.to_owned());
        self
    }

    /// Only requests of this project, by its name: those with a token for it, and those that ask for one.
    pub fn of_project(mut self, name: &str) -> Self {
        self.project = Some(name.to_owned());
        self
    }

    /// From the `nth` matching request on, counted from 1.
    pub fn from_nth(mut self, nth: u32) -> Self {
        self.skip = nth.saturating_sub(1);
        self
    }

    /// That many times, then never again.
    pub fn times(mut self, times: u32) -> Self {
        self.times = Some(times);
        self
    }
}

/// Names an injected rule, so that it can be lifted.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct FaultId(u64);

/// One line of the log.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct LogEntry {
    /// The method.
    pub method: String,
    /// Scheme, host, path and query.
    pub url: String,
    /// The keys at the top of the JSON object that was sent, if one was.
    pub keys: Vec<String>,
    /// The status that was sent; 0 when none was.
    pub status: u16,
}

/// The rules and the log that several servers share.
#[derive(Default)]
pub struct Faults {
    inner: Mutex<Inner>,
    projects: OnceLock<ProjectOf>,
}

/// The name of the project that a token is for.
pub type ProjectOf = Box<dyn Fn(&str) -> Option<String> + Send + Sync>;

#[derive(Default)]
struct Inner {
    last: u64,
    rules: Vec<(FaultId, Fault)>,
    log: Vec<LogEntry>,
}

impl Faults {
    /// Adds a rule; earlier rules go first.
    pub fn inject(&self, fault: Fault) -> FaultId {
        let mut inner = lock(&self.inner);
        inner.last += 1;
        let id = FaultId(inner.last);
        inner.rules.push((id, fault));
        id
    }

    /// Takes a rule back.
    pub fn lift(&self, id: FaultId) {
        lock(&self.inner).rules.retain(|(known, _)| *known != id);
    }

    /// Takes all rules back.
    pub fn heal(&self) {
        lock(&self.inner).rules.clear();
    }

    /// How projects are known by their tokens; without it none is.
    pub fn know_projects(&self, of: ProjectOf) {
        drop(self.projects.set(of));
    }

    /// The name of the project that a token is for.
    pub fn project_of(&self, token: &str) -> Option<String> {
        self.projects.get()?(token)
    }

    /// What happens to this request, if anything; counts it.
    pub fn strike(&self, asked: Asked<'_>) -> Option<What> {
        let mut inner = lock(&self.inner);
        for (_, rule) in &mut inner.rules {
            let concerned = rule.what != What::Refuse
                && rule.method.as_ref().is_none_or(|wanted| wanted == asked.method)
                && rule.key.as_ref().is_none_or(|wanted| asked.keys.contains(wanted))
                && rule.project.as_ref().is_none_or(|wanted| asked.project == Some(wanted))
                && rule.times != Some(0)
                && rule.url.is_match(asked.url);
            if !concerned {
                continue;
            }
            if rule.skip > 0 {
                rule.skip -= 1;
                continue;
            }
            if let Some(times) = &mut rule.times {
                *times -= 1;
            }
            rule.struck += 1;
            return Some(rule.what.clone());
        }
        None
    }

    /// How many requests a rule has struck; none when it was taken back.
    pub fn struck(&self, id: FaultId) -> u32 {
        let inner = lock(&self.inner);
        inner.rules.iter().find(|(known, _)| *known == id).map_or(0, |(_, rule)| rule.struck)
    }

    /// Whether nobody may listen at this base URL at the moment.
    pub fn refuses(&self, base_url: &str) -> bool {
        lock(&self.inner)
            .rules
            .iter()
            .any(|(_, rule)| rule.what == What::Refuse && rule.url.is_match(base_url))
    }

    /// Writes a line of the log.
    pub fn record(&self, method: &str, url: &str, keys: &[String], status: u16) {
        let (method, url, keys) = (method.to_owned(), url.to_owned(), keys.to_vec());
        lock(&self.inner).log.push(LogEntry { method, url, keys, status });
    }

    /// The log so far.
    pub fn log(&self) -> Vec<LogEntry> {
        lock(&self.inner).log.clone()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_rule_strikes_from_the_nth_match_on_and_so_many_times() {
        let faults = Faults::default();
        let fault = Fault::new("GET", "/a$", What::DropConnection).unwrap().from_nth(2).times(1);
        let id = faults.inject(fault);
        let asked = |method| Asked { method, url: "http://127.0.0.1:1/a", ..Asked::default() };
        let struck = || faults.strike(asked("GET")).is_some();
        assert_eq!([struck(), struck(), struck()], [false, true, false]);
        assert_eq!(faults.strike(asked("PUT")), None);
        assert_eq!(faults.struck(id), 1);
    }

    #[test]
    fn a_rule_can_be_for_one_action_of_several_at_the_same_address() {
        let faults = Faults::default();
        faults.inject(Fault::new("POST", "/action$", What::DropConnection).unwrap().of_key("os-stop"));
        let struck = |key: &str| {
            let keys = [key.to_owned()];
            let url = "http://127.0.0.1:1/action";
            faults.strike(Asked { method: "POST", url, keys: &keys, project: None })
        };
        assert_eq!(struck("createImage"), None);
        assert_eq!(struck("os-stop"), Some(What::DropConnection));
    }

    #[test]
    fn a_rule_can_be_for_one_project() {
        let faults = Faults::default();
        faults.inject(Fault::new("GET", "/a$", What::Trickle).unwrap().of_project("theirs"));
        let struck =
            |project| faults.strike(Asked { method: "GET", url: "http://127.0.0.1:1/a", keys: &[], project });
        assert_eq!((struck(None), struck(Some("ours"))), (None, None));
        assert_eq!(struck(Some("theirs")), Some(What::Trickle));
    }
}
