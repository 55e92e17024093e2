//! A place and what goes wrong there.

use std::fmt;

use rehearsal::cloud::What;

use crate::site::{Answerer, Moment, Site};

/// What goes wrong.
#[derive(Clone, Copy, Debug, PartialEq, Eq, PartialOrd, Ord)]
pub enum Fault {
    /// The server ends in the middle of the call, and refuses connections for a while.
    Refused,
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
    BreaksOff,
    NonZero,
    Fails,
    Slow,
    NoSpace,
    /// Errors of a failing disk: while writing, flushing, renaming, reading.
    WriteError,
    FlushError,
    RenameError,
    ReadError,
    ReadOnly,
}

use Fault::{
    BreaksOff, Dropped, Fails, FlushError, Garbage, Hangs, KilledAfter, KilledBefore, Lost, NoSpace, NonZero,
    Quota403, ReadError, ReadOnly, Refused, RenameError, Slow, Status401, Status404, Status409, Status429,
    Status500, Status503, Truncated, WriteError,
};

impl Fault {
    const HTTP: [Self; 15] = [
        Refused,
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
    ];
    const CONNECTION: [Self; 5] = [Refused, BreaksOff, Hangs, KilledBefore, KilledAfter];
    const COMMAND: [Self; 6] = [Refused, BreaksOff, Hangs, NonZero, KilledBefore, KilledAfter];
    const TOOL: [Self; 2] = [Fails, Slow];
    const FILE: [Self; 5] = [NoSpace, WriteError, FlushError, RenameError, KilledBefore];
    const READ_FILE: [Self; 6] = [NoSpace, WriteError, FlushError, RenameError, KilledBefore, ReadError];
    const JOURNAL: [Self; 4] = [NoSpace, FlushError, KilledBefore, KilledAfter];
    const DISK: [Self; 2] = [NoSpace, ReadOnly];
    const BUSY_DISK: [Self; 1] = [NoSpace];

    /// The faults that a place can have.
    pub fn of(site: &Site) -> impl Iterator<Item = Self> {
        let faults: &'static [Self] = match site {
            Site::Http { .. } => &Self::HTTP,
            Site::SshConnection { .. } => &Self::CONNECTION,
            Site::SshCommand { .. } => &Self::COMMAND,
            Site::Tool { .. } => &Self::TOOL,
            Site::File { is_read: false, .. } => &Self::FILE,
            Site::File { is_read: true, .. } => &Self::READ_FILE,
            Site::Journal { .. } => &Self::JOURNAL,
            Site::Disk { moment: Moment::Before } => &Self::DISK,
            Site::Disk { moment: Moment::During } => &Self::BUSY_DISK,
        };
        // Whether a server that changes nothing had done its work before the answer was lost, or the worker killed, makes
        // no difference: that would be the same run twice.
        let only_reads = matches!(site, Site::Http { method, .. } if method == "GET");
        // What comes of a quota of members is a copy, and no other try.
        let is_of_sharing = site.is_of_sharing();
        faults.iter().copied().filter(move |fault| {
            !(only_reads && matches!(fault, Lost | KilledAfter)) && !(is_of_sharing && *fault == Quota403)
        })
    }

    /// A word for the table.
    pub fn word(self) -> &'static str {
        match self {
            Refused => "refused",
            Dropped => "drop",
            Lost => "lost",
            Hangs => "hang",
            Status500 => "500",
            Status503 => "503",
            Status429 => "429",
            Status401 => "401",
            Quota403 => "quota",
            Status404 => "404",
            Status409 => "409",
            Truncated => "trunc",
            Garbage => "garbage",
            KilledBefore => "kill-",
            KilledAfter => "kill+",
            BreaksOff => "breaks",
            NonZero => "exit1",
            Fails => "fails",
            Slow => "slow",
            NoSpace => "full",
            WriteError => "write",
            FlushError => "flush",
            RenameError => "rename",
            ReadError => "read",
            ReadOnly => "ro",
        }
    }

    /// What the server does to a call. A killed worker's call hangs until the worker is dead.
    pub fn what(self, answerer: Answerer) -> What {
        let status = |status, headers: &[(&str, &str)], message: &str| {
            let headers = headers.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
            What::Status(status, headers.collect(), body(answerer, status, message))
        };
        match self {
            Lost => What::LoseReply,
            Hangs | KilledBefore => What::AcceptAndHang,
            KilledAfter => What::ActAndHang,
            Status500 => status(500, &[], "Something broke"),
            Status503 => status(503, &[("Retry-After", "1")], "Come back later"),
            Status429 => status(429, &[("Retry-After", "1")], "Too many requests"),
            Status401 => status(401, &[], "The request you have made requires authentication."),
            Quota403 => status(403, &[], "Quota exceeded"),
            Status404 => status(404, &[], "Not found"),
            Status409 => status(409, &[], "Conflict"),
            Truncated => What::TruncateBody,
            Garbage => What::GarbageJson,
            _ => What::DropConnection,
        }
    }

    /// The options of strace(1) that do this to one file, the nth time that a thread does it; `path` is the file,
    /// `beside` where it is written before it takes its place.
    pub fn injection(self, path: &str, beside: &str, nth: u32) -> Vec<String> {
        let folder = path.rsplit_once('/').map_or("/", |(folder, _)| folder);
        let (paths, calls, what) = match self {
            NoSpace => (vec![beside], "write,copy_file_range,sendfile", "error=ENOSPC"),
            WriteError => (vec![beside], "write,copy_file_range,sendfile", "error=EIO"),
            FlushError => (vec![beside], "fsync", "error=EIO"),
            RenameError => (vec![beside], "rename", "error=EIO"),
            ReadError => (vec![path], "read", "error=EIO"),
            // The folder is flushed when the file is in its place: of two flushes each, the second.
            KilledAfter => (vec![beside, folder], "fsync", "signal=KILL"),
            _ => (vec![beside], "rename", "signal=KILL"),
        };
        let nth = if self == KilledAfter { 2 * nth } else { nth };
        let injection = format!("inject={calls}:{what}:when={nth}");
        let paths = paths.into_iter().flat_map(|path| ["-P".to_owned(), path.to_owned()]);
        paths.chain(["-e".into(), format!("trace={calls}"), "-e".into(), injection]).collect()
    }

    /// Whether most of a run with it is waiting, until somebody's patience ends.
    pub fn mostly_waits(self) -> bool {
        matches!(self, Hangs | Slow)
    }

    /// Whether a process dies of it.
    pub fn kills(self) -> bool {
        matches!(self, KilledBefore | KilledAfter)
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

impl Case {
    /// Whether the charm is patient with this for more than a few minutes: a store may take ten to put away what it got,
    /// a server that is said to be gone and is still there, as many to go.
    pub fn takes_minutes(&self) -> bool {
        let Site::Http { answerer, method, .. } = &self.site else { return false };
        match self.fault {
            Hangs => method == "PUT",
            Status404 => *answerer == Answerer::Nova && method == "DELETE",
            _ => false,
        }
    }
}

/// Every fault of every place.
pub fn all(sites: &[Site]) -> Vec<Case> {
    let cases = sites.iter().flat_map(|site| Fault::of(site).map(|fault| Case { site: site.clone(), fault }));
    cases.collect()
}
