//! The image relation, interface `github_runner_image_v0`: the cloud that a related application wants its images
//! in, and the databag in which it finds them.

pub mod remembered;
pub mod said;

use serde::{Deserialize, Serialize};

use self::said::Said;
use crate::builder::{former_name, project_digest};
use crate::juju::{Databag, HookToolError, HookTools, RelationId, UnitName};
use crate::model::Target;
use crate::openstack_cloud::{CloudConfig, ImageId};
use crate::record::{CloudName, Image, Journal, Levers, Published};

/// The keys that we write.
const KEYS: [&str; 3] = ["id", "tags", "images"];

/// A relation whose remote side has told us its cloud.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct ImageRelation {
    /// The name in clouds.yaml of the cloud as this relation brought it.
    pub cloud: CloudName,
    /// How to reach it.
    pub config: CloudConfig,
    /// The related application, where it is known.
    pub application: Option<String>,
}

impl ImageRelation {
    /// The cloud that a remote unit's databag in `relation` tells of; `None` when a field is missing or cannot be one.
    pub fn of(relation: &RelationId, databag: &Databag) -> Option<Self> {
        match Said::of(relation, databag) {
            Said::Usable(relation) => Some(*relation),
            Said::Refused(_) | Said::Incomplete => None,
        }
    }

    /// Whether the cloud stands in clouds.yaml under this name, or did so in an earlier revision of the charm.
    pub fn is_named(&self, name: &CloudName) -> bool {
        self.cloud == *name || former_name(&self.cloud, &self.config) == *name
    }
}

/// An image as consumers read it from the key `images`.
#[derive(Serialize, Deserialize)]
struct Listed {
    id: ImageId,
    tags: String,
}

/// What the relation's databag should say: the images of its cloud, in the order of `targets`; `id` and `tags` are
/// those of the first target, absent as long as that has no image. What it tells now of a target, `told`, stays as long as
/// the journal knows none. `None` when the cloud has no image at all.
pub fn databag(journal: &Journal, cloud: &CloudName, targets: &[Target], told: &Databag) -> Option<Databag> {
    let mut told = listed_in(told);
    told.retain(|listed| journal.levers.revocation(&listed.id).is_none());
    let image = |target: &Target| {
        let known = journal.image(*target, cloud).map(|Image { result, .. }| &result.id);
        known.or_else(|| told.iter().find(|listed| listed.tags == target.tags()).map(|listed| &listed.id))
    };
    let listed: Vec<Listed> = targets
        .iter()
        .filter_map(|target| Some(Listed { id: image(target)?.clone(), tags: target.tags() }))
        .collect();
    if listed.is_empty() {
        return None;
    }
    let mut databag = Databag::from([("images".into(), serde_json::to_string(&listed).unwrap_or_default())]);
    if let Some(first) = targets.first()
        && let Some(id) = image(first)
    {
        databag.insert("id".into(), id.to_string());
        databag.insert("tags".into(), first.tags());
    }
    Some(databag)
}

/// Whether a databag names an image that was revoked.
pub fn names_revoked(levers: &Levers, told: &Databag) -> bool {
    listed_in(told).iter().any(|listed| levers.revocation(&listed.id).is_some())
}

/// What a databag tells, for a log: `image 5d1f... (x64,noble)`.
fn images_in(databag: &Databag) -> String {
    let images = listed_in(databag).into_iter().map(|Listed { id, tags }| format!("image {id} ({tags})"));
    let images: Vec<String> = images.collect();
    if images.is_empty() { "no image".to_owned() } else { images.join(", ") }
}

fn listed_in(databag: &Databag) -> Vec<Listed> {
    databag.get("images").and_then(|images| serde_json::from_str(images).ok()).unwrap_or_default()
}

/// Brings this unit's databag of `relation` to what is `wanted` after what it tells now; leaves the last good images in place
/// while there are no new ones, unless they are in another cloud than the relation is about now. `published` remembers
/// what stands where.
pub fn publish(
    tools: &dyn HookTools,
    published: &mut Published,
    unit: &UnitName,
    relation: &RelationId,
    ImageRelation { cloud, config, .. }: &ImageRelation,
    wanted: impl Fn(&Databag) -> Option<Databag>,
) -> Result<(), HookToolError> {
    let memory = published.relation(relation.as_str());
    memory.renew(&former_name(cloud, config), cloud);
    memory.is_about(cloud, &project_digest(config));
    let read = || {
        let mut databag = tools.relation_get(relation, unit)?;
        databag.retain(|key, _| KEYS.contains(&key.as_str()));
        Ok::<_, HookToolError>(databag)
    };
    if memory.last().is_none() {
        memory.was_read(read()?);
    }
    let told = memory.last().filter(|_| !memory.is_of_another_cloud(cloud)).cloned().unwrap_or_default();
    let wanted = wanted(&told);
    let present = match memory.trusted() {
        Some(databag) => Some(databag.clone()),
        None if memory.is_superseded_by(wanted.as_ref()) => None,
        None => {
            let databag = read()?;
            memory.was_read(databag.clone());
            Some(databag)
        }
    };
    let wanted = match wanted {
        Some(wanted) => wanted,
        None if memory.is_of_another_cloud(cloud) => Databag::new(),
        None => return Ok(()),
    };
    if let (Some(before), Some(now)) = (told.get("tags"), wanted.get("tags"))
        && before != now
    {
        log::warn!(
            "relation {relation}: id now names an image of {now} instead of {before}: the first base in base-image has changed"
        );
    }
    if present.is_some_and(|present| present == wanted) {
        memory.belongs_to(cloud);
    } else {
        // An empty value removes its key.
        let mut change: Databag = KEYS.map(|key| (key.to_owned(), String::new())).into();
        change.extend(wanted.clone());
        tools.relation_set(relation, &change)?;
        log::info!("relation {relation}: published {}", images_in(&wanted));
        memory.was_written(cloud, wanted);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::model::{Arch, BaseImage, Timestamp};
    use crate::record::{BuildConfig, BuildResult};

    const NOBLE: Target = Target { base: BaseImage::Noble, arch: Arch::X64 };
    const JAMMY: Target = Target { base: BaseImage::Jammy, arch: Arch::Arm64 };

    fn journal(images: &[(&str, Target, &str)]) -> Journal {
        let mut journal = Journal::default();
        for (id, target, cloud) in images {
            let config =
                BuildConfig { base: target.base, arch: target.arch, cloud_name: CloudName::new(*cloud) };
            let result = BuildResult { config, id: id.parse().unwrap() };
            journal.publish(Image {
                result,
                fingerprint: String::new(),
                hash: None,
                revision: None,
                built: Timestamp(1),
            });
        }
        journal
    }

    #[test]
    fn a_databag_lists_the_images_of_its_cloud_in_the_operators_order() {
        let journal = journal(&[("n", NOBLE, "here"), ("j", JAMMY, "here"), ("x", NOBLE, "there")]);
        let expected = Databag::from([
            ("id".into(), "j".into()),
            ("tags".into(), "arm64,jammy".into()),
            ("images".into(), r#"[{"id":"j","tags":"arm64,jammy"},{"id":"n","tags":"x64,noble"}]"#.into()),
        ]);
        assert_eq!(
            databag(&journal, &CloudName::new("here"), &[JAMMY, NOBLE], &Databag::new()),
            Some(expected)
        );
    }

    #[test]
    fn what_is_told_of_a_target_stays_while_the_journal_knows_none() {
        let whole = journal(&[("n", NOBLE, "here"), ("j", JAMMY, "here")]);
        let told = databag(&whole, &CloudName::new("here"), &[NOBLE, JAMMY], &Databag::new()).unwrap();
        let part = journal(&[("j2", JAMMY, "here")]);
        let databag = databag(&part, &CloudName::new("here"), &[NOBLE, JAMMY], &told).unwrap();
        assert_eq!(databag["id"], "n");
        let expected = r#"[{"id":"n","tags":"x64,noble"},{"id":"j2","tags":"arm64,jammy"}]"#;
        assert_eq!(databag["images"], expected);
    }

    #[test]
    fn id_and_tags_are_absent_while_the_first_target_has_no_image() {
        let journal = journal(&[("n", NOBLE, "here")]);
        let databag = databag(&journal, &CloudName::new("here"), &[JAMMY, NOBLE], &Databag::new()).unwrap();
        assert_eq!(databag.keys().collect::<Vec<_>>(), ["images"]);
    }

    #[test]
    fn a_cloud_without_any_wanted_image_has_nothing_to_say() {
        let journal = journal(&[("n", NOBLE, "here")]);
        let none = Databag::new();
        assert_eq!(databag(&journal, &CloudName::new("there"), &[NOBLE], &none), None);
        assert_eq!(databag(&journal, &CloudName::new("here"), &[JAMMY], &none), None);
        assert_eq!(databag(&journal, &CloudName::new("here"), &[], &none), None);
    }

    /// Whatever another application writes: its cloud is not used, or clouds.yaml says exactly that, and nothing else.
    #[test]
    fn no_databag_changes_more_than_its_own_entry() {
        let hostile = [
            "x",
            "",
            " ",
            "\0",
            "a\nb: c",
            "---",
            "'",
            "\"}",
            "{}",
            "&a *a",
            "!!str",
            "\u{202e}",
            "../..",
            "null",
            "~",
            "https://k/v3",
            "http://",
            "https://[::1",
            "file:///etc/shadow",
        ];
        let id = RelationId::parse("image:1234567").unwrap();
        let mut random = crate::testing::Random::seeded(0xdb_a6);
        let mut used = 0;
        for _ in 0..1000 {
            let mut text = || -> String {
                let long = if random.below(40) == 0 { "x".repeat(70_000) } else { String::new() };
                let words = 1 + random.below(2);
                (0..words).map(|_| random.one(&hostile)).collect::<String>() + &long
            };
            let names = [
                "password",
                "project_domain_name",
                "project_name",
                "user_domain_name",
                "username",
                "region_name",
                "ca_certificate",
            ];
            let mut databag = Databag::from(names.map(|name| (name.to_owned(), text())));
            databag.insert("auth_url".into(), format!("https://k/{}", text()));
            let Some(ImageRelation { cloud: name, config, .. }) = ImageRelation::of(&id, &databag) else {
                continue;
            };
            used += 1;
            let plain = |c: char| c.is_ascii_alphanumeric() || "-_.".contains(c);
            assert!(name.as_str().chars().all(plain) && name.as_str().len() <= 160, "{name}");
            let dir = tempfile::tempdir().unwrap();
            let host = crate::host::Host::below(dir.path());
            let clouds = crate::builder::Clouds::from([(name, config)]);
            crate::builder::install_clouds_yaml(&host, &clouds).unwrap();
            assert_eq!(crate::builder::read_clouds_yaml(&host).unwrap(), clouds);
        }
        assert!(used > 100, "only {used} were used: the others say nothing");
    }

    #[test]
    fn a_remote_unit_counts_only_with_every_field() {
        let names =
            ["auth_url", "password", "project_domain_name", "project_name", "user_domain_name", "username"];
        let mut complete = Databag::from(names.map(|name| (name.to_owned(), " x ".to_owned())));
        complete.insert("auth_url".into(), "https://k/v3".into());
        let id = RelationId::parse("image:3").unwrap();
        let config = ImageRelation::of(&id, &complete).unwrap().config;
        assert_eq!((config.username.as_str(), config.password.expose().as_str()), ("x", " x "));
        for name in names {
            let mut databag = complete.clone();
            databag.insert(name.into(), String::new());
            assert!(ImageRelation::of(&id, &databag).is_none(), "{name} empty");
            databag.remove(name);
            assert!(ImageRelation::of(&id, &databag).is_none(), "{name} absent");
        }
    }
}
