//! With whom an image is shared.

use serde_json::{Value, json};

use super::super::time::Stamp;
use super::{Answer, Call, Image, Member, Refusal, nowhere, visible};
use crate::servers::http::Response;

/// Everything below `/v2/images/ID/members`.
pub(super) fn route(call: Call<'_, '_>, id: &str, rest: &[&str]) -> Answer {
    let image = visible(&call, id)?;
    let method = call.request.method.clone();
    match (method.as_str(), rest) {
        ("GET", []) => list(&call, &image),
        ("POST", []) => add(call, &image),
        ("GET", [member]) => show(&call, &image, member),
        ("PUT", [member]) => decide(call, &image, member),
        ("DELETE", [member]) => remove(&call, &image, member),
        _ => Err(nowhere()),
    }
}

fn list(call: &Call<'_, '_>, image: &Image) -> Answer {
    only_shared(image).map_err(|Refusal(_, why)| {
        Refusal::new(403, format!("Not allowed to list members for image {}: {why}", image.id))
    })?;
    let members: Vec<Value> = image
        .members
        .iter()
        .filter(|member| owns(call, image) || member.project == call.caller.project_id())
        .map(|member| render(image, member))
        .collect();
    Ok(Response::json(200, &json!({"members": members, "schema": "/v2/schemas/members"})))
}

fn add(call: Call<'_, '_>, image: &Image) -> Answer {
    let Some(body) = call.request.json() else {
        return Err(Refusal::new(400, "Malformed JSON in request body."));
    };
    let project = match body.get("member") {
        None => return Err(Refusal::new(400, "Member to be added not specified")),
        Some(member) => member.as_str().filter(|project| !project.is_empty()),
    };
    let project = project.ok_or_else(|| Refusal::new(400, "Member can't be empty"))?;
    if only_shared(image).is_err() || !owns(&call, image) {
        return Err(Refusal::new(403, format!("Not allowed to create members for image {}.", image.id)));
    }
    // Glance counts before it looks whether the project is a member already.
    let attempted = image.members.len() as u64 + 1;
    let maximum = call.core.setup.image_members;
    if attempted > maximum {
        let message = format!(
            "Image member limit exceeded for image {}: The limit has been exceeded on the number of allowed image \
             members for this image. Attempted: {attempted}, Maximum: {maximum}:",
            image.id
        );
        return Err(Refusal::new(413, message));
    }
    if image.member(project).is_some() {
        return Err(Refusal::new(409, format!("Member {project} is duplicated for image {}", image.id)));
    }
    let now = Stamp::now();
    let member = Member { project: project.to_owned(), status: "pending".into(), created: now, updated: now };
    let document = render(image, &member);
    call.region.with_image(&image.id, |image| image.members.push(member));
    Ok(Response::json(200, &document))
}

fn show(call: &Call<'_, '_>, image: &Image, project: &str) -> Answer {
    // What is refused is as good as absent, so that nothing leaks.
    only_shared(image).map_err(|Refusal(_, why)| Refusal::new(404, why))?;
    let member = image
        .member(project)
        .filter(|member| owns(call, image) || member.project == call.caller.project_id())
        .ok_or_else(|| unknown(image, project))?;
    Ok(Response::json(200, &render(image, member)))
}

fn decide(call: Call<'_, '_>, image: &Image, project: &str) -> Answer {
    let Some(body) = call.request.json() else {
        return Err(Refusal::new(400, "Malformed JSON in request body."));
    };
    let status = body["status"].as_str().ok_or_else(|| Refusal::new(400, "Status not specified"))?;
    let refused = || Refusal::new(403, format!("Not allowed to update members for image {}.", image.id));
    let is_admin = call.caller.is_admin();
    if only_shared(image).is_err() || (image.owner == call.caller.project_id() && !is_admin) {
        return Err(refused());
    }
    let may_see = is_admin || call.caller.project_id() == project;
    image.member(project).filter(|_| may_see).ok_or_else(|| unknown(image, project))?;
    if !is_admin && !call.caller.has_role("member") {
        return Err(refused());
    }
    if !["pending", "accepted", "rejected"].contains(&status) {
        let message = "Incorrect request: Status must be \"pending\", \"accepted\" or \"rejected\".";
        return Err(Refusal::new(400, message));
    }
    let changed = call.region.with_image(&image.id, |image| {
        let member = image.members.iter_mut().find(|member| member.project == project)?;
        status.clone_into(&mut member.status);
        member.updated = Stamp::now();
        let member = member.clone();
        Some(render(image, &member))
    });
    changed.flatten().map(|document| Response::json(200, &document)).ok_or_else(|| unknown(image, project))
}

fn remove(call: &Call<'_, '_>, image: &Image, project: &str) -> Answer {
    if only_shared(image).is_err() || !owns(call, image) {
        return Err(Refusal::new(403, format!("Not allowed to delete members for image {}.", image.id)));
    }
    image.member(project).ok_or_else(|| unknown(image, project))?;
    call.region.with_image(&image.id, |image| image.members.retain(|member| member.project != project));
    Ok(Response::empty(204))
}

/// Only an image whose visibility is `shared` has members.
fn only_shared(image: &Image) -> Result<(), Refusal> {
    let is_shared = image.visibility == "shared";
    is_shared.then_some(()).ok_or_else(|| Refusal::new(403, "Only shared images have members."))
}

fn owns(call: &Call<'_, '_>, image: &Image) -> bool {
    call.caller.is_admin() || image.owner == call.caller.project_id()
}

fn unknown(image: &Image, project: &str) -> Refusal {
    Refusal::new(404, format!("{project} not found in the member list of the image {}.", image.id))
}

fn render(image: &Image, member: &Member) -> Value {
    json!({"member_id": member.project, "image_id": image.id, "status": member.status,
        "created_at": member.created.iso(), "updated_at": member.updated.iso(), "schema": "/v2/schemas/member"})
}
