//! What happens when all goes well, from the first status to the removal.

use std::fs;
use std::time::{Duration, Instant};

use runner_image_builder::host::Host;
use serde_json::json;

use super::{BUILD_PROJECT, CONSUMERS, Environment, HISTORY, IMAGE, Scenario, builder_keys, project_of};
use crate::deployed::{SCRIPT_SECRET, all_succeeded, wait_for};

/// How long a removal may take.
const REMOVAL: Duration = Duration::from_secs(120);

impl<E: Environment> Scenario<E> {
    pub fn says_what_is_missing(&self) {
        let status = self.environment.status();
        assert!(status.starts_with("blocked: Please supply all OpenStack configurations."), "{status}");
        for option in ["openstack-auth-url", "openstack-project-name", "openstack-password-secret"] {
            assert!(status.contains(option), "{status}");
        }
    }

    pub fn asks_for_a_relation(&self) {
        let options = self.environment.options();
        let (script, secret) = (self.environment.serve_script("setup.sh"), self.environment.script_secret());
        let history = HISTORY.to_string();
        let more = [
            ("script-url", script.as_str()),
            ("script-secret-id", &secret),
            ("revision-history-limit", &history),
        ];
        let options = options.iter().map(|(name, value)| (*name, value.as_str()));
        self.environment.set_options(&options.chain(more).collect::<Vec<_>>());
        assert_eq!(self.environment.status(), "blocked: image integration required.");
    }

    /// Returns how long config-changed took.
    pub fn serves_config_while_building(&mut self) -> Duration {
        for consumer in CONSUMERS {
            self.relations.push(self.environment.integrate(consumer));
        }
        let host = Host::below(self.environment.machine());
        self.keys = wait_for("a connection to the builder VM", self.environment.patience(), || {
            builder_keys(&host.run_dir())
        });
        let status = self.environment.status();
        assert!(status.starts_with("maintenance: Building noble-x64: "), "{status}");
        let job = || self.environment.journal().job.map(|job| job.id);
        let (before, started) = (job(), Instant::now());
        self.environment.set_options(&[("build-interval", "3")]);
        let took = started.elapsed();
        let cron = fs::read_to_string(host.path("/etc/cron.d/build-runner-image")).expect("cron's file");
        assert!(cron.contains("3600 \\% 3 "), "{cron}");
        assert_eq!(job(), before, "the build goes on");
        took
    }

    pub fn delivers_to_every_project(&mut self) {
        wait_for("an image in every databag", self.environment.patience(), || {
            let status = self.environment.status();
            assert!(!status.contains("failed"), "{status}");
            self.published().iter().all(Option::is_some).then_some(())
        });
        for (relation, consumer) in self.relations.iter().zip(CONSUMERS) {
            let told = |key| self.environment.told(relation, key).unwrap_or_default();
            let id = told("id");
            let image = self.environment.image(&project_of(consumer), &id);
            let image = image.unwrap_or_else(|| panic!("{id} is not in {consumer}'s project"));
            assert_eq!((image.name.as_str(), image.status.as_str()), (IMAGE, "active"));
            assert_eq!(image.properties["architecture"], "x86_64");
            assert_eq!(told("tags"), "x64,noble");
            let images: serde_json::Value = serde_json::from_str(&told("images")).expect("JSON");
            assert_eq!(images, json!([{"id": id, "tags": "x64,noble"}]));
        }
        assert_eq!(self.environment.job_ended().failures, []);
        let status = self.environment.status();
        assert!(status.starts_with("active: noble-x64 "), "{status}");
        self.note_revision();
    }

    pub fn the_image_keeps_no_secret(&self) {
        let (project, id) = (project_of(CONSUMERS[0]), self.revisions.last().expect("a revision"));
        let secret = self.environment.find_in_image(&project, id, &[SCRIPT_SECRET.to_owned()], true);
        assert_eq!(secret, None, "the script's secret");
        let traces = [&self.environment.surroundings()[..], &self.keys].concat();
        assert_eq!(self.environment.find_in_image(&project, id, &traces, false), None, "of the build");
    }

    pub fn does_nothing_twice(&self) {
        let first = self.environment.journal().job.map(|job| job.id);
        // A consumer may be launching machines meanwhile.
        let all =
            || (self.environment.inventory(BUILD_PROJECT), CONSUMERS.map(|consumer| self.images(consumer)));
        let before = all();
        let started = Instant::now();
        self.environment.look_for_work();
        let job = wait_for("the scheduled job", self.environment.patience(), || {
            self.environment
                .journal()
                .job
                .filter(|job| job.finished.is_some() && Some(&job.id) != first.as_ref())
        });
        assert_eq!(job.failures, []);
        self.environment.job_ended();
        println!("    looked for work in {} s", started.elapsed().as_secs());
        assert_eq!(all(), before);
        assert_eq!(self.published().first(), Some(&self.revisions.last().cloned()));
    }

    pub fn prunes_the_oldest(&mut self) {
        let action =
            self.environment.unit().run_action("run", json!({"force": true, "wait": true})).expect("action");
        assert_eq!(action.message, "", "{action:?}");
        assert!(!action.log.is_empty(), "progress in the action's log");
        assert_eq!(self.environment.job_ended().failures, []);
        self.note_revision();
        assert!(self.revisions.len() > HISTORY);
        let wanted = self.revisions.iter().rev().take(HISTORY).chain([&self.foreign]);
        assert_eq!(self.images(CONSUMERS[0]), wanted.cloned().collect(), "of {:?}", self.revisions);
        assert_eq!(self.images(CONSUMERS[1]).len(), HISTORY);
        self.no_leftovers();
    }

    pub fn is_removed(&self) {
        let started = Instant::now();
        all_succeeded(&self.environment.app().remove().expect("removal"));
        assert!(started.elapsed() < REMOVAL, "took {:?}", started.elapsed());
        assert_eq!(self.environment.inventory(BUILD_PROJECT), self.before[0], "the build project");
        let left: Vec<_> =
            walk(&self.environment.machine()).into_iter().filter(|path| path.is_file()).collect();
        assert!(left.is_empty(), "{left:?}");
        let processes = self.environment.model().processes();
        assert!(processes.is_empty(), "{processes:?}");
        for consumer in CONSUMERS {
            let ours = self.images(consumer).into_iter().filter(|id| *id != self.foreign);
            let ours: Vec<String> = ours.collect();
            assert_eq!(ours.len(), self.revisions.len().min(HISTORY), "published images stay");
            ours.iter().for_each(|id| self.environment.remove_image(&project_of(consumer), id));
        }
    }
}

fn walk(folder: &std::path::Path) -> Vec<std::path::PathBuf> {
    let entries = fs::read_dir(folder).into_iter().flatten().flatten().map(|entry| entry.path());
    entries.flat_map(|path| if path.is_dir() { walk(&path) } else { vec![path] }).collect()
}
