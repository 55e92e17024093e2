//! Charms that the client names: an archive or an unpacked folder, brought to the controller as it is now.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use super::{Controller, Refusal, refused};
use crate::fixture::copy_folder;

impl Controller<'_> {
    /// Brings a charm, and returns the folder in which it lies unpacked.
    pub(super) fn bring(&self, charm: &Path) -> Result<PathBuf, Refusal> {
        let number = {
            let mut charms = crate::lock(&self.charms);
            *charms += 1;
            *charms
        };
        let folder = self.fixture.directory().join("charms").join(number.to_string());
        let shown = charm.display();
        let metadata =
            fs::metadata(charm).map_err(|_| refused(format!("file for charm \"{shown}\" not found")))?;
        let failed = |why: String| refused(format!("cannot deploy \"{shown}\": {why}"));
        if metadata.is_dir() {
            copy_folder(charm, &folder).map_err(|error| failed(error.to_string()))?;
        } else {
            let file = File::open(charm).map_err(|error| failed(error.to_string()))?;
            let archive = zip::ZipArchive::new(file).and_then(|mut archive| archive.extract(&folder));
            archive.map_err(|error| failed(format!("not a valid charm archive: {error}")))?;
        }
        if folder.join("metadata.yaml").is_file() {
            return Ok(folder);
        }
        Err(failed("charm has no metadata.yaml".into()))
    }
}
