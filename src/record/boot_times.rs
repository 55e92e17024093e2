//! How long a machine of an image took to boot, as the VM that verified it has said. Nothing is decided by it.

use std::fmt;

use serde::{Deserialize, Serialize};

/// The times of one boot, in milliseconds; absent what the machine did not say, or said in a way that makes no sense.
#[derive(Clone, Debug, Default, PartialEq, Eq, Serialize, Deserialize)]
pub struct BootTimes {
    /// From the start of the kernel to the start of userspace; the initial RAM disk is part of it.
    #[serde(default)]
    pub kernel_ms: Option<u64>,
    /// From the start of userspace until systemd has started all that belongs to the boot.
    #[serde(default)]
    pub userspace_ms: Option<u64>,
    /// The stages of cloud-init together, which run within userspace.
    #[serde(default)]
    pub cloud_init_ms: Option<u64>,
    /// From the first start of the runner application, `Runner.Listener --version`, to its first line. It does not
    /// register and reaches no server.
    #[serde(default)]
    pub runner_start_ms: Option<u64>,
}

impl BootTimes {
    /// From the start of the kernel until systemd has started all that belongs to the boot.
    pub fn total_ms(&self) -> Option<u64> {
        Some(self.kernel_ms?.saturating_add(self.userspace_ms?))
    }

    /// What is known, by name: `kernel`, `userspace`, `cloud-init` and `runner-start`.
    pub fn known(&self) -> impl Iterator<Item = (&'static str, u64)> {
        let Self { kernel_ms, userspace_ms, cloud_init_ms, runner_start_ms } = *self;
        let named = [
            ("kernel", kernel_ms),
            ("userspace", userspace_ms),
            ("cloud-init", cloud_init_ms),
            ("runner-start", runner_start_ms),
        ];
        named.into_iter().filter_map(|(name, time)| Some((name, time?)))
    }

    /// The times, unless nothing is known.
    pub fn if_any(self) -> Option<Self> {
        (self != Self::default()).then_some(self)
    }
}

/// `kernel 2.1 s, userspace 11.9 s, cloud-init 3.1 s, runner-start 0.6 s`
impl fmt::Display for BootTimes {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let known: Vec<String> =
            self.known().map(|(name, time)| format!("{name} {}", Seconds(time))).collect();
        f.write_str(&if known.is_empty() { "unknown".to_owned() } else { known.join(", ") })
    }
}

/// So many milliseconds as people read them, `14.2 s`.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub struct Seconds(pub u64);

impl Seconds {
    /// As programs read them, `14.154`.
    pub fn exact(self) -> String {
        format!("{}.{:03}", self.0 / 1000, self.0 % 1000)
    }
}

impl fmt::Display for Seconds {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}.{} s", self.0 / 1000, self.0 % 1000 / 100)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_known_is_named_and_what_is_not_is_left_out() {
        let times = BootTimes { kernel_ms: Some(2114), runner_start_ms: Some(60), ..BootTimes::default() };
        assert_eq!(times.to_string(), "kernel 2.1 s, runner-start 0.0 s");
        assert_eq!(times.total_ms(), None, "a part is no whole");
        let whole = BootTimes { userspace_ms: Some(12_040), ..times };
        assert_eq!(whole.total_ms().map(|time| Seconds(time).exact()), Some("14.154".to_owned()));
        assert_eq!(
            (BootTimes::default().to_string().as_str(), BootTimes::default().if_any()),
            ("unknown", None)
        );
    }
}
