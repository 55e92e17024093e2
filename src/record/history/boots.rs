//! How long the last builds of each target took to boot, beside the last jobs, of which most build nothing: what a new build is
//! compared with.

use std::fmt;

use serde::{Deserialize, Serialize};

use crate::model::Target;
use crate::openstack_cloud::ImageId;
use crate::record::boot_times::Seconds;
use crate::record::journal::evidence::Revision;
use crate::record::run_config::BuilderRunConfig;

/// With how many builds before it one is compared at most.
const MANY: usize = 5;
/// And at least: the median of fewer is chance.
const FEW: usize = 3;
/// How much longer than the median is slow, in hundredths.
const SLOW: u64 = 120;

/// The last builds of a target that were booted.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boots {
    /// The target.
    pub target: Target,
    /// The builds, the oldest first: those that the newest is compared with, and it.
    #[serde(default)]
    pub builds: Vec<Boot>,
}

/// One of them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Boot {
    /// The build, by its id in the build project.
    pub build: ImageId,
    /// Kernel and userspace together, in milliseconds.
    pub total_ms: u64,
}

/// A build that took much longer to boot than those before it.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct SlowBoot {
    /// Kernel and userspace together, in milliseconds.
    pub total_ms: u64,
    /// The median of those before it.
    pub median_ms: u64,
    /// How many these were.
    pub builds: usize,
}

impl Boots {
    /// The median of the builds before `build`, in milliseconds, and how many they are; none of too few.
    pub fn median_before(&self, build: &ImageId) -> Option<(u64, usize)> {
        let place = self.builds.iter().position(|known| known.build == *build);
        let before = &self.builds[..place.unwrap_or(self.builds.len())];
        let before = &before[before.len().saturating_sub(MANY)..];
        let mut times: Vec<u64> = before.iter().map(|boot| boot.total_ms).collect();
        times.sort_unstable();
        let (count, middle) = (times.len(), times.len() / 2);
        let median = match times.get(middle)? {
            upper if count % 2 == 1 => *upper,
            upper => times[middle - 1].midpoint(*upper),
        };
        (count >= FEW).then_some((median, count))
    }

    /// Notes `build`, once. Whether it is slow.
    pub(super) fn note(all: &mut Vec<Self>, build: &Revision) -> Option<SlowBoot> {
        let total_ms = build.contents.as_ref()?.boot.as_ref()?.total_ms()?;
        let index = all.iter().position(|known| known.target == build.target).unwrap_or_else(|| {
            all.push(Self { target: build.target, builds: Vec::new() });
            all.len() - 1
        });
        let builds = &mut all[index].builds;
        if builds.iter().all(|known| known.build != build.id) {
            builds.push(Boot { build: build.id.clone(), total_ms });
            builds.drain(..builds.len().saturating_sub(MANY + 1));
        }
        let (median_ms, builds) = all[index].median_before(&build.id)?;
        let is_slow = total_ms.saturating_mul(100) > median_ms.saturating_mul(SLOW);
        is_slow.then_some(SlowBoot { total_ms, median_ms, builds })
    }

    /// Forgets targets that are configured no more.
    pub(super) fn keep(all: &mut Vec<Self>, config: &BuilderRunConfig) {
        all.retain(|known| config.targets.contains(&known.target));
    }
}

/// `boots in 31.2 s, 38 % slower than the last 5 builds (median 22.6 s)`
impl fmt::Display for SlowBoot {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self { total_ms, median_ms, builds } = self;
        let more = total_ms.saturating_sub(*median_ms).saturating_mul(100) / (*median_ms).max(1);
        let (total, median) = (Seconds(*total_ms), Seconds(*median_ms));
        write!(f, "boots in {total}, {more} % slower than the last {builds} builds (median {median})")
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::Timestamp;
    use crate::record::boot_times::BootTimes;
    use crate::record::journal::evidence::Contents;
    use crate::record::run_config::JobId;
    use crate::testing::run_config;

    fn build(number: u64, total_ms: u64) -> Revision {
        let boot = BootTimes { kernel_ms: Some(0), userspace_ms: Some(total_ms), ..BootTimes::default() };
        let contents = Contents {
            begun: None,
            runner: "1".into(),
            base_image: Timestamp(1),
            base_serial: None,
            manifest: None,
            boot: Some(boot),
            snapshot_format: None,
        };
        Revision {
            target: run_config().targets[0],
            id: format!("build-{number}").parse().unwrap(),
            job: JobId::random(),
            fingerprint: "f".into(),
            built: Timestamp(number),
            proof: None,
            failed_reads: 0,
            contents: Some(contents),
            copies: Vec::new(),
        }
    }

    /// What is said of the last of builds that take so many milliseconds.
    fn said(times: &[u64]) -> Option<String> {
        let (mut all, mut last) = (Vec::new(), None);
        for (number, total_ms) in (0..).zip(times) {
            last = Boots::note(&mut all, &build(number, *total_ms));
        }
        assert!(all[0].builds.len() <= 6, "{all:?}");
        last.map(|slow| slow.to_string())
    }

    #[test]
    fn a_build_is_slow_beside_the_median_of_the_five_before_it() {
        let five = [10_000, 10_000, 11_000, 90_000, 9000];
        let with = |last: u64| said(&[&five[..], &[last]].concat());
        assert_eq!(with(12_000), None, "20 % is not more than 20 %");
        let slow = "boots in 12.0 s, 20 % slower than the last 5 builds (median 10.0 s)";
        assert_eq!(with(12_010).as_deref(), Some(slow));
        let long_ago = [&[1, 1, 1, 1, 1, 1][..], &five, &[12_000]].concat();
        assert_eq!(said(&long_ago), None, "only five count");
        let four = said(&[10_000, 10_000, 12_000, 14_000, 20_000]);
        assert_eq!(
            four.as_deref(),
            Some("boots in 20.0 s, 81 % slower than the last 4 builds (median 11.0 s)")
        );
        assert_eq!((said(&[1, 1, 9]), said(&[9])), (None, None), "two before it are too few");
        assert_eq!(
            said(&[0, 0, 0, 1]).as_deref(),
            Some("boots in 0.0 s, 100 % slower than the last 3 builds (median 0.0 s)")
        );
    }

    #[test]
    fn a_build_that_is_noted_twice_is_compared_with_the_same() {
        let mut all = Vec::new();
        (0..3).for_each(|number| assert_eq!(Boots::note(&mut all, &build(number, 100)), None));
        let slow = Boots::note(&mut all, &build(3, 200));
        assert!(slow.is_some());
        assert_eq!(Boots::note(&mut all, &build(3, 200)), slow);
        assert_eq!(all[0].builds.len(), 4);
        let mut unknown = build(4, 1);
        unknown.contents = None;
        assert_eq!(Boots::note(&mut all, &unknown), None);
        let other = BuilderRunConfig { targets: Vec::new(), ..run_config() };
        Boots::keep(&mut all, &other);
        assert_eq!(all, []);
    }
}
