//! A cloud of somebody's own clouds.yaml, as they use it with other clients.

use std::collections::BTreeMap;
use std::path::Path;

use serde::Deserialize;

use super::clouds_yaml::{CloudsYamlError, Entry, config};
use crate::host::Host;
use crate::openstack_cloud::CloudConfig;
use crate::record::CloudName;

/// One cloud of a file that its owner has written for other clients. Its other entries may be whatever they are.
pub fn read_cloud(host: &Host, path: &Path, name: &CloudName) -> Result<CloudConfig, CloudsYamlError> {
    #[derive(Deserialize)]
    struct Whole {
        clouds: BTreeMap<String, serde_yaml::Value>,
    }
    let unusable = |problem: &str| CloudsYamlError::Unusable {
        path: path.display().to_string(),
        cloud: name.as_str().to_owned(),
        problem: problem.to_owned(),
    };
    let bytes = host.read(path)?.ok_or_else(|| unusable("no such file"))?;
    let whole: Whole =
        serde_yaml::from_slice(&bytes).map_err(|_| unusable("the file is not a clouds.yaml"))?;
    let entry = whole.clouds.get(name.as_str()).ok_or_else(|| unusable("no such cloud"))?;
    // The parser's own message may quote the password.
    let entry: Entry = serde_yaml::from_value(entry.clone()).map_err(|_| {
        unusable(
            "auth must have auth_url, username, password, project_name, user_domain_name and project_domain_name, or \
             an application credential with its ID",
        )
    })?;
    config(host, entry)
}
