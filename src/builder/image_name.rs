//! The names of images.

use crate::target::Target;

/// The names of images (seed `builder`: `IMAGE_NAME_TMPL`); see [`image_name`].
pub const IMAGE_NAME_TMPL: &str = "{application}-{base}-{arch}";

/// The name of an application's image of a target.
pub fn image_name(application: &str, target: Target) -> String {
    IMAGE_NAME_TMPL
        .replace("{application}", application)
        .replace("{base}", target.base.as_str())
        .replace("{arch}", target.arch.as_str())
}
