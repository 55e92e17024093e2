//! `dispatch`: the charm's executable. Without arguments it is a hook; with arguments it is a command line.

use std::error::Error;
use std::fmt::Display;
use std::io::Write;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use runner_image_builder::charm::{Event, Unit};
use runner_image_builder::cli::jobs::Jobs;
use runner_image_builder::cli::{self, metrics};
use runner_image_builder::host::{Host, LogFile, dump_no_core};
use runner_image_builder::instance::DEFAULT_RECIPE;
use runner_image_builder::juju::{Environment, JujuLog, ProcessTools};
use runner_image_builder::model::{self, printable_lines, shown};
use runner_image_builder::worker;

const HELP: &str = "\
dispatch            run as a hook; started by the Juju agent
dispatch jobs       show what is asked for, what runs, what came of it; with --json for programs
dispatch cancel     stop the job that runs or waits, at once, and remove what it has made; needs root
dispatch work       do the requests that hooks have left; started by a hook, safe to start by hand
dispatch launch     launch the runners that actions have asked for, remove those that have expired; as above
dispatch recipe     print the default recipe: what goes into an image
dispatch local-build TARGET FILE [OPTION=VALUE...]
                    build one image, such as noble-x64, on this machine and put it to FILE (qcow2); needs root;
                    the options and their defaults are the charm's, from config.yaml, but no secrets
dispatch build-image CLOUD PATH TARGET [OPTION=VALUE...]
                    the same with the runner that GitHub offers to PATH (ORGANISATION or OWNER/REPOSITORY), uploaded to
                    CLOUD of clouds.yaml (the charm's, or OS_CLIENT_CONFIG_FILE) in the place of the one before; prints
                    the image's id; a token for GitHub is read from standard input
dispatch instance setup|warmup|wait OPTION...
                    make a machine a builder, over ssh or this one; the options are in docs/operating.md
dispatch metrics    the unit's metrics, in the text format of Prometheus
dispatch help       this text
dispatch --version  the version
";

fn main() -> ExitCode {
    // What is in our memory stays there: passwords and tokens.
    dump_no_core();
    let arguments: Vec<String> = std::env::args().skip(1).collect();
    match arguments.iter().map(String::as_str).collect::<Vec<_>>().as_slice() {
        [] => hook(),
        ["work"] => beside_hooks(worker::worker_log, worker::work),
        // By hooks alone, where systemd limits the worker's memory.
        ["--limited", "work"] => beside_hooks(worker::worker_log, worker::work_externally),
        ["launch"] => beside_hooks(worker::launcher_log, worker::launch),
        ["jobs"] => jobs(|jobs| Ok(jobs.to_string())),
        ["jobs", "--json"] => jobs(serde_json::to_string_pretty),
        ["cancel"] => by_hand("cancel", cli::cancel),
        ["recipe"] => print(DEFAULT_RECIPE),
        ["local-build", target, file, settings @ ..] => {
            by_hand("local-build", |host, say| cli::local_build(host, target, Path::new(file), settings, say))
        }
        ["build-image", cloud, path, target, settings @ ..] => by_hand("build-image", |host, say| {
            cli::build_image(host, [cloud, path, target], settings, std::io::stdin(), say)
        }),
        ["instance", operation, words @ ..] => {
            by_hand("instance", |host, say| cli::instance(host, operation, words, say))
        }
        ["metrics"] => match metrics::metrics(&Host::from_environment()) {
            Ok(text) => print(&text),
            Err(error) => failed(&error),
        },
        // By the metrics' socket alone, with a connection as standard input and output.
        ["answer-collector"] => {
            match metrics::answer_collector(&Host::from_environment(), std::io::stdin(), std::io::stdout()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            }
        }
        ["help" | "--help" | "-h"] => print(HELP),
        ["--version"] => print(env!("CARGO_PKG_VERSION")),
        _ => {
            eprint!("dispatch: unknown arguments\n{HELP}");
            ExitCode::from(2)
        }
    }
}

fn failed(error: &dyn Display) -> ExitCode {
    eprintln!("{}", shown(&error.to_string()));
    ExitCode::FAILURE
}

fn print(text: &str) -> ExitCode {
    match writeln!(std::io::stdout(), "{}", printable_lines(text.trim_end())) {
        Ok(()) => ExitCode::SUCCESS,
        Err(_) => ExitCode::FAILURE,
    }
}

fn jobs(format: impl FnOnce(&Jobs) -> serde_json::Result<String>) -> ExitCode {
    let jobs = Jobs::load(&Host::from_environment()).map_err(|error| error.to_string());
    match jobs.and_then(|jobs| format(&jobs).map_err(|error| error.to_string())) {
        Ok(text) => print(&text),
        Err(error) => failed(&error),
    }
}

fn hook() -> ExitCode {
    let environment = match Environment::from_process() {
        Ok(environment) => environment,
        Err(error) => return failed(&error),
    };
    let logger = JujuLog::install();
    let (host, tools) = (Host::from_environment(), ProcessTools);
    let event = Event::from_environment(&environment);
    let result = Unit { host: &host, environment: &environment, tools: &tools }.dispatch(&event);
    if let Err(error) = &result {
        log::error!("event {event} failed: {error}");
    }
    if let Some(logger) = logger {
        logger.flush_to(&tools);
    }
    if result.is_ok() { ExitCode::SUCCESS } else { ExitCode::FAILURE }
}

/// Does what hooks have left to be done, and logs it to a file.
fn beside_hooks<E: Error>(log_file: fn(&Host) -> PathBuf, work: fn(&Host) -> Result<(), E>) -> ExitCode {
    let host = Host::from_environment();
    if let Err(error) = host.own_folders() {
        return failed(&error);
    }
    match LogFile::open(&host, &log_file(&host)) {
        Ok(file) => env_logger::Builder::new()
            .filter_level(log::LevelFilter::Debug)
            .filter_module("ureq", log::LevelFilter::Warn)
            .filter_module("ureq_proto", log::LevelFilter::Warn)
            .filter_module("rustls", log::LevelFilter::Warn)
            .format(|out, record| {
                let now = model::Timestamp::now();
                writeln!(out, "{now} {:5} {}", record.level(), shown(&record.args().to_string()))
            })
            .target(env_logger::Target::Pipe(Box::new(file)))
            .init(),
        Err(error) => eprintln!("{}", shown(&error.to_string())),
    }
    match work(&host) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            log::error!("{error}");
            failed(&error)
        }
    }
}

/// Does what somebody asked for on the command line, and tells of it on standard output.
fn by_hand(name: &str, work: impl FnOnce(&Host, &dyn Fn(&str)) -> Result<(), cli::CliError>) -> ExitCode {
    env_logger::Builder::new()
        .filter_level(log::LevelFilter::Warn)
        .format(|out, record| writeln!(out, "{}", shown(&record.args().to_string())))
        .init();
    let say = |line: &str| {
        // Whoever does not listen any more still wants it done.
        let _ = writeln!(std::io::stdout(), "{}", shown(line));
    };
    match work(&Host::from_environment(), &say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dispatch {name}: {}", shown(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}
