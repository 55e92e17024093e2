//! `dispatch run`, `dispatch latest-build-id` and `dispatch init`: the charm's builds without Juju, on any machine, with a
//! cloud of the caller's own clouds.yaml. Each image name in a cloud has records of its own in the caller's state folder, the
//! same as a unit's: what a run that was killed has left is found by the next, and what is up to date is not built again.

use std::path::{Path, PathBuf};
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use serde_json::json;
use sha2::{Digest, Sha256};

use super::arguments::{Init, LatestBuildId, Run};
use super::jobs::describe;
use super::terminal::show_progress;
use super::{CLOUDS_FILE, CliError, Format, build_config, options, secrets};
use crate::builder::{
    Clouds, cloud_name, get_latest_image, http_client, install_build_tools, install_clouds_yaml, read_cloud,
};
use crate::host::{Exclusive, Host, random_uuid};
use crate::model::{Secret, Target, Timestamp, hex};
use crate::record::{
    BuildSecrets, BuilderRunConfig, CloudName, Failure, JobId, Journal, Owner, Peers, Published, Reason,
    Rebuild, Request, Task, worker_lives,
};
use crate::worker;

/// How often the journal is looked at for progress.
const LOOK: Duration = Duration::from_millis(500);

/// `dispatch init`: installs the programs that builds call.
pub fn init(words: &Init) -> Result<(), CliError> {
    install_build_tools(words.build_mode.into()).map_err(failed)
}

/// `dispatch run`: builds one image in a builder VM of a cloud, or on this machine, and puts it into that cloud.
pub fn run(words: &Run, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let Run { cloud, name, target, .. } = words;
    let host = records(cloud, name)?;
    host.own_folders().map_err(failed)?;
    if worker_lives(&host).map_err(failed)? {
        return Err(CliError::Failed(format!(
            "{name} is already being built in {cloud}; wait until it ends"
        )));
    }
    let secrets =
        BuildSecrets { github_token: token(&host, words.github_token_file.as_deref())?, ..secrets() };
    let config = configuration(&host, words, install(&host, cloud)?)?;
    // There is nobody else, and no relation names an image.
    Peers { leads: true, ..Peers::default() }.save(&host).map_err(failed)?;
    Published::default().save(&host).map_err(failed)?;
    let request = Request {
        id: JobId::random(),
        at: Timestamp::now(),
        reason: Reason::Action,
        task: Task::Build,
        rebuild: if words.force { Rebuild::Always } else { Rebuild::Due },
        bases: Vec::new(),
        unit_name: String::new(),
        config,
        has_secrets: !secrets.is_empty(),
        continues: Vec::new(),
        new_credentials: Vec::new(),
    };
    request.save(&host, &secrets).map_err(failed)?;
    show_progress(say, |say| follow(&host, say, || worker::work(&host).map_err(failed)))?;
    let journal = Journal::load(&host).map_err(failed)?;
    let job = journal.job.filter(|job| job.id == request.id);
    let failures = job.map(|job| job.failures).unwrap_or_default();
    if !failures.is_empty() {
        let messages: Vec<String> = failures.iter().map(Failure::to_string).collect();
        return Err(CliError::Failed(messages.join("; ")));
    }
    show(&host, cloud, *target, words.output.format, say)
}

/// `dispatch latest-build-id`: the image that the last `dispatch run` has put into a cloud, if it is still there.
pub fn latest_build_id(words: &LatestBuildId, say: &dyn Fn(&str)) -> Result<(), CliError> {
    let host = records(&words.cloud, &words.name)?;
    install(&host, &words.cloud)?;
    show(&host, &words.cloud, words.target, words.output.format, say)
}

fn show(
    host: &Host,
    cloud: &str,
    target: Target,
    format: Format,
    say: &dyn Fn(&str),
) -> Result<(), CliError> {
    let http = http_client(&secrets())?;
    let latest = get_latest_image(host, &http, target.arch, [target.base], &CloudName::new(cloud));
    let Some(image) = latest.map_err(failed)?.pop() else {
        return Err(CliError::Failed(format!(
            "{cloud} has no image of {target}; build one with dispatch run"
        )));
    };
    say(&match format {
        Format::Text => image.id.to_string(),
        Format::Json => {
            json!({"target": target.to_string(), "cloud": cloud, "id": image.id.as_str()}).to_string()
        }
    });
    Ok(())
}

/// What is built for whom: the charm's options, with this cloud as build project and as the one that gets the image.
fn configuration(host: &Host, words: &Run, build_cloud: CloudName) -> Result<BuilderRunConfig, CliError> {
    let owner = Owner { model_uuid: identity(host)?, application: words.name.clone(), unit: 0 };
    let clouds = vec![CloudName::new(&words.cloud)];
    let build_mode = options(&words.settings)?.build_mode()?;
    let config = build_config(words.target, &words.settings)?;
    Ok(BuilderRunConfig { owner, build_cloud, clouds, build_mode, ..config })
}

/// Brings the cloud's credentials to the records. Returns the name under which it is built in.
fn install(host: &Host, cloud: &str) -> Result<CloudName, CliError> {
    host.own_folders().map_err(failed)?;
    let name = CloudName::new(cloud);
    let config = read_cloud(host, &clouds_file(), &name)?;
    let build_cloud = cloud_name(&config);
    install_clouds_yaml(host, &Clouds::from([(build_cloud.clone(), config.clone()), (name, config)]))?;
    Ok(build_cloud)
}

/// Where OpenStack's own clients find their clouds.
fn clouds_file() -> PathBuf {
    if let Some(file) = std::env::var_os(CLOUDS_FILE) {
        return file.into();
    }
    let personal = std::env::var_os("XDG_CONFIG_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".config")));
    let places = [Some(PathBuf::from(".")), personal.map(|folder| folder.join("openstack"))];
    let files = places.into_iter().flatten().map(|folder| folder.join("clouds.yaml"));
    files.into_iter().find(|file| file.exists()).unwrap_or_else(|| "/etc/openstack/clouds.yaml".into())
}

/// The records of an image name in a cloud.
fn records(cloud: &str, name: &str) -> Result<Host, CliError> {
    let state = std::env::var_os("XDG_STATE_HOME")
        .map(PathBuf::from)
        .or_else(|| Some(Path::new(&std::env::var_os("HOME")?).join(".local/state")))
        .ok_or_else(|| CliError::Failed("set XDG_STATE_HOME or HOME: records are stored below it".into()))?;
    let digest = hex(&Sha256::digest(format!("{cloud}\n{name}")));
    let name = format!("runner-image-builder-{}", &digest[..8]);
    let run = std::env::var_os("XDG_RUNTIME_DIR").map_or_else(std::env::temp_dir, PathBuf::from);
    Ok(Host::below(state.join(&name)).running_in(run.join(&name)))
}

/// What tells the images of these records from those that others build under the same name.
fn identity(host: &Host) -> Result<String, CliError> {
    let path = host.state_dir().join("identity");
    let _alone = Exclusive::acquire(&host.state_dir().join("identity.lock")).map_err(failed)?;
    if let Some(known) = host.read(&path).map_err(failed)? {
        return Ok(String::from_utf8_lossy(&known).trim().to_owned());
    }
    let new = random_uuid();
    host.write(&path, format!("{new}\n").as_bytes(), 0o600).map_err(failed)?;
    Ok(new)
}

fn token(host: &Host, file: Option<&Path>) -> Result<Option<Secret<String>>, CliError> {
    let Some(file) = file else { return Ok(None) };
    let bytes = host.read(file).map_err(failed)?;
    let text = bytes.map(|bytes| String::from_utf8_lossy(&bytes).trim().to_owned());
    let token = text.filter(|text| !text.is_empty()).map(Secret::new);
    token.map(Some).ok_or_else(|| CliError::Usage(format!("{} contains no token", file.display())))
}

/// Tells of each phase that the journal has while `work` goes on.
fn follow<T>(host: &Host, say: &dyn Fn(&str), work: impl FnOnce() -> T + Send) -> T
where
    T: Send,
{
    let ended = AtomicBool::new(false);
    std::thread::scope(|scope| {
        let working = scope.spawn(|| {
            let result = work();
            ended.store(true, Ordering::Release);
            result
        });
        let mut said = String::new();
        while !working.is_finished() && !ended.load(Ordering::Acquire) {
            let job = Journal::load(host).ok().and_then(|journal| journal.running().cloned());
            for build in job.iter().flat_map(|job| &job.builds) {
                let line = format!("{}: {}", build.target, describe(&build.phase));
                if line != said {
                    say(&line);
                    said = line;
                }
            }
            std::thread::sleep(LOOK);
        }
        working.join().unwrap_or_else(|panic| std::panic::resume_unwind(panic))
    })
}

fn failed(error: impl std::error::Error) -> CliError {
    CliError::Failed(error.to_string())
}
