//! After what old images were last pruned: while the same is true, a job that has changed nothing leaves nothing to prune.

use std::time::Duration;

use serde::{Deserialize, Serialize};
use sha2::{Digest, Sha256};

use super::file::{RecordError, read_json_or_default, write_json};
use super::journal::{Image, Journal};
use super::relations::Told;
use super::run_config::BuilderRunConfig;
use crate::host::{FileError, Host};
use crate::model::{Timestamp, hex};

const FILE: &str = "pruned.json";

/// How long it is relied on: somebody else may have brought back what was pruned.
const AGE: Duration = Duration::from_secs(24 * 3600);

/// The last time that every cloud was pruned.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct Pruned {
    /// A digest of all that says what may go.
    of: String,
    /// When.
    at: Option<Timestamp>,
}

impl Pruned {
    /// Pruned now, by what `config` keeps, `told` names, and `journal` knows of images, builds and members.
    pub fn now(config: &BuilderRunConfig, told: &Told, journal: &Journal) -> Self {
        // What is found again is noted again, in the order of the answers.
        let mut images: Vec<String> = journal.images.iter().map(identity).collect();
        images.sort();
        let mut builds: Vec<&str> = journal.revisions.iter().map(|build| build.id.as_str()).collect();
        builds.sort();
        let Journal { memberships, in_use, .. } = journal;
        let basis = format!("{} {told:?} {images:?} {builds:?} {memberships:?} {in_use:?}", config.digest());
        Self { of: hex(&Sha256::digest(basis)), at: Some(Timestamp::now()) }
    }

    /// The last time that is known.
    pub fn load(host: &Host) -> Result<Self, FileError> {
        read_json_or_default(host, FILE)
    }

    /// Notes it.
    pub fn save(&self, host: &Host) -> Result<(), RecordError> {
        write_json(host, FILE, self)
    }

    /// Whether pruning `now` would do the same as this one.
    pub fn is_as(&self, now: &Self) -> bool {
        self.of == now.of && self.at.is_some_and(|at| at <= Timestamp::now() && at.age() < AGE)
    }
}

fn identity(image: &Image) -> String {
    let config = &image.result.config;
    format!("{} {} {} {:?}", config.cloud_name, image.target(), image.result.id, image.revision)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage};
    use crate::record::{BuildConfig, BuildResult, CloudName};

    fn image(cloud: &str, id: &str) -> Image {
        let config =
            BuildConfig { base: BaseImage::Noble, arch: Arch::X64, cloud_name: CloudName::new(cloud) };
        let result = BuildResult { config, id: id.parse().unwrap() };
        Image { result, fingerprint: String::new(), hash: None, revision: None, built: Timestamp(1) }
    }

    #[test]
    fn nothing_is_pruned_anew_while_all_that_says_what_may_go_is_the_same() {
        let dir = tempfile::tempdir().unwrap();
        let host = Host::below(dir.path());
        host.private_dir(&host.state_dir()).unwrap();
        let config = crate::testing::run_config();
        let told = Told::load(&host).unwrap();
        let mut journal = Journal { images: vec![image("a", "i"), image("b", "j")], ..Journal::default() };
        let pruned = Pruned::now(&config, &told, &journal);
        assert!(!Pruned::load(&host).unwrap().is_as(&pruned));
        pruned.save(&host).unwrap();
        let pruned = Pruned::load(&host).unwrap();
        journal.images.reverse();
        assert!(pruned.is_as(&Pruned::now(&config, &told, &journal)));
        let named = Told::load(&host).unwrap().with(["k".to_owned()]);
        assert!(!pruned.is_as(&Pruned::now(&config, &named, &journal)));
        let fewer = BuilderRunConfig { revision_history_limit: 1, ..config.clone() };
        assert!(!pruned.is_as(&Pruned::now(&fewer, &told, &journal)));
        journal.images.push(image("c", "k"));
        assert!(!pruned.is_as(&Pruned::now(&config, &told, &journal)));
    }

    #[test]
    fn after_a_day_and_after_a_clock_was_set_back_it_is_not_relied_on() {
        let now = Pruned { of: "d".into(), at: Some(Timestamp::now()) };
        let at = |seconds: u64| Pruned { at: Some(Timestamp(seconds)), ..now.clone() };
        assert!(at(now.at.unwrap().0 - 60).is_as(&now));
        for other in [at(now.at.unwrap().0 - 24 * 3600 - 1), at(now.at.unwrap().0 + 600), Pruned::default()] {
            assert!(!other.is_as(&now), "{other:?}");
        }
    }
}
