//! What we know of the images that we have made: the digest of their bytes, computed while they passed through us. In a
//! related project nothing else counts, neither labels nor what its Glance says of itself.

use serde::{Deserialize, Serialize};

use crate::model::{Target, Timestamp};
use crate::openstack_cloud::{Image as CloudImage, ImageId, ImageStatus, ProjectId};
use crate::record::journal::build_state::Job;
use crate::record::journal::{Image, Journal};
use crate::record::levers::Choice;
use crate::record::relations::Announcement;
use crate::record::resource::Resource;
use crate::record::run_config::{BuildConfig, BuildResult, CloudName, JobId};

/// What Glance calls the algorithm of [`Proof::sha512`], which is also the one that it uses unless it is told otherwise.
const ALGORITHM: &str = "sha512";

/// How often in a row the build project may fail to give a build, before it is built anew.
pub const FAILED_READS: u32 = 3;

/// The digest and the number of an image's bytes, as we have read them.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Proof {
    /// SHA-512 in hexadecimal.
    pub sha512: String,
    /// The number of bytes.
    pub size: u64,
}

/// How what a Glance says of an image compares with what we know of its bytes.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Comparison {
    /// The same size and the same digest.
    Same,
    /// Another size or another digest.
    Different,
    /// The same size; the Glance names no digest that could be compared.
    Unknown,
}

impl Proof {
    /// Compares what a Glance says of `image`.
    pub fn compare(&self, image: &CloudImage) -> Comparison {
        if image.size != Some(self.size) {
            return Comparison::Different;
        }
        match sha512(image) {
            None => Comparison::Unknown,
            Some(digest) if digest == self.sha512 => Comparison::Same,
            Some(_) => Comparison::Different,
        }
    }

    /// Whether `image` can be named to consumers: active, in its own project, and nothing says that its bytes are others.
    pub fn holds_for(&self, image: &CloudImage, project: &ProjectId) -> bool {
        image.owner.as_ref() == Some(project) && self.holds(image)
    }

    /// The same, whoever owns it.
    pub fn holds(&self, image: &CloudImage) -> bool {
        image.status == ImageStatus::Active && self.compare(image) != Comparison::Different
    }
}

/// The SHA-512 that a Glance names, if that is what it computes.
pub fn sha512(image: &CloudImage) -> Option<&str> {
    image.hash.as_deref().filter(|_| image.hash_algorithm.as_deref() == Some(ALGORITHM))
}

/// A finished build of a target: an image of the build project, of which all copies are made.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Revision {
    /// The target.
    #[serde(flatten)]
    pub target: Target,
    /// Its id in the build project, by which copies name their origin.
    pub id: ImageId,
    /// The job that built it.
    pub job: JobId,
    /// A digest of what went into it.
    pub fingerprint: String,
    /// When it was built.
    pub built: Timestamp,
    /// What its bytes are; absent until all of them were read once.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub proof: Option<Proof>,
    /// How often the build project could not give them, since it did last.
    #[serde(default)]
    pub failed_reads: u32,
    /// What is inside; absent of a build that an earlier version has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub contents: Option<Contents>,
    /// The copies that this unit has published.
    #[serde(default, skip_serializing_if = "Vec::is_empty")]
    pub copies: Vec<Copy>,
}

/// What a build was made of, for people.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Contents {
    /// The version of the runner application.
    pub runner: String,
    /// When the list was signed that names its base image.
    pub base_image: Timestamp,
    /// The serial of its base image, as the image says it.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub base_serial: Option<String>,
    /// The SHA-256 of its manifest; absent of a build that an earlier version has made.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub manifest: Option<String>,
    /// The format that Nova gave its snapshot; absent of a build that was uploaded.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub snapshot_format: Option<String>,
}

/// A copy of a build in a related project.
#[derive(Clone, Debug, PartialEq, Eq, Serialize, Deserialize)]
pub struct Copy {
    /// The project.
    pub cloud: CloudName,
    /// Its id there.
    pub id: ImageId,
}

impl Revision {
    /// The image that is its copy in `cloud`.
    pub fn image(&self, cloud: &CloudName, id: ImageId) -> Image {
        let Target { base, arch } = self.target;
        Image {
            result: BuildResult { config: BuildConfig { base, arch, cloud_name: cloud.clone() }, id },
            fingerprint: self.fingerprint.clone(),
            hash: None,
            revision: Some(self.id.clone()),
            built: self.built,
        }
    }
}

/// What the journal knew when a job began.
#[derive(Clone, Debug, Default)]
pub struct Known {
    /// The finished builds.
    pub revisions: Vec<Revision>,
    /// The images that relations may name.
    pub images: Vec<Image>,
    /// What earlier jobs have made and neither removed nor published.
    pub noted: Vec<(Target, Resource)>,
    /// The builds that operators have chosen, for the projects that are to be served with them.
    pub choices: Vec<Choice>,
}

impl Known {
    /// As `journal` has it.
    pub fn of(journal: &Journal) -> Self {
        let builds = journal.job.iter().flat_map(|job| &job.builds);
        let noted =
            builds.flat_map(|build| build.resources.iter().map(|resource| (build.target, resource.clone())));
        let (revisions, images) = (journal.revisions.clone(), journal.images.clone());
        Self { revisions, images, noted: noted.collect(), choices: Vec::new() }
    }

    /// The image of `target` in `cloud`.
    pub fn image(&self, target: Target, cloud: &CloudName) -> Option<&Image> {
        self.images.iter().find(|image| image.is_of(target, cloud))
    }

    /// The builds of `target` that relations of `clouds` are told, each with the images that they are told of it.
    pub fn told(&self, target: Target, clouds: &[CloudName]) -> Vec<Choice> {
        let of_build = |build: &Revision| {
            let told = |cloud: &CloudName| {
                let image =
                    self.image(target, cloud).filter(|image| image.revision.as_ref() == Some(&build.id));
                image.map(|image| (cloud.clone(), Some(image.result.id.clone())))
            };
            let places: Vec<_> = clouds.iter().filter_map(told).collect();
            (!places.is_empty()).then(|| Choice { build: build.clone(), places })
        };
        self.revisions.iter().filter(|build| build.target == target).filter_map(of_build).collect()
    }
}

impl Journal {
    /// The build of this id.
    pub fn revision(&self, id: &ImageId) -> Option<&Revision> {
        self.revisions.iter().find(|revision| revision.id == *id)
    }

    /// The evidence for `image`; none for one that was delivered before evidence was kept.
    pub fn proof_of(&self, image: &Image) -> Option<&Proof> {
        self.revision(image.revision.as_ref()?)?.proof.as_ref()
    }

    /// The version of the runner in `image`; none for one that an earlier version has built.
    pub fn runner_of(&self, image: &Image) -> Option<&str> {
        let contents = self.revision(image.revision.as_ref()?)?.contents.as_ref()?;
        Some(&contents.runner)
    }

    /// Notes a build, or what has become known of it.
    pub fn note_revision(&mut self, mut revision: Revision) {
        // Whoever reads or delivers a build does not know of copies that were published meanwhile.
        for known in self.revisions.extract_if(.., |known| known.id == revision.id) {
            revision.contents = revision.contents.or(known.contents);
            revision.copies = known.copies;
        }
        self.revisions.push(revision);
    }

    /// Notes that `image` is published, so that it can be told again later.
    pub fn note_copy(&mut self, image: &Image) {
        let build = self.revisions.iter_mut().find(|build| Some(&build.id) == image.revision.as_ref());
        let cloud = &image.result.config.cloud_name;
        if let Some(build) = build {
            build.copies.retain(|copy| copy.cloud != *cloud);
            build.copies.push(Copy { cloud: cloud.clone(), id: image.result.id.clone() });
        }
    }

    /// An image is gone: it can be told no more.
    pub fn is_gone(&mut self, cloud: &CloudName, image: &ImageId) {
        self.pruned(cloud, image);
        let copies = self.revisions.iter_mut().map(|build| &mut build.copies);
        copies.for_each(|copies| copies.retain(|copy| (&copy.cloud, &copy.id) != (cloud, image)));
    }

    /// Forgets the builds that no relation is told of, except those that `stays` names.
    pub fn forget_revisions(&mut self, stays: impl Fn(&Revision) -> bool) {
        let images = &self.images;
        self.revisions.retain(|revision| {
            stays(revision) || images.iter().any(|image| image.revision.as_ref() == Some(&revision.id))
        });
    }

    /// Whether a job that was taken up at `moment` or later has ended and looked at targets: it has begun with what was
    /// [inherited](Self::inherit).
    pub fn has_built_since(&self, moment: Timestamp) -> bool {
        let is_it = |job: &Job| job.finished.is_some() && job.started >= moment && !job.builds.is_empty();
        self.job.as_ref().is_some_and(is_it)
    }

    /// Takes over what a leader before this one has announced and this journal lacks.
    pub fn inherit(&mut self, announcement: &Announcement) {
        for revision in announcement.revisions() {
            if self.revision(&revision.id).is_none() {
                self.revisions.push(revision.clone());
            }
        }
        for image in announcement.images() {
            let mut known = self.images.iter().filter(|known| known.result.config == image.result.config);
            if known.all(|known| known.built < image.built) {
                self.publish(image.clone());
            } else {
                self.note_copy(image);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn image(fields: serde_json::Value) -> CloudImage {
        let mut image = serde_json::json!({
            "id": "i", "status": "active", "visibility": "private", "owner": "p", "size": 3,
            "created_at": "2026-05-01T12:00:00Z", "os_hash_algo": "sha512", "os_hash_value": "ab",
        });
        for (name, value) in fields.as_object().unwrap() {
            image[name] = value.clone();
        }
        serde_json::from_value(image).unwrap()
    }

    #[test]
    fn an_image_has_our_bytes_by_its_size_and_by_the_digest_that_we_can_compare() {
        let proof = Proof { sha512: "ab".into(), size: 3 };
        for (fields, expected) in [
            (serde_json::json!({}), Comparison::Same),
            (serde_json::json!({"os_hash_value": "cd"}), Comparison::Different),
            (serde_json::json!({"size": 4}), Comparison::Different),
            (serde_json::json!({"size": null}), Comparison::Different),
            (serde_json::json!({"os_hash_algo": "md5"}), Comparison::Unknown),
            (serde_json::json!({"os_hash_value": null}), Comparison::Unknown),
            (serde_json::json!({"os_hash_algo": null, "size": 4}), Comparison::Different),
        ] {
            assert_eq!(proof.compare(&image(fields.clone())), expected, "{fields}");
        }
    }

    #[test]
    fn only_an_active_image_of_the_project_itself_is_named_to_it() {
        let proof = Proof { sha512: "ab".into(), size: 3 };
        let project: ProjectId = "p".parse().unwrap();
        assert!(proof.holds_for(&image(serde_json::json!({})), &project));
        for fields in [
            serde_json::json!({"status": "deactivated"}),
            serde_json::json!({"owner": "another"}),
            serde_json::json!({"owner": null}),
            serde_json::json!({"os_hash_value": "cd"}),
        ] {
            assert!(!proof.holds_for(&image(fields.clone()), &project), "{fields}");
        }
    }
}
