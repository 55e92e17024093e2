//! Tokens: issuing, showing, ending.

use serde_json::{Value, json};

use super::super::core::Core;
use super::super::identity::{ApplicationCredential, Identity, Project, Token, User};
use super::{bad_request, error, forbidden, unauthorized};
use crate::lock;
use crate::servers::http::{Request, Response};

/// `POST /v3/auth/tokens`
pub(super) fn issue(core: &Core, request: &mut Request<'_>) -> Response {
    let Some(body) = request.json() else {
        return bad_request("Expecting to find valid JSON in request body.");
    };
    let auth = &body["auth"];
    if !auth.is_object() {
        return bad_request("Expecting to find auth in request body.");
    }
    if !auth["identity"]["methods"].is_array() {
        return bad_request("Expecting to find identity in auth.");
    }
    let mut identity = lock(&core.identity);
    let Some(Caller { user, credential, parent }) = authenticate(&identity, &auth["identity"]) else {
        drop(identity);
        return unauthorized(core);
    };
    if credential.is_some() && !auth["scope"].is_null() {
        drop(identity);
        let message = "Error authenticating with application credential: Application credentials cannot request a scope.";
        return error(401, "Unauthorized", message);
    }
    let project = match scope(&identity, auth, &user, credential.as_ref(), parent.as_ref()) {
        Ok(project) => project,
        Err(Refused) => {
            drop(identity);
            return unauthorized(core);
        }
    };
    let (id, token) = identity.issue(&user, project, credential, parent.as_ref());
    drop(identity);
    Response::json(201, &json!({"token": render(core, &token)})).with("X-Subject-Token", id)
}

/// `GET /v3/auth/tokens`
pub(super) fn show(core: &Core, request: &Request<'_>, caller: &Token) -> Response {
    let Some(id) = request.header("x-subject-token") else {
        return bad_request("Expecting to find X-Subject-Token in request headers.");
    };
    let token = lock(&core.identity).token(id);
    match token {
        Some(token) if !may_see(caller, &token) => forbidden("identity:validate_token"),
        Some(token) => {
            Response::json(200, &json!({"token": render(core, &token)})).with("X-Subject-Token", id)
        }
        None => unknown_token(),
    }
}

/// `DELETE /v3/auth/tokens`
pub(super) fn revoke(core: &Core, request: &Request<'_>, caller: &Token) -> Response {
    let id = request.header("x-subject-token").unwrap_or_default();
    let mut identity = lock(&core.identity);
    match identity.token(id) {
        Some(token) if !may_see(caller, &token) => forbidden("identity:revoke_token"),
        Some(_) => {
            identity.revoke(id);
            Response::empty(204)
        }
        None => unknown_token(),
    }
}

/// A token concerns its owner and administrators.
fn may_see(caller: &Token, token: &Token) -> bool {
    caller.is_admin() || caller.user.id == token.user.id
}

fn unknown_token() -> Response {
    error(404, "Not Found", "Could not recognize Fernet token")
}

/// Who asks for a token, and by what.
struct Caller {
    user: User,
    credential: Option<ApplicationCredential>,
    parent: Option<Token>,
}

fn authenticate(identity: &Identity, methods: &Value) -> Option<Caller> {
    let mut found = None;
    for method in methods["methods"].as_array()? {
        match method.as_str()? {
            "password" => {
                let wanted = &methods["password"]["user"];
                let user = find_user(identity, wanted)?;
                if wanted["password"].as_str()? != user.password {
                    return None;
                }
                found = Some(Caller { user, credential: None, parent: None });
            }
            "token" => {
                let token = identity.token(methods["token"]["id"].as_str()?)?;
                let (user, credential) = (token.user.clone(), token.credential.clone());
                found = Some(Caller { user, credential, parent: Some(token) });
            }
            "application_credential" => {
                let wanted = &methods["application_credential"];
                let id = wanted["id"].as_str()?;
                let credential = identity.credentials.iter().find(|known| known.id == id)?;
                if wanted["secret"].as_str()? != credential.secret {
                    return None;
                }
                let user = identity.users.iter().find(|user| user.id == credential.user)?;
                let user = User { roles: credential.roles.clone(), ..user.clone() };
                found = Some(Caller { user, credential: Some(credential.clone()), parent: None });
            }
            _ => return None,
        }
    }
    found
}

fn find_user(identity: &Identity, wanted: &Value) -> Option<User> {
    let found = match wanted["id"].as_str() {
        Some(id) => identity.users.iter().find(|user| user.id == id),
        None if in_default_domain(wanted) => {
            let name = wanted["name"].as_str()?;
            identity.users.iter().find(|user| user.name == name)
        }
        None => None,
    };
    found.cloned()
}

fn in_default_domain(named: &Value) -> bool {
    let domain = &named["domain"];
    domain["id"] == "default"
        || domain["name"].as_str().is_some_and(|name| name.eq_ignore_ascii_case("default"))
}

/// The scope that was asked for is not this user's.
struct Refused;

fn scope(
    identity: &Identity,
    auth: &Value,
    user: &User,
    credential: Option<&ApplicationCredential>,
    parent: Option<&Token>,
) -> Result<Option<Project>, Refused> {
    if let Some(credential) = credential {
        let project = identity.projects.iter().find(|project| project.id == credential.project);
        return project.cloned().map(Some).ok_or(Refused);
    }
    let wanted = &auth["scope"]["project"];
    if !wanted.is_object() {
        return match auth["scope"].as_object() {
            None if auth["scope"] == "unscoped" => Ok(None),
            None => Ok(parent.and_then(|parent| parent.project.clone())),
            Some(_) => Err(Refused),
        };
    }
    let matches = |project: &&Project| match wanted["id"].as_str() {
        Some(id) => project.id == id,
        None => in_default_domain(wanted) && wanted["name"] == project.name.as_str(),
    };
    let project = identity.projects.iter().find(matches).ok_or(Refused)?;
    if user.projects.contains(&project.id) { Ok(Some(project.clone())) } else { Err(Refused) }
}

fn render(core: &Core, token: &Token) -> Value {
    let mut document = json!({
        "methods": token.methods,
        "user": {"domain": {"id": "default", "name": "Default"}, "id": token.user.id, "name": token.user.name,
            "password_expires_at": null},
        "audit_ids": token.audit,
        "expires_at": token.expires.micros_zulu(),
        "issued_at": token.issued.micros_zulu(),
    });
    if let Some(credential) = &token.credential {
        document["application_credential"] =
            json!({"id": credential.id, "name": credential.name, "restricted": true});
    }
    if let Some(project) = &token.project {
        let identity = lock(&core.identity);
        let roles: Vec<Value> = token
            .user
            .roles
            .iter()
            .map(|role| json!({"id": identity.roles.get(role), "name": role}))
            .collect();
        drop(identity);
        document["project"] =
            json!({"domain": {"id": "default", "name": "Default"}, "id": project.id, "name": project.name});
        document["is_domain"] = json!(false);
        document["roles"] = json!(roles);
        document["catalog"] = core.catalog();
    }
    document
}
