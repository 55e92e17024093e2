//! What only the real cloud shows: what the kernel sees, and machines that boot.

use std::collections::BTreeSet;
use std::process::{Child, Command, Stdio};

use serde_json::Value;

use crate::charm::{Charm, SCRIPT_SECRET, script};
use crate::deployed::Deployed;
use crate::scenario::inventory::Inventory;
use crate::scenario::{BUILD_PROJECT, CONSUMERS, Scenario, project_of};

impl Scenario<Charm> {
    pub fn no_secret_in_any_exec(&self) {
        let lines = self.environment.trace.lines();
        let programs: BTreeSet<&str> =
            lines.iter().filter_map(|line| line.split("execve(\"").nth(1)?.split('"').next()).collect();
        for program in ["ssh", "gpgv", "ssh-keygen", "dpkg-query", "juju-exec"] {
            assert!(
                programs.iter().any(|path| path.ends_with(program)),
                "the trace has no {program}: {programs:?}"
            );
        }
        let projects = [BUILD_PROJECT.to_owned()].into_iter().chain(CONSUMERS.map(project_of));
        let passwords =
            projects.map(|project| self.environment.project(&project).auth("password").to_owned());
        let others = [SCRIPT_SECRET, self.environment.credential_secret()].map(str::to_owned);
        for secret in passwords.chain(others) {
            let told = lines.iter().find(|line| line.contains(&secret));
            assert!(told.is_none(), "a secret in {told:?}");
        }
        let of_juju = lines.iter().find(|line| line.contains("\"JUJU_CONTEXT_ID="));
        assert!(of_juju.is_none(), "a worker inside a hook's context: {of_juju:?}");
    }

    /// A boot takes minutes: it goes on while the next scenario are told, until [`Machine::was_complete`].
    pub fn a_consumer_launches_a_machine(&self) -> Machine {
        let image = self.revisions.last().expect("a revision");
        let shown = self.environment.unit().exec(&format!("./dispatch show-image {image} --format json"));
        let shown = shown.expect("show-image").stdout;
        let look = Command::new(script("boot-image.sh"))
            .args([CONSUMERS[0], image])
            .env("SCRIPT_SECRET", SCRIPT_SECRET)
            .env("BUILDER_HOST_KEY", &self.keys[1])
            .stdout(Stdio::piped())
            .stderr(Stdio::piped())
            .spawn();
        let shown = serde_json::from_str(&shown).unwrap_or_else(|error| panic!("{error} in {shown}"));
        Machine { look: look.expect("boot-image.sh"), shown }
    }

    pub fn launches_no_runner_without_room(&self) {
        crate::runner::comes_to_nothing(
            &self.environment,
            self.environment.project(&project_of(CONSUMERS[1])),
        );
    }

    pub fn launches_a_runner(&self) {
        crate::runner::lives_and_ends(&self.environment, self.environment.project(&project_of(CONSUMERS[1])));
    }

    pub fn refuses_an_image_that_does_not_boot(&mut self) {
        // As long as a good machine may need on a busy one.
        let status = self.image_is_refused("hanging-boot.sh", &[("boot-timeout", "400")]);
        assert!(status.contains("verifying the image: booting: "), "{status}");
    }
}

/// A consumer's machine, of a published image.
pub struct Machine {
    /// boot-image.sh, which boots it and looks.
    look: Child,
    /// What the charm says is in its image.
    shown: Value,
}

impl Machine {
    pub fn was_complete(self) {
        let output = self.look.wait_with_output().expect("boot-image.sh");
        let told = String::from_utf8_lossy(&output.stdout).into_owned();
        assert!(output.status.success(), "{told}{}", String::from_utf8_lossy(&output.stderr));
        let fact = |name: &str| {
            let value = told.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix('='));
            value.unwrap_or_else(|| panic!("no {name} in {told}")).to_owned()
        };
        assert_eq!(fact("runner"), "2.337.1");
        assert_eq!(fact("packages"), "complete");
        assert!(fact("docker").starts_with("Server: "));
        assert_eq!(fact("yarn"), "1.22.22");
        assert_eq!(fact("yq"), "mikefarah/yq version v4.54.1");
        assert_eq!(fact("sysctl"), "bbr");
        assert_eq!(fact("script"), fact("script-expected"), "the script ran with its secret");
        assert_eq!(fact("groups"), "docker lxd microk8s sudo");
        assert_eq!(fact("runner-home"), "/home/ubuntu");
        assert_eq!(fact("machine-id").len(), 32);
        assert_eq!(fact("host-keys"), "own");
        assert_eq!(fact("sources"), "restored");
        let differs = Inventory::read(&told).differs_from(&self.shown);
        assert_eq!(differs, [] as [&str; 0], "what the machine has, and what its image's manifest says");
    }
}
