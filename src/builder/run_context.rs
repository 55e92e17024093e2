//! What a run works with beside its configuration.

use crate::builder::clouds::connect::Connections;
use crate::host::Host;
use crate::model::BaseImage;
use crate::record::{BuildSecrets, JobId, Known, Orphans, Progress, Rebuild};

/// Whether a run begins with a sweep.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Sweep {
    /// Something is left, or it is time to look.
    Due,
    /// Nothing is left, as far as the journal knows.
    NotDue,
}

/// What a run works with beside its configuration.
pub struct RunContext<'a> {
    /// The machine that we run on.
    pub host: &'a Host,
    /// The job's id.
    pub job: &'a JobId,
    /// The secrets of the run.
    pub secrets: &'a BuildSecrets,
    /// Whether to build what is up to date.
    pub rebuild: Rebuild,
    /// Jobs that this one goes on with: what they have built counts as built by it.
    pub continues: &'a [JobId],
    /// Whether the clouds are first to be searched for what earlier runs have left.
    pub sweep: Sweep,
    /// Clouds that are not used any more and may hold something of ours.
    pub former: &'a [Orphans],
    /// What earlier jobs have built and delivered, and what they have left.
    pub known: &'a Known,
    /// The clouds that the job has been let into.
    pub connections: &'a Connections,
    /// Only these bases; all when empty.
    pub bases: &'a [BaseImage],
    /// Who hears of it.
    pub progress: &'a dyn Progress,
}
