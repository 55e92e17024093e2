//! An application credential of the build project's user: what the charm authenticates with.

use serde_json::Value;

use crate::cloud::Project;

/// An application credential with the role that is enough. It is deleted when it is dropped.
pub struct ApplicationCredential {
    pub id: String,
    pub secret: String,
    project: Project,
}

impl ApplicationCredential {
    /// One more of this user, for its project.
    pub fn of(project: &Project) -> Self {
        // Names are unique, and a cloud that is kept may have one of an earlier test.
        let name = format!("image-builder-{}", std::process::id());
        let made = project.json(&["application", "credential", "create", "--role", "member", &name]);
        let field = |wanted: &str| {
            let fields = made.as_object().expect("an object").iter();
            let mut values =
                fields.filter(|(key, _)| key.eq_ignore_ascii_case(wanted)).map(|(_, value)| value);
            values
                .next()
                .and_then(Value::as_str)
                .unwrap_or_else(|| panic!("no {wanted} in {made}"))
                .to_owned()
        };
        Self { id: field("id"), secret: field("secret"), project: project.clone() }
    }
}

impl Drop for ApplicationCredential {
    fn drop(&mut self) {
        if let Err(error) = self.project.try_client(&["application", "credential", "delete", &self.id]) {
            eprintln!("application credential {} stays: {error}", self.id);
        }
    }
}
