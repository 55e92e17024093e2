//! Keystone v3 over HTTP: version documents, tokens by password and by token, the catalog, one's own projects.

mod auth;

use std::sync::Arc;

use serde_json::{Value, json};

use super::core::Core;
use crate::lock;
use crate::servers::http::{Request, Response};

/// Answers a request to the identity service.
pub(super) fn handle(core: &Arc<Core>, request: &mut Request<'_>) -> Response {
    let path = request.path.trim_end_matches('/').to_owned();
    let response = match (request.method.as_str(), path.as_str()) {
        ("GET" | "HEAD", "") => {
            let versions = json!({"versions": {"values": [version(core)]}});
            Response::json(300, &versions).with("Location", format!("{}/", core.auth_url()))
        }
        ("GET" | "HEAD", "/v3") => Response::json(200, &json!({"version": version(core)})),
        ("POST", "/v3/auth/tokens") => auth::issue(core, request),
        (_, path) if !path.starts_with("/v3/") => not_found(),
        (method, path) => {
            let token = request.header("x-auth-token").and_then(|id| lock(&core.identity).token(id));
            match token {
                None => unauthorized(core),
                Some(token) => match (method, path) {
                    ("GET" | "HEAD", "/v3/auth/tokens") => auth::show(core, request, &token),
                    ("DELETE", "/v3/auth/tokens") => auth::revoke(core, request, &token),
                    ("GET", "/v3/auth/catalog") => {
                        let links = json!({"self": format!("{}/auth/catalog", core.auth_url())});
                        Response::json(200, &json!({"catalog": core.catalog(), "links": links}))
                    }
                    ("GET", "/v3/auth/projects") => {
                        projects(core, &token.user.projects, &format!("{}/auth/projects", core.auth_url()))
                    }
                    ("GET", "/v3/projects") => listed_projects(core, request, &token),
                    ("GET", "/v3/users") if !token.is_admin() => forbidden("identity:list_users"),
                    ("GET", path) => match path.strip_prefix("/v3/projects/") {
                        Some(id) => project(core, id, &token),
                        None => not_found(),
                    },
                    _ => not_found(),
                },
            }
        }
    };
    response.with("x-openstack-request-id", format!("req-{}", super::identity::uuid()))
}

fn listed_projects(core: &Core, request: &Request<'_>, token: &super::identity::Token) -> Response {
    if !token.is_admin() {
        return forbidden("identity:list_projects");
    }
    let wanted = request.param("name");
    let ids: Vec<String> = {
        let identity = lock(&core.identity);
        let listed =
            identity.projects.iter().filter(|project| wanted.is_none_or(|name| project.name == name));
        listed.map(|project| project.id.clone()).collect()
    };
    projects(core, &ids, &format!("{}/projects", core.auth_url()))
}

fn projects(core: &Core, ids: &[String], link: &str) -> Response {
    let identity = lock(&core.identity);
    let listed: Vec<Value> = identity
        .projects
        .iter()
        .filter(|project| ids.contains(&project.id))
        .map(|project| render_project(core, &project.id, &project.name))
        .collect();
    let links = json!({"next": null, "self": link, "previous": null});
    Response::json(200, &json!({"projects": listed, "links": links}))
}

fn project(core: &Core, id: &str, token: &super::identity::Token) -> Response {
    let found = lock(&core.identity).projects.iter().find(|project| project.id == id).cloned();
    match found {
        Some(project) if token.is_admin() || token.project_id() == id => {
            Response::json(200, &json!({"project": render_project(core, &project.id, &project.name)}))
        }
        Some(_) => forbidden("identity:get_project"),
        None => error(404, "Not Found", &format!("Could not find project: {id}.")),
    }
}

fn render_project(core: &Core, id: &str, name: &str) -> Value {
    json!({"id": id, "name": name, "domain_id": "default", "description": "", "enabled": true,
        "parent_id": "default", "is_domain": false, "tags": [], "options": {},
        "links": {"self": format!("{}/projects/{id}", core.auth_url())}})
}

fn version(core: &Core) -> Value {
    json!({"id": "v3.14", "status": "stable", "updated": "2020-04-07T00:00:00Z",
        "links": [{"rel": "self", "href": format!("{}/", core.auth_url())}],
        "media-types": [{"base": "application/json", "type": "application/vnd.openstack.identity-v3+json"}]})
}

fn error(code: u16, title: &str, message: &str) -> Response {
    Response::json(code, &json!({"error": {"code": code, "message": message, "title": title}}))
}

fn bad_request(what: &str) -> Response {
    let message = format!(
        "{what} The server could not comply with the request since it is either malformed or otherwise \
         incorrect. The client is assumed to be in error."
    );
    error(400, "Bad Request", &message)
}

fn unauthorized(core: &Core) -> Response {
    error(401, "Unauthorized", "The request you have made requires authentication.")
        .with("WWW-Authenticate", format!("Keystone uri=\"{}\"", core.auth_url()))
}

fn forbidden(rule: &str) -> Response {
    error(403, "Forbidden", &format!("You are not authorized to perform the requested action: {rule}."))
}

fn not_found() -> Response {
    let page = "<!doctype html>\n<html lang=en>\n<title>404 Not Found</title>\n<h1>Not Found</h1>\n";
    Response::bytes(404, "text/html; charset=utf-8", page)
}
