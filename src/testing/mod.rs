//! What unit tests share: a plain configuration, and chance that can be repeated with the damage that it does
//! to what we read.

mod random;

pub use random::Random;

use std::collections::BTreeMap;

use crate::instance::DEFAULT_RECIPE;
use crate::model::{Arch, BaseImage, Target, Timestamp};
use crate::record::{
    BaseImageSource, BuildMode, BuilderRunConfig, BuilderVm, CloudName, Delivery, ImageFormat, JobId,
    LocalVerification, Owner, PreparedImages, Reason, Rebuild, RebuildOn, Request, RunnerSource,
    SecurityMirror, Task,
};

/// To build noble-x64 in `builders-1`, for nobody yet.
pub fn run_config() -> BuilderRunConfig {
    let text = |text: &str| text.to_owned();
    BuilderRunConfig {
        owner: Owner { model_uuid: text("m"), application: text("a"), unit: 0 },
        targets: vec![Target { base: BaseImage::Noble, arch: Arch::X64 }],
        build_cloud: CloudName::new("builders-1"),
        clouds: Vec::new(),
        build_mode: BuildMode::External,
        delivery: Delivery::Auto,
        image_format: ImageFormat::Auto,
        base_image: BaseImageSource { url: text("https://u"), keyring: text("/k"), pins: BTreeMap::new() },
        vm: BuilderVm {
            flavor: None,
            network: None,
            ssh_ingress: text("0.0.0.0/0"),
            ssh_options: Vec::new(),
            boot_timeout_s: 1200,
            apt_mirror: None,
        },
        recipe: DEFAULT_RECIPE.parse().unwrap(),
        runner: RunnerSource {
            version: None,
            source: text("https://g"),
            api_url: text("https://g"),
            scope: None,
        },
        script_url: None,
        script_secret: None,
        verify_image: true,
        verify_local_image: LocalVerification::Chroot,
        adopt: false,
        revision_history_limit: 5,
        max_image_age_hours: 24,
        prepared_images: PreparedImages::Kept,
        rebuild_on: RebuildOn::default(),
        security_mirror: SecurityMirror::default(),
    }
}

/// A hook's request to build all that `config` says.
pub fn request(config: BuilderRunConfig) -> Request {
    Request {
        id: JobId::random(),
        at: Timestamp::now(),
        reason: Reason::Schedule,
        task: Task::Build,
        rebuild: Rebuild::Due,
        bases: Vec::new(),
        unit_name: "a/0".to_owned(),
        config,
        has_secrets: false,
        continues: Vec::new(),
        new_credentials: Vec::new(),
    }
}
