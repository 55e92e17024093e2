//! A place and what goes wrong there.

use std::fmt;

use rehearsal::cloud::What;

use crate::site::{Answerer, Site};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    Dropped,
    Lost,
    Hangs,
    Status500,
    Status503,
    Status429,
    Status401,
    Quota403,
    Status404,
    Status409,
    Truncated,
    Garbage,
    KilledBefore,
    KilledAfter,
    Refused,
    BreaksOff,
    NonZero,
    Fails,
    Slow,
}

impl Fault {
    /// Those of a call over HTTP.
    const HTTP: [Self; 14] = [
        Self::Dropped,
        Self::Lost,
        Self::Hangs,
        Self::Status500,
        Self::Status503,
        Self::Status429,
        Self::Status401,
        Self::Quota403,
        Self::Status404,
        Self::Status409,
        Self::Truncated,
        Self::Garbage,
        Self::KilledBefore,
        Self::KilledAfter,
    ];
    const SSH: [Self; 6] =
        [Self::Refused, Self::BreaksOff, Self::Hangs, Self::NonZero, Self::KilledBefore, Self::KilledAfter];
    const TOOL: [Self; 2] = [Self::Fails, Self::Slow];

    /// The faults that a place can have.
    pub fn of(site: &Site) -> &'static [Self] {
        match site {
            Site::Http { .. } => &Self::HTTP,
            Site::Ssh { .. } => &Self::SSH,
            Site::Tool { .. } => &Self::TOOL,
        }
    }

    /// A word for the table.
    pub fn word(self) -> &'static str {
        match self {
            Self::Dropped => "drop",
            Self::Lost => "lost",
            Self::Hangs => "hang",
            Self::Status500 => "500",
            Self::Status503 => "503",
            Self::Status429 => "429",
            Self::Status401 => "401",
            Self::Quota403 => "quota",
            Self::Status404 => "404",
            Self::Status409 => "409",
            Self::Truncated => "trunc",
            Self::Garbage => "garbage",
            Self::KilledBefore => "kill-",
            Self::KilledAfter => "kill+",
            Self::Refused => "refused",
            Self::BreaksOff => "breaks",
            Self::NonZero => "exit1",
            Self::Fails => "fails",
            Self::Slow => "slow",
        }
    }

    /// What the server does to a call. A killed worker's call hangs until the worker is dead.
    pub fn what(self, answerer: Answerer) -> What {
        let status = |status, headers: &[(&str, &str)], message: &str| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            What::Status(status, headers.collect(), body(answerer, status, message))
        };
        match self {
            Self::Lost => What::LoseReply,
            Self::Hangs | Self::KilledBefore => What::AcceptAndHang,
            Self::KilledAfter => What::ActAndHang,
            Self::Status500 => status(500, &[], "Something broke"),
            Self::Status503 => status(503, &[("Retry-After", "1")], "Come back later"),
            Self::Status429 => status(429, &[("Retry-After", "1")], "Too many requests"),
            Self::Status401 => status(401, &[], "The request you have made requires authentication."),
            Self::Quota403 => status(403, &[], "Quota exceeded"),
            Self::Status404 => status(404, &[], "Not found"),
            Self::Status409 => status(409, &[], "Conflict"),
            Self::Truncated => What::TruncateBody,
            Self::Garbage => What::GarbageJson,
            Self::Dropped | Self::Refused | Self::BreaksOff | Self::NonZero | Self::Fails | Self::Slow => {
                What::DropConnection
            }
        }
    }

    /// Whether the worker dies of it.
    pub fn kills(self) -> bool {
        matches!(self, Self::KilledBefore | Self::KilledAfter)
    }
}

fn body(answerer: Answerer, status: u16, message: &str) -> String {
    let body = match answerer {
        Answerer::Nova => serde_json::json!({"error": {"code": status, "message": message}}),
        Answerer::Neutron => {
            serde_json::json!({"NeutronError": {"type": "Fault", "message": message, "detail": ""}})
        }
        Answerer::Keystone => {
            serde_json::json!({"error": {"code": status, "message": message, "title": "Fault"}})
        }
        Answerer::Glance | Answerer::Web => serde_json::json!({"message": message}),
    };
    body.to_string()
}

/// One run of the sweep.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Case {
    pub site: Site,
    pub fault: Fault,
}

impl fmt::Display for Case {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} : {}", self.site, self.fault.word())
    }
}

/// Every fault of every place.
pub fn all(sites: &[Site]) -> Vec<Case> {
    let cases = sites
        .iter()
        .flat_map(|site| Fault::of(site).iter().map(|fault| Case { site: site.clone(), fault: *fault }));
    cases.collect()
}
