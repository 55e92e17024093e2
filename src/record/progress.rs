//! What a run tells while it works.

use super::journal::Image;
use super::journal::build_state::Phase;
use super::journal::evidence::Revision;
use super::resource::Resource;
use super::run_config::{BuilderRunConfig, CloudName};
use crate::model::Target;
use crate::openstack_cloud::ProjectId;
use crate::record::file::RecordError;

/// Hears of a run's progress, from several threads, and writes it down.
pub trait Progress: Sync {
    /// A target is in this phase now.
    fn phase(&self, target: Target, phase: Phase);
    /// A target's phase takes longer than it should, for this reason as far as is known.
    fn hampered(&self, _target: Target, _reason: &str) {}
    /// Something is about to be made for a target; if this cannot be written down, it must not be made.
    fn makes(&self, target: Target, resource: &Resource) -> Result<(), RecordError>;
    /// It is there.
    fn made(&self, target: Target, resource: &Resource);
    /// It is gone, or published.
    fn settled(&self, target: Target, resource: &Resource);
    /// Nothing of earlier runs is left in this cloud but what this run goes on with.
    fn swept(&self, cloud: &CloudName);
    /// All clouds that answer were searched for what earlier runs have left, and nothing had to stay.
    fn searched(&self);
    /// This run has left something that is not noted: the next one is to sweep, however soon it comes.
    fn sweep_again(&self);
    /// The run is about to make things in this cloud, `what` above all; if this cannot be written down, it must not.
    fn works_in(&self, cloud: &CloudName, what: Vec<String>) -> Result<(), RecordError>;
    /// Nothing is left in a cloud that is not used any more.
    fn has_left(&self, cloud: &CloudName);
    /// Something had to stay there: `what`, where that is known, and why.
    fn could_not_leave(&self, cloud: &CloudName, what: Option<Vec<String>>, why: Option<String>);
    /// A build is finished, or more is known of it.
    fn revision(&self, revision: &Revision);
    /// Whether somebody waits for the end of this run: there is a newer request.
    fn is_waited_for(&self) -> bool;
    /// An image that stood in its cloud before is taken over. It is told there as long as no other is known.
    fn adopted(&self, image: Image);
    /// Images may be shared with `project`, which `cloud` leads to; if this cannot be written down, none must be.
    fn joins(&self, cloud: &CloudName, project: &ProjectId) -> Result<(), RecordError>;
    /// Nothing is shared any more with projects that no relation of `config` leads to.
    fn former_members_have_left(&self, config: &BuilderRunConfig);
    /// This run has delivered `image` itself, and uploaded so many bytes for it: 0 where it is shared. It is published next.
    fn sent(&self, _image: &Image, _bytes: u64) {}
    /// An image is active and checked in its cloud.
    fn published(&self, image: Image);
}
