//! Where the commands of an instance run: namespaces of their own (user, mount, process, IPC, host name) around
//! its tree, entered without any privilege. The network is the host's, whose loopback interface is all that the
//! stand-ins for curl and wget let through.
//!
//! Where the kernel does not allow this nothing runs at all: there is no way around it that could touch the host.

use std::fs;
use std::io::{self, BufRead, BufReader, Write};
use std::os::unix::fs::MetadataExt;
use std::os::unix::process::CommandExt;
use std::path::{Path, PathBuf};
use std::process::{Child, ChildStdin, Command, Stdio};
use std::sync::{Mutex, OnceLock};
use std::thread;

use crate::lock;

/// The user as whom a rehearsal that root started runs its instances.
const NOBODY: u32 = 65_534;
const PATH: &str = "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin";

/// How machines are started here.
#[derive(Clone, Debug)]
pub(super) struct Sandbox {
    /// What all machines share.
    pub shared: PathBuf,
    user: Option<u32>,
}

impl Sandbox {
    /// Finds out how, or why not: tries it with an empty tree, once per process.
    pub fn probe(directory: &Path, shared: &Path) -> Result<Self, String> {
        static FOUND: OnceLock<Result<Option<u32>, String>> = OnceLock::new();
        let found = FOUND.get_or_init(|| Self::find_user(directory, shared)).clone();
        found.map(|user| Self { shared: shared.to_owned(), user })
    }

    /// As whom machines can run here; `None` is whoever runs the rehearsal.
    fn find_user(directory: &Path, shared: &Path) -> Result<Option<u32>, String> {
        let root = fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0);
        let ways: &[Option<u32>] = if root { &[Some(NOBODY), None] } else { &[None] };
        let mut why = String::new();
        for user in ways {
            let sandbox = Self { shared: shared.to_owned(), user: *user };
            let tree = directory.join("probe");
            let tried = sandbox.try_out(&tree);
            super::archive::remove_tree(&tree);
            match tried {
                Ok(()) => return Ok(*user),
                Err(error) => why = error.to_string(),
            }
        }
        Err(format!(
            "instances need unprivileged user namespaces, which this machine does not give: {}",
            why.trim()
        ))
    }

    fn try_out(&self, tree: &Path) -> io::Result<()> {
        fs::create_dir(tree)?;
        for directory in ["etc", "home"] {
            fs::create_dir(tree.join(directory))?;
        }
        super::tree::prepare_boot(tree)?;
        super::commands::link_into(tree, &self.shared)?;
        self.hand_over(tree)?;
        self.start(tree, "probe", |_| {})?.kill();
        Ok(())
    }

    /// Gives a tree to the user as whom machines run.
    pub fn hand_over(&self, tree: &Path) -> io::Result<()> {
        self.user.map_or(Ok(()), |user| super::tree::give_to(tree, user))
    }

    /// A process in a process group of its own, with nothing of our environment. It is still ours, and its program is a
    /// full path: were it to become somebody else's here, or to be looked for in a PATH that is not ours, all of our
    /// memory would have to be copied for it.
    fn process(program: &str) -> Command {
        let found = PATH.split(':').map(|folder| Path::new(folder).join(program)).find(|path| path.is_file());
        let mut command = Command::new(found.unwrap_or_else(|| program.into()));
        command.env_clear().env("PATH", PATH).current_dir("/").process_group(0);
        command
    }

    /// Starts a machine on a tree. `told` hears the lines that the machine's first process writes.
    pub fn start(
        &self,
        tree: &Path,
        hostname: &str,
        told: impl Fn(&str) + Send + 'static,
    ) -> io::Result<Machine> {
        let mut start = match self.user {
            None => Self::process("unshare"),
            Some(user) => {
                let mut start = Self::process("setpriv");
                start.args([format!("--reuid={user}"), format!("--regid={user}")]);
                start.args(["--clear-groups", "unshare"]);
                start
            }
        };
        let mut child = start
            .args(["--user", "--map-root-user", "--mount", "--pid", "--ipc", "--uts", "--fork"])
            .args(["--kill-child", "/bin/bash"])
            .arg(self.shared.join("init"))
            .arg("outside")
            .args([tree, &self.shared])
            .arg(hostname)
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        let stdin = child.stdin.take();
        let (Some(stdout), Some(mut stderr)) = (child.stdout.take(), child.stderr.take()) else {
            return Err(io::Error::other("the machine has no pipes"));
        };
        let mut lines = BufReader::new(stdout).lines();
        let first = lines.next().transpose()?.unwrap_or_default();
        if first != "ready" {
            let mut why = String::new();
            drop(io::Read::read_to_string(&mut stderr, &mut why));
            drop(child.kill());
            drop(child.wait());
            return Err(io::Error::other(why));
        }
        let init = only_child(child.id())?;
        let people = only_child(init)?;
        thread::spawn(move || {
            for line in lines.map_while(Result::ok) {
                told(&line);
            }
        });
        thread::spawn(move || io::copy(&mut stderr, &mut io::sink()));
        Ok(Machine { sandbox: self.clone(), init, people, processes: Mutex::new(Some((child, stdin))) })
    }
}

/// The process id of a process's only child.
fn only_child(parent: u32) -> io::Result<u32> {
    let text = fs::read_to_string(format!("/proc/{parent}/task/{parent}/children"))?;
    text.split_whitespace()
        .next()
        .and_then(|pid| pid.parse().ok())
        .ok_or_else(|| io::Error::other("no first process"))
}

/// A running machine. It ends with this value, and with this process.
#[derive(Debug)]
pub(super) struct Machine {
    sandbox: Sandbox,
    init: u32,
    /// A process that sees the tree as all but root do.
    people: u32,
    processes: Mutex<Option<(Child, Option<ChildStdin>)>>,
}

impl Machine {
    /// A command as `user` in `folder`; an empty one is a login shell.
    pub fn command(&self, user: &str, folder: &str, command: &str) -> Command {
        let mut process = Sandbox::process("nsenter");
        let known = if user == "root" { self.init } else { self.people };
        process
            .args(["--target", &known.to_string(), &format!("--wdns={folder}")])
            .args(["--user", "--mount", "--pid", "--ipc", "--uts"])
            // Whoever may, becomes the machine's root there; others are it already.
            .args(self.sandbox.user.is_none().then_some("--preserve-credentials"))
            .args(["--", "/bin/bash"])
            .args(if command.is_empty() { vec!["-l"] } else { vec!["-c", command] })
            .env("REHEARSAL_USER", user);
        process
    }

    /// Runs a script as root and returns its output and success.
    pub fn run(&self, script: &str) -> io::Result<std::process::Output> {
        let mut child = self
            .command("root", "/root", "exec /bin/bash -s")
            .env("HOME", "/root")
            .env("USER", "root")
            .stdin(Stdio::piped())
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn()?;
        if let Some(mut stdin) = child.stdin.take() {
            // A script that ends early leaves the rest unread.
            drop(stdin.write_all(script.as_bytes()));
        }
        child.wait_with_output()
    }

    /// Ends every process of the machine.
    pub fn kill(&self) {
        if let Some((mut child, stdin)) = lock(&self.processes).take() {
            // The first process ends when its input does; it is also killed with its parent.
            drop(stdin);
            drop(child.kill());
            drop(child.wait());
            // The kernel has ended the others by the time the first one is gone.
            let mut patience = 400;
            while Path::new(&format!("/proc/{}/root", self.init)).exists() && patience > 0 {
                thread::sleep(std::time::Duration::from_millis(5));
                patience -= 1;
            }
        }
    }
}

impl Drop for Machine {
    fn drop(&mut self) {
        self.kill();
    }
}
