//! Clouds by the names that earlier revisions of the charm have given them: a readable part and 32 bits of a digest, the same
//! name for all who brought the same identity. Journal, databags.json and the leader's announcements may have been written
//! with such names, by a worker that was at work when the charm was refreshed, or by a unit that was not refreshed yet. Here
//! they become the names of now, and the other way round.

use crate::record::{BuilderRunConfig, CloudName, Image, Journal, ResourceKind, Work};

/// The former names of the clouds of a configuration.
#[derive(Clone, Debug, Default)]
pub struct FormerNames {
    build: Option<Pair>,
    /// In the order of the relations.
    related: Vec<Pair>,
}

#[derive(Clone, Debug)]
struct Pair {
    former: CloudName,
    now: CloudName,
}

impl FormerNames {
    /// Those of the clouds that `config` names, as far as `former` knows them.
    pub fn of(config: &BuilderRunConfig, former: impl Fn(&CloudName) -> Option<CloudName>) -> Self {
        let pair = |now: &CloudName| Some(Pair { former: former(now)?, now: now.clone() });
        Self { build: pair(&config.build_cloud), related: config.clouds.iter().filter_map(pair).collect() }
    }

    /// Whether a cloud of now had this name.
    pub fn is_known(&self, former: &CloudName) -> bool {
        self.build.iter().chain(&self.related).any(|pair| pair.former == *former)
    }

    /// Has `journal` name all clouds as they are named now.
    pub fn renew(&self, journal: &mut Journal) {
        journal.images = self.renewed(std::mem::take(&mut journal.images));
        for known in &mut journal.in_use {
            known.cloud = self.delivered_to(&known.cloud);
        }
        for standing in &mut journal.standings {
            let failures = standing.open.iter_mut().flat_map(|open| &mut open.failures);
            let clouds = failures.filter_map(|failure| failure.cloud.as_mut());
            for cloud in clouds.chain(standing.cloud.as_mut()) {
                *cloud = self.delivered_to(cloud);
            }
        }
        let failures = journal.job.iter_mut().flat_map(|job| &mut job.failures);
        for cloud in failures.filter_map(|failure| failure.cloud.as_mut()) {
            *cloud = self.delivered_to(cloud);
        }
        for resource in
            journal.job.iter_mut().flat_map(|job| &mut job.builds).flat_map(|build| &mut build.resources)
        {
            resource.cloud = match resource.kind {
                ResourceKind::Copy => self.delivered_to(&resource.cloud),
                _ => self.built_in(&resource.cloud),
            };
        }
        for mut known in std::mem::take(&mut journal.orphans) {
            known.cloud = match known.work {
                Work::Deliveries => self.delivered_to(&known.cloud),
                Work::Builds => self.built_in(&known.cloud),
            };
            match journal.orphans.iter_mut().find(|other| other.cloud == known.cloud) {
                Some(other) => other.what.extend(known.what),
                None => journal.orphans.push(known),
            }
        }
    }

    /// `images`, each of a cloud as it is named now: of all relations that brought its identity. What was written under the
    /// name of now is newer.
    pub fn renewed(&self, images: Vec<Image>) -> Vec<Image> {
        let (former, mut renewed): (Vec<Image>, Vec<Image>) = images
            .into_iter()
            .partition(|image| self.related_as(&image.result.config.cloud_name).next().is_some());
        for image in former {
            for now in self.related_as(&image.result.config.cloud_name) {
                add(&mut renewed, &image, now);
            }
        }
        renewed
    }

    /// `images`, and the same under the names by which units that were not refreshed yet know their clouds.
    /// Such units compare an image with its `hash`: what is known of it is what `digest` says.
    pub fn with_former(
        &self,
        mut images: Vec<Image>,
        digest: impl Fn(&Image) -> Option<String>,
    ) -> Vec<Image> {
        let now = images.clone();
        for Pair { former, now: name } in &self.related {
            for image in now.iter().filter(|image| image.result.config.cloud_name == *name) {
                let hash = image.hash.clone().or_else(|| digest(image));
                add(&mut images, &Image { hash, ..image.clone() }, former);
            }
        }
        images
    }

    fn related_as<'a>(&'a self, former: &CloudName) -> impl Iterator<Item = &'a CloudName> {
        self.related.iter().filter(move |pair| pair.former == *former).map(|pair| &pair.now)
    }

    fn delivered_to(&self, name: &CloudName) -> CloudName {
        self.related_as(name).next().cloned().unwrap_or_else(|| self.built_in(name))
    }

    fn built_in(&self, name: &CloudName) -> CloudName {
        self.build
            .iter()
            .find(|pair| pair.former == *name)
            .map_or_else(|| name.clone(), |pair| pair.now.clone())
    }
}

/// Adds `image` as one of `cloud`, unless that has one of its target.
fn add(images: &mut Vec<Image>, image: &Image, cloud: &CloudName) {
    let mut image = image.clone();
    image.result.config.cloud_name = cloud.clone();
    if images.iter().all(|known| known.result.config != image.result.config) {
        images.push(image);
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::builder::{Clouds, cloud_name, former_cloud_name, former_names, related_cloud_name};
    use crate::model::{Arch, BaseImage, Secret, Timestamp};
    use crate::openstack_cloud::{CloudConfig, Interface};
    use crate::record::{BuildConfig, BuildResult};

    fn config(project: &str) -> CloudConfig {
        CloudConfig {
            auth_url: "https://keystone:5000".into(),
            region_name: None,
            interface: Interface::Public,
            ca_certificate: None,
            project_name: project.into(),
            project_domain_name: "Default".into(),
            user_domain_name: "Default".into(),
            username: "me".into(),
            application_credential: None,
            password: Secret::default(),
        }
    }

    fn image(id: &str, cloud: &CloudName) -> Image {
        let config = BuildConfig { base: BaseImage::Noble, arch: Arch::X64, cloud_name: cloud.clone() };
        let result = BuildResult { config, id: id.parse().unwrap() };
        Image { result, fingerprint: String::new(), hash: None, revision: None, built: Timestamp(1) }
    }

    /// Two relations to one project, which is also built in, and a third elsewhere.
    fn scene() -> (FormerNames, [CloudName; 3], CloudName) {
        let related = [("ci", "image:2"), ("ci", "image:10"), ("other", "image:3")];
        let related =
            related.map(|(project, id)| (related_cloud_name(&config(project), id), config(project)));
        let build = (cloud_name(&config("ci")), config("ci"));
        let mut run = crate::testing::run_config();
        run.clouds = related.iter().map(|(name, _)| name.clone()).collect();
        run.build_cloud = build.0.clone();
        let clouds: Clouds = related.iter().chain([&build]).cloned().collect();
        (former_names(&clouds, &run), related.map(|(name, _)| name), build.0)
    }

    #[test]
    fn images_are_those_of_all_who_brought_the_same_and_what_is_newer_stays() {
        let (names, [second, tenth, third], _) = scene();
        let former = former_cloud_name(&config("ci"));
        let unknown = CloudName::new("gone-00000000");
        let images = vec![image("old", &former), image("new", &tenth), image("x", &unknown)];
        let renewed = names.renewed(images);
        let told = |cloud: &CloudName| -> Vec<String> {
            let of_it = renewed.iter().filter(|image| image.result.config.cloud_name == *cloud);
            of_it.map(|image| image.result.id.to_string()).collect()
        };
        assert_eq!(
            [&second, &tenth, &third, &unknown, &former].map(told),
            [vec!["old"], vec!["new"], vec![], vec!["x"], vec![]]
        );
        let both = names.with_former(renewed.clone(), |_| Some("digest".into()));
        assert_eq!(both.len(), renewed.len() + 1, "of each former name there is one image");
        assert_eq!(both.last().and_then(|image| image.hash.as_deref()), Some("digest"));
        assert_eq!(names.renewed(both), renewed);
    }

    #[test]
    fn what_was_left_is_where_it_was_built_or_delivered() {
        let (names, [second, ..], build) = scene();
        let former = former_cloud_name(&config("ci"));
        let mut journal = Journal::default();
        journal.works_in(&build, ["VM v".to_owned()]);
        journal.works_in(&former, ["base image b".to_owned()]);
        journal.is_in_use(&former, &"i".parse().unwrap(), String::new());
        names.renew(&mut journal);
        assert_eq!(journal.orphans.len(), 1);
        assert!(journal.was_built_in(&build) && journal.orphans[0].what.len() == 2);
        assert_eq!(journal.in_use[0].cloud, second);
    }
}
