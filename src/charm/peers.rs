//! The peer relation: the leader announces its images in the application's databag; every unit says in its own which
//! images its relations name, and which announcement it has dealt with. So no unit prunes what another names.

use std::collections::BTreeSet;

use super::event::{Event, PEER_ENDPOINT};
use super::reconcile::{self, ReconcileError};
use super::state::CharmState;
use crate::host::Host;
use crate::juju::{Databag, Environment, HookToolError, HookTools, RelationId};
use crate::model::Timestamp;
use crate::record::{self, Announcement, Image, Journal, Levers, Own, Peer, Peers, Request};

/// The keys of the application's databag: the announced images, and the evidence for the builds that they are copies of.
const IMAGES: &str = "images";
const BUILDS: &str = "builds";
/// What operators have pinned and revoked.
const LEVERS: &str = "levers";
/// The keys of a unit's databag: the digest of the announcement that it has dealt with, and the images that its
/// relations name.
const ACKNOWLEDGED: &str = "acknowledged";
const NAMES: &str = "names";

/// Notes that `event` has passed unheeded, if it was one of the peer relation.
pub fn missed(host: &Host, event: &Event) -> Result<(), ReconcileError> {
    match event {
        Event::Peers | Event::LeaderElected => Ok(Peers::forget(host)?),
        _ => Ok(()),
    }
}

/// What a unit talks to its peers with, and about.
pub struct Exchange<'a> {
    /// The machine.
    pub host: &'a Host,
    /// How to talk to Juju.
    pub tools: &'a dyn HookTools,
    /// What Juju says of the unit.
    pub environment: &'a Environment,
    /// What is wanted.
    pub state: &'a CharmState,
    /// What there is.
    pub journal: &'a Journal,
}

impl Exchange<'_> {
    /// Hears the other units, where `event` says that there is something to hear, and tells them what is new here;
    /// `named` are the images that relations of this unit name. Returns what the leader announces and this unit wants
    /// and does not have.
    pub fn with_peers(&self, event: &Event, named: &BTreeSet<String>) -> Result<Vec<Image>, ReconcileError> {
        let mut peers = Peers::load(self.host)?;
        let leads = self.state.leader;
        let is_another_role =
            peers.relation.is_none() || peers.leads != leads || *event == Event::LeaderElected;
        if is_another_role {
            // Another may have led, and written, since.
            peers.application_databag = Own::default();
        }
        let is_news = is_another_role || *event == Event::Peers;
        peers.leads = leads;
        let news = match self.relation(&mut peers)? {
            None => Vec::new(),
            Some(relation) if leads => {
                if is_another_role {
                    self.hear_announcement(&mut peers, &relation)?;
                }
                if is_news {
                    self.hear_units(&mut peers, &relation)?;
                } else if !peers.units.is_empty() {
                    // Juju does not always tell of a unit that has gone.
                    peers.keep_living(&self.tools.goal_state_units()?);
                }
                self.announce(&mut peers, &relation, named)?;
                Vec::new()
            }
            Some(relation) => {
                if is_news {
                    self.hear_leader(&mut peers, &relation)?;
                }
                self.follow(&mut peers, &relation, named)?
            }
        };
        peers.save(self.host)?;
        Ok(news)
    }

    /// The peer relation: one for the application's whole life, from a moment after its installation on.
    fn relation(&self, peers: &mut Peers) -> Result<Option<RelationId>, HookToolError> {
        if let Some(known) = peers.relation.as_deref().and_then(RelationId::parse) {
            return Ok(Some(known));
        }
        let relation = self.tools.relation_ids(PEER_ENDPOINT)?.into_iter().next();
        peers.relation = relation.as_ref().map(ToString::to_string);
        Ok(relation)
    }

    fn hear_units(&self, peers: &mut Peers, relation: &RelationId) -> Result<(), HookToolError> {
        peers.units.clear();
        let listed = self.tools.relation_list(relation)?;
        if listed.is_empty() {
            return Ok(());
        }
        let goals = self.tools.goal_state_units()?;
        // The databag of a unit that has gone need not be readable.
        for unit in listed.iter().filter(|unit| goals.contains_key(unit.as_str())) {
            let databag = self.tools.relation_get(relation, unit)?;
            let text = |key: &str| databag.get(key).map(String::as_str).unwrap_or_default();
            // A unit that has said nothing, or nothing that we understand, has acknowledged nothing.
            let names = serde_json::from_str(text(NAMES)).ok();
            let acknowledged = text(ACKNOWLEDGED).to_owned();
            let peer = names.map(|names| Peer { acknowledged, names, leaves: false });
            peers.units.insert(unit.to_string(), peer.unwrap_or_default());
        }
        peers.keep_living(&goals);
        Ok(())
    }

    fn announce(
        &self,
        peers: &mut Peers,
        relation: &RelationId,
        named: &BTreeSet<String>,
    ) -> Result<(), HookToolError> {
        let names = self.state.former_names();
        let inherited =
            peers.announcement().map(|said| said.renewed(&names).allowed_by(&self.journal.levers));
        let worked_since = peers.heard.is_some_and(|heard| self.journal.has_built_since(heard));
        if inherited.as_ref().is_some_and(|said| {
            said.is_inherited_by(self.journal, &self.state.run)
                && (worked_since || said.revisions_are_in(self.journal))
        }) {
            (peers.announcement, peers.builds) = (None, None);
        }
        let announcement = Announcement::of(self.journal, inherited.as_ref(), &self.state.run, &names);
        peers.announced = announcement.digest();
        let is_alone = peers.units.is_empty();
        let has_nothing = announcement.is_empty() && self.journal.levers.serial == 0;
        if is_alone && has_nothing && peers.application_databag.written.is_none() {
            return Ok(());
        }
        // Also while nobody hears it: whoever leads next has the evidence from there.
        let mut said = Databag::from([
            (IMAGES.to_owned(), announcement.text().to_owned()),
            (BUILDS.to_owned(), announcement.builds().to_owned()),
        ]);
        let levers = &self.journal.levers;
        said.extend((levers.serial > 0).then(|| (LEVERS.to_owned(), levers.text())));
        tell(
            &mut peers.application_databag,
            said,
            || self.tools.relation_get_application(relation, self.environment.unit.application()),
            |databag| self.tools.relation_set_application(relation, databag),
        )?;
        if is_alone {
            return Ok(());
        }
        self.tell_of_ourselves(peers, relation, announcement.digest(), named)
    }

    /// What the leader announces; for a leader, what the one before it did.
    fn hear_announcement(&self, peers: &mut Peers, relation: &RelationId) -> Result<(), ReconcileError> {
        let application = self.environment.unit.application();
        let mut said = self.tools.relation_get_application(relation, application)?;
        (peers.announcement, peers.builds) = (said.remove(IMAGES), said.remove(BUILDS));
        peers.heard = Some(Timestamp::now());
        said.get(LEVERS).map_or(Ok(()), |levers| Ok(Levers::hear(self.host, levers)?))
    }

    fn hear_leader(&self, peers: &mut Peers, relation: &RelationId) -> Result<(), ReconcileError> {
        peers.units.clear();
        self.hear_announcement(peers, relation)
    }

    fn follow(
        &self,
        peers: &mut Peers,
        relation: &RelationId,
        named: &BTreeSet<String>,
    ) -> Result<Vec<Image>, ReconcileError> {
        let Some(announcement) = peers.announcement() else {
            if peers.announcement.is_some() {
                log::warn!(
                    "the leader announces images in the format of another version; ignored until this unit has that version"
                );
            }
            return Ok(Vec::new());
        };
        let news = announcement.news(self.journal, &self.state.run, &self.state.former_names());
        let last = Request::load(self.host)?;
        let is_open = last.as_ref().is_some_and(|last| reconcile::is_open(last, self.journal));
        let was_tried = !is_open && last.is_some_and(|last| reconcile::is_about(&last, &news));
        // A worker that is still at an older announcement, or at a build, may yet add what this one does not name.
        let is_busy = is_open && record::worker_lives(self.host)?;
        let acknowledged = if !is_busy && (news.is_empty() || was_tried) {
            announcement.digest()
        } else {
            let before = peers.unit_databag.written.as_ref().and_then(|databag| databag.get(ACKNOWLEDGED));
            before.cloned().unwrap_or_default()
        };
        self.tell_of_ourselves(peers, relation, acknowledged, named)?;
        Ok(news)
    }

    fn tell_of_ourselves(
        &self,
        peers: &mut Peers,
        relation: &RelationId,
        acknowledged: String,
        named: &BTreeSet<String>,
    ) -> Result<(), HookToolError> {
        // A set of strings always serialises.
        let names = serde_json::to_string(named).unwrap_or_default();
        tell(
            &mut peers.unit_databag,
            Databag::from([(ACKNOWLEDGED.to_owned(), acknowledged), (NAMES.to_owned(), names)]),
            || self.tools.relation_get(relation, &self.environment.unit),
            |databag| self.tools.relation_set(relation, databag),
        )
    }
}

/// Brings a databag of ours to `wanted`, and makes sure in the next hook that it took effect.
fn tell(
    own: &mut Own,
    wanted: Databag,
    read: impl FnOnce() -> Result<Databag, HookToolError>,
    write: impl FnOnce(&Databag) -> Result<(), HookToolError>,
) -> Result<(), HookToolError> {
    let is_written = own.written.as_ref() == Some(&wanted);
    if is_written && !own.confirmed {
        let present = read()?;
        // A value that was written empty is absent.
        own.confirmed =
            wanted.iter().all(|(key, value)| present.get(key).map_or("", String::as_str) == value);
    }
    if !(is_written && own.confirmed) {
        write(&wanted)?;
        *own = Own { written: Some(wanted), confirmed: false };
    }
    Ok(())
}
