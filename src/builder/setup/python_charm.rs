//! What the Python charm has left on a unit that this charm has taken over in place (`juju refresh`): none of it is used any
//! more, and its clouds.yaml shows every password to everybody on the machine.

use std::path::{Path, PathBuf};

use crate::builder::CRON_FILE;
use crate::host::{FileError, Host};
use crate::model::BaseImage;

/// Its log rotation: written once all else was there, and removed here once all else is gone.
const LOGROTATE_FILE: &str = "/etc/logrotate.d/github-runner-image-builder.conf";
/// The folder of its log.
const LOG_DIR: &str = "/var/log/github-runner-image-builder";
/// The home of the user that it works as, and its working folder.
const HOME: &str = "/home/ubuntu";
/// The application, in the folders that pipx has used in its time.
const VIRTUAL_ENVIRONMENTS: [&str; 2] = [
    "/home/ubuntu/.local/pipx/venvs/github-runner-image-builder",
    "/home/ubuntu/.local/share/pipx/venvs/github-runner-image-builder",
];
/// Credentials, the key of its builder VMs, and the command.
const FILES: [&str; 3] = ["clouds.yaml", ".ssh/builder_key", ".local/bin/github-runner-image-builder"];
/// Ubuntu's names of the architectures whose base images it fetches.
const ARCHITECTURES: [&str; 4] = ["amd64", "arm64", "s390x", "ppc64el"];

/// Removes what the Python charm has left on this machine, and keeps its log beside ours. Does nothing, at the price of a few
/// looks, where it has never been. Every hook calls it, so that what cannot be removed now is removed later.
pub fn remove_python_charm(host: &Host, unit_name: &str) -> Result<(), FileError> {
    let marks = [LOGROTATE_FILE, LOG_DIR].into_iter().chain(VIRTUAL_ENVIRONMENTS);
    if !marks.map(|path| host.path(path)).any(|path| path.exists()) {
        return Ok(());
    }
    log::info!("removing the files that the Python charm has left on this machine");
    let home = host.path(HOME);
    for file in FILES.map(|name| home.join(name)).into_iter().chain(images(host, &home, unit_name)?) {
        host.remove_file(&file)?;
    }
    let cron = host.path(CRON_FILE);
    // Ours stands in its place once the configuration is valid.
    if host.read(&cron)?.is_some_and(|file| String::from_utf8_lossy(&file).contains("/usr/bin/run-one ")) {
        host.remove_file(&cron)?;
    }
    VIRTUAL_ENVIRONMENTS.into_iter().try_for_each(|folder| host.remove_dir(&host.path(folder)))?;
    keep_log(host)?;
    host.remove_file(&host.path(LOGROTATE_FILE))
}

/// Base images and snapshots, each of some hundred MB or more.
fn images(host: &Host, home: &Path, unit_name: &str) -> Result<Vec<PathBuf>, FileError> {
    let application = unit_name.split('/').next().unwrap_or_default();
    let is_base = |name: &str| {
        BaseImage::ALL.iter().any(|base| {
            ARCHITECTURES.iter().any(|arch| name == format!("{}-server-cloudimg-{arch}.img", base.as_str()))
        })
    };
    let is_snapshot = |name: &str| {
        let target = name.strip_suffix(".snapshot").and_then(|name| name.strip_prefix(application));
        let base = target.and_then(|target| target.strip_prefix('-')?.split_once('-'));
        base.is_some_and(|(base, _)| BaseImage::ALL.iter().any(|known| known.as_str() == base))
    };
    let mut files = host.files_in(home)?;
    files.retain(|path| {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_base(&name) || is_snapshot(&name)
    });
    Ok(files)
}

/// `info.log.2.gz` becomes `python-charm.log.2.gz` among our logs, and is rotated away there.
fn keep_log(host: &Host) -> Result<(), FileError> {
    let folder = host.path(LOG_DIR);
    for file in host.files_in(&folder)? {
        let name = file.file_name().unwrap_or_default().to_string_lossy().into_owned();
        if let Some(rest) = name.strip_prefix("info.log") {
            host.rename(&file, &host.log_dir().join(format!("python-charm.log{rest}")))?;
        }
    }
    if folder.exists() { host.remove_dir(&folder) } else { Ok(()) }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use super::*;

    fn write(host: &Host, path: &str, text: &str) {
        host.write(&host.path(path), text.as_bytes(), 0o644).unwrap();
    }

    #[test]
    fn nothing_of_it_stays_but_its_log_and_what_others_have_put_beside_it() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        host.own_folders().unwrap();
        let removed = [
            "/home/ubuntu/clouds.yaml",
            "/home/ubuntu/.ssh/builder_key",
            "/home/ubuntu/.local/bin/github-runner-image-builder",
            "/home/ubuntu/.local/pipx/venvs/github-runner-image-builder/bin/python",
            "/home/ubuntu/noble-server-cloudimg-arm64.img",
            "/home/ubuntu/rib-jammy-x64.snapshot",
            "/var/log/github-runner-image-builder/info.log.1",
            LOGROTATE_FILE,
        ];
        let stay = [
            "/home/ubuntu/.ssh/authorized_keys",
            "/home/ubuntu/other-jammy-x64.snapshot",
            "/home/ubuntu/debian-server-cloudimg-amd64.img",
            "/home/ubuntu/.local/pipx/venvs/another/bin/python",
        ];
        removed.iter().chain(&stay).for_each(|path| write(&host, path, "x"));
        write(&host, CRON_FILE, "0 */6 * * * root /usr/bin/run-one /usr/bin/bash -c 'juju-exec rib/0'\n");
        remove_python_charm(&host, "rib/0").unwrap();
        for path in removed.into_iter().chain([CRON_FILE, LOG_DIR, VIRTUAL_ENVIRONMENTS[0]]) {
            assert!(!host.path(path).exists(), "{path} is still there");
        }
        assert!(stay.iter().all(|path| host.path(path).exists()));
        assert_eq!(fs::read(host.log_dir().join("python-charm.log.1")).unwrap(), b"x");
    }

    #[test]
    fn a_machine_where_it_has_never_been_keeps_files_of_the_same_names() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        write(&host, "/home/ubuntu/clouds.yaml", "the operator's own");
        remove_python_charm(&host, "rib/0").unwrap();
        assert!(host.path("/home/ubuntu/clouds.yaml").exists());
    }
}
