//! `dispatch`: the charm's executable. Without arguments it is a hook; with arguments it is a command line.

use std::error::Error;
use std::ffi::OsString;
use std::fmt::Display;
use std::io::Write;
use std::path::PathBuf;
use std::process::ExitCode;

use runner_image_builder::charm::{Event, Unit};
use runner_image_builder::cli::jobs::Jobs;
use runner_image_builder::cli::jobs_view::JobsView;
use runner_image_builder::cli::{self, Arguments, Command, Format, metrics};
use runner_image_builder::host::{Host, LogFile, dump_no_core};
use runner_image_builder::instance::DEFAULT_RECIPE;
use runner_image_builder::juju::{Environment, JujuLog, ProcessTools};
use runner_image_builder::model::{self, printable_lines, shown};
use runner_image_builder::worker;

fn main() -> ExitCode {
    // What is in our memory stays there: passwords and tokens.
    dump_no_core();
    let words: Vec<OsString> = std::env::args_os().collect();
    match words.get(1..).unwrap_or_default() {
        // The most frequent call by far, and one that costs: no word is parsed for it.
        [] => hook(),
        // By hooks alone, where systemd limits the worker's memory.
        [limited, work] if limited == "--limited" && work == "work" => {
            beside_hooks(worker::worker_log, worker::work_externally)
        }
        _ => match Arguments::parse_from(words) {
            Ok(arguments) => command(&arguments.command),
            Err(error) => explained(&error),
        },
    }
}

fn command(command: &Command) -> ExitCode {
    match command {
        Command::Jobs(words) if words.json => jobs(serde_json::to_string_pretty),
        Command::Jobs(words) if words.output.format == Format::Json => {
            jobs(|jobs| serde_json::to_string_pretty(&JobsView::of(jobs)))
        }
        Command::Jobs(_) => jobs(|jobs| Ok(jobs.to_string())),
        Command::Cancel => by_hand("cancel", cli::cancel),
        Command::ListImages(output) => {
            by_hand("list-images", |host, say| cli::list_images(host, *output, say))
        }
        Command::ShowImage(words) => by_hand("show-image", |host, say| cli::show_image(host, words, say)),
        Command::DiffImages(words) => by_hand("diff-images", |host, say| cli::diff_images(host, words, say)),
        Command::Verify(words) => {
            by_hand("verify", |host, say| cli::verify(host, words, std::io::stdin(), say))
        }
        Command::ShowPublicKey => by_hand("show-public-key", cli::show_public_key),
        Command::History(output) => by_hand("history", |host, say| cli::history(host, *output, say)),
        Command::Pin(words) => by_hand("pin", |host, say| cli::pin(host, words, say)),
        Command::Unpin(words) => by_hand("unpin", |host, say| cli::unpin(host, words, say)),
        Command::Revoke(words) => by_hand("revoke", |host, say| cli::revoke(host, words, say)),
        Command::CleanUp(words) => by_hand("clean-up", |host, say| cli::clean_up(host, words, say)),
        Command::Check(words) => by_hand("check", |host, say| cli::check(host, words, say)),
        Command::Recipe => print(DEFAULT_RECIPE),
        Command::LocalBuild(words) => by_hand("local-build", |host, say| cli::local_build(host, words, say)),
        Command::BuildImage(words) => {
            by_hand("build-image", |host, say| cli::build_image(host, words, std::io::stdin(), say))
        }
        Command::Instance { operation, options } => {
            by_hand("instance", |host, say| cli::instance(host, *operation, options, say))
        }
        Command::Run(words) => by_hand("run", |_, say| cli::run(words, say)),
        Command::LatestBuildId(words) => {
            by_hand("latest-build-id", |_, say| cli::latest_build_id(words, say))
        }
        Command::Init(words) => by_hand("init", |_, _| cli::init(words)),
        Command::Metrics => match metrics::metrics(&Host::from_environment()) {
            Ok(text) => print(&text),
            Err(error) => failed(&error),
        },
        Command::Work => beside_hooks(worker::worker_log, worker::work),
        Command::Launch => beside_hooks(worker::launcher_log, worker::launch),
        Command::AnswerCollector => {
            match metrics::answer_collector(&Host::from_environment(), std::io::stdin(), std::io::stdout()) {
                Ok(()) => ExitCode::SUCCESS,
                Err(error) => failed(&error),
            }
        }
    }
}

/// Prints help, the version, or what is wrong with the words.
fn explained(error: &clap::Error) -> ExitCode {
    let text = error.render().to_string();
    if error.use_stderr() {
        eprintln!("{}", printable_lines(text.trim_end()));
        return ExitCode::from(2);
    }
    print(&text)
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
    // A document may have several lines.
    let say = |text: &str| {
        for line in text.lines() {
            // Whoever does not listen any more still wants it done.
            let _ = writeln!(std::io::stdout(), "{}", shown(line));
        }
    };
    match work(&Host::from_environment(), &say) {
        Ok(()) => ExitCode::SUCCESS,
        Err(error) => {
            eprintln!("dispatch {name}: {}", shown(&error.to_string()));
            ExitCode::FAILURE
        }
    }
}
