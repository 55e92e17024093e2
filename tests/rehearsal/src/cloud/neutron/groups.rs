//! Security groups.

use serde_json::{Value, json};

use super::filter;
use super::state::Group;
use super::{Answer, Call, Refusal};
use crate::lock;
use crate::servers::http::Response;

const ATTRIBUTES: [&str; 11] = [
    "id",
    "name",
    "description",
    "tenant_id",
    "project_id",
    "stateful",
    "shared",
    "revision_number",
    "created_at",
    "updated_at",
    "changed_since",
];

/// Everything below `/v2.0/security-groups`.
pub(super) fn route(call: Call<'_, '_>, rest: &[&str]) -> Answer {
    match (call.request.method.clone().as_str(), rest) {
        ("GET", []) => {
            let groups = lock(&call.region.networking).groups.clone();
            let mine = groups.iter().filter(|group| visible(&call, group));
            filter::answer(&call, "security_groups", mine.map(Group::render).collect(), &ATTRIBUTES)
        }
        ("POST", []) => create(call),
        ("GET", [id]) => Ok(show(&find(&call, id)?)),
        ("PUT", [id]) => update(call, id),
        ("DELETE", [id]) => delete(&call, id),
        _ => Err(Refusal::nowhere()),
    }
}

/// The caller's group of that id.
pub(super) fn find(call: &Call<'_, '_>, id: &str) -> Result<Group, Refusal> {
    let networking = lock(&call.region.networking);
    let found = networking.groups.iter().find(|group| group.id == id && visible(call, group)).cloned();
    found.ok_or_else(|| unknown(id))
}

/// That there is no such group.
pub(super) fn unknown(id: &str) -> Refusal {
    Refusal::new(404, "SecurityGroupNotFound", format!("Security group {id} does not exist"))
}

fn visible(call: &Call<'_, '_>, group: &Group) -> bool {
    call.caller.is_admin() || group.project == call.caller.project_id()
}

fn show(group: &Group) -> Response {
    Response::json(200, &json!({"security_group": group.render()}))
}

fn create(mut call: Call<'_, '_>) -> Answer {
    let wanted = call.body("security_group")?;
    attributes(&wanted, &["name", "description", "stateful", "tenant_id", "project_id"])?;
    let name = text(&wanted, "name")?.unwrap_or_default();
    if name == "default" {
        let message = "Default security group already exists.";
        return Err(Refusal::new(409, "SecurityGroupDefaultAlreadyExists", message));
    }
    let project = call.caller.project_id().to_owned();
    let mut networking = lock(&call.region.networking);
    let used = networking.groups.iter().filter(|group| group.project == project).count() as u64;
    if used >= call.core.setup.quota.security_groups {
        return Err(Refusal::new(409, "OverQuota", "Quota exceeded for resources: ['security_group']."));
    }
    let group = Group::new(&name, &text(&wanted, "description")?.unwrap_or_default(), &project);
    let document = json!({"security_group": group.render()});
    networking.groups.push(group);
    Ok(Response::json(201, &document))
}

fn update(mut call: Call<'_, '_>, id: &str) -> Answer {
    let wanted = call.body("security_group")?;
    attributes(&wanted, &["name", "description", "stateful"])?;
    let (name, description) = (text(&wanted, "name")?, text(&wanted, "description")?);
    let known = find(&call, id)?;
    if known.name == "default" && name.as_ref().is_some_and(|name| name != "default") {
        let message = "Updating default security group not allowed.";
        return Err(Refusal::new(409, "SecurityGroupCannotUpdateDefault", message));
    }
    let mut networking = lock(&call.region.networking);
    let group = networking.groups.iter_mut().find(|group| group.id == id).ok_or_else(|| unknown(id))?;
    group.name = name.unwrap_or_else(|| group.name.clone());
    group.description = description.unwrap_or_else(|| group.description.clone());
    group.touch();
    Ok(show(group))
}

fn delete(call: &Call<'_, '_>, id: &str) -> Answer {
    let group = find(call, id)?;
    let mut networking = lock(&call.region.networking);
    let used = networking.ports.iter().any(|port| port.groups.iter().any(|known| known == id));
    if used {
        return Err(Refusal::new(409, "SecurityGroupInUse", format!("Security Group {id} in use.")));
    }
    if group.name == "default" && !call.caller.is_admin() {
        let message = "Insufficient rights for removing default security group.";
        return Err(Refusal::new(409, "SecurityGroupCannotRemoveDefault", message));
    }
    networking.groups.retain(|group| group.id != id);
    Ok(Response::empty(204))
}

/// Refuses attributes that nobody knows.
pub(super) fn attributes(wanted: &Value, known: &[&str]) -> Result<(), Refusal> {
    let fields = wanted.as_object().into_iter().flatten();
    let unknown: Vec<String> =
        fields.filter(|(key, _)| !known.contains(&key.as_str())).map(|(key, _)| format!("'{key}'")).collect();
    if unknown.is_empty() {
        return Ok(());
    }
    Err(Refusal::bad(format!("Unrecognized attribute(s) {}", unknown.join(", "))))
}

/// A text, when it is given.
pub(super) fn text(wanted: &Value, key: &str) -> Result<Option<String>, Refusal> {
    match &wanted[key] {
        Value::Null => Ok(None),
        Value::String(text) => Ok(Some(text.clone())),
        other => {
            Err(Refusal::bad(format!("Invalid input for {key}. Reason: '{other}' is not a valid string.")))
        }
    }
}
