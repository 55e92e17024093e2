//! One command of an ssh session: its input, output, errors, status and signals.

use std::io;
use std::path::Path;
use std::process::{Command, Stdio};

use russh::server::Msg;
use russh::{Channel, ChannelMsg, Sig};
use tokio::io::{AsyncRead, AsyncReadExt as _, AsyncWrite, AsyncWriteExt as _};
use tokio::process::ChildStdin;
use tokio::sync::mpsc;

use super::inside;

/// A command that was started.
pub(super) struct Running {
    group: u32,
}

impl Running {
    /// Sends a signal to the command and what it started.
    pub fn signal(&self, signal: &Sig) {
        let name = match signal {
            Sig::ABRT => "ABRT",
            Sig::ALRM => "ALRM",
            Sig::FPE => "FPE",
            Sig::HUP => "HUP",
            Sig::ILL => "ILL",
            Sig::INT => "INT",
            Sig::KILL => "KILL",
            Sig::PIPE => "PIPE",
            Sig::QUIT => "QUIT",
            Sig::SEGV => "SEGV",
            Sig::TERM => "TERM",
            Sig::USR1 => "USR1",
            Sig::Custom(name) => name,
        };
        let group = format!("-{}", self.group);
        drop(Command::new("kill").args(["-s", name, "--", &group]).stderr(Stdio::null()).status());
    }
}

/// The variables of a fresh login, with those of /etc/environment.
pub(super) fn environment(tree: &Path, user: &str, home: &str) -> Vec<(String, String)> {
    let mut variables = vec![
        ("USER".to_owned(), user.to_owned()),
        ("LOGNAME".into(), user.into()),
        ("HOME".into(), home.into()),
        ("SHELL".into(), "/bin/bash".into()),
        ("LANG".into(), "C.UTF-8".into()),
        ("PATH".into(), "/usr/local/sbin:/usr/local/bin:/usr/sbin:/usr/bin:/sbin:/bin:/snap/bin".into()),
    ];
    let text = inside::read(tree, "etc/environment").unwrap_or_default();
    for line in text.lines() {
        let line = line.trim().trim_start_matches("export ");
        if let Some((name, value)) = line.split_once('=').filter(|_| !line.starts_with('#')) {
            variables.push((name.to_owned(), value.trim_matches(['"', '\'']).to_owned()));
        }
    }
    variables
}

/// Starts a command and connects it with its channel.
pub(super) fn start(mut command: Command, channel: Channel<Msg>) -> io::Result<Running> {
    command.stdin(Stdio::piped()).stdout(Stdio::piped()).stderr(Stdio::piped());
    let mut child = tokio::process::Command::from(command).spawn()?;
    let group = child.id().unwrap_or_default();
    let (Some(stdin), Some(stdout), Some(stderr)) =
        (child.stdin.take(), child.stdout.take(), child.stderr.take())
    else {
        return Err(io::Error::other("the command has no pipes"));
    };
    let (mut reading, writing) = channel.split();
    let (feed, input) = mpsc::unbounded_channel();
    tokio::spawn(write_input(stdin, input));
    // The client's window must be served even while the command does not read: hence the unbounded channel.
    let reader = tokio::spawn(async move {
        let mut feed = Some(feed);
        while let Some(message) = reading.wait().await {
            match message {
                ChannelMsg::Data { data } => {
                    if let Some(feed) = &feed {
                        drop(feed.send(data.to_vec()));
                    }
                }
                ChannelMsg::Eof => feed = None,
                ChannelMsg::Close => break,
                _ => {}
            }
        }
    });
    tokio::spawn(async move {
        let out = tokio::spawn(copy(stdout, writing.make_writer()));
        let errors = tokio::spawn(copy(stderr, writing.make_writer_ext(Some(1))));
        drop(out.await);
        drop(errors.await);
        let status = child.wait().await.ok();
        let code = status.map_or(255, |status| exit_code(&status));
        drop(writing.exit_status(code).await);
        drop(writing.eof().await);
        drop(writing.close().await);
        reader.abort();
    });
    Ok(Running { group })
}

fn exit_code(status: &std::process::ExitStatus) -> u32 {
    use std::os::unix::process::ExitStatusExt as _;
    let code = status.code().or_else(|| status.signal().map(|signal| 128 + signal));
    code.and_then(|code| u32::try_from(code).ok()).unwrap_or(255)
}

async fn write_input(mut stdin: ChildStdin, mut input: mpsc::UnboundedReceiver<Vec<u8>>) {
    while let Some(bytes) = input.recv().await {
        if stdin.write_all(&bytes).await.is_err() {
            return;
        }
    }
}

async fn copy(mut from: impl AsyncRead + Unpin, mut to: impl AsyncWrite + Unpin) {
    let mut buffer = vec![0; 32 << 10];
    while let Ok(n @ 1..) = from.read(&mut buffer).await {
        let Some(bytes) = buffer.get(..n) else { return };
        if to.write_all(bytes).await.is_err() || to.flush().await.is_err() {
            return;
        }
    }
}
