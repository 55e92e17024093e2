//! Listings: exact filters, chosen fields, pages.

use serde_json::{Value, json};

use super::{Answer, Call, Refusal};
use crate::servers::http::{Response, encode};

const CONTROLS: [&str; 9] =
    ["fields", "limit", "marker", "page_reverse", "sort_key", "sort_dir", "tags", "tags-any", "not-tags"];

/// Answers a listing of `kind` (plural, as in the document) with what the query leaves of `all`.
pub(super) fn answer(call: &Call<'_, '_>, kind: &str, mut all: Vec<Value>, known: &[&str]) -> Answer {
    let query = &call.request.query;
    let attribute = |key: &str| known.contains(&key);
    let unknown: Vec<String> = query
        .iter()
        .filter(|(key, _)| !attribute(key) && !CONTROLS.contains(&key.as_str()))
        .map(|(key, _)| format!("'{key}'"))
        .collect();
    if !unknown.is_empty() {
        return Err(Refusal::bad(format!("[{}] is invalid attribute for filtering", unknown.join(", "))));
    }
    for (key, _) in query.iter().filter(|(key, _)| attribute(key)) {
        let wanted: Vec<&str> =
            query.iter().filter(|(k, _)| k == key).map(|(_, value)| value.as_str()).collect();
        all.retain(|item| wanted.iter().any(|wanted| is(&item[key], wanted)));
    }
    for (key, value) in query {
        let tags: Vec<&str> = value.split(',').collect();
        let has = |item: &Value, tag: &&str| {
            item["tags"].as_array().is_some_and(|known| known.iter().any(|known| known == *tag))
        };
        match key.as_str() {
            "tags" => all.retain(|item| tags.iter().all(|tag| has(item, tag))),
            "tags-any" => all.retain(|item| tags.iter().any(|tag| has(item, tag))),
            "not-tags" => all.retain(|item| !tags.iter().all(|tag| has(item, tag))),
            _ => {}
        }
    }
    all.sort_by(|a, b| a["id"].as_str().cmp(&b["id"].as_str()));
    if let Some(marker) = call.request.param("marker") {
        let at = all.iter().position(|item| item["id"] == marker);
        let at = at.ok_or_else(|| Refusal::bad(format!("Invalid marker: {marker}")))?;
        all.drain(..=at);
    }
    let mut document = json!({});
    if let Some(limit) = call.request.param("limit") {
        let limit: usize =
            limit.parse().map_err(|_| Refusal::bad(format!("Limit must be an integer: '{limit}'")))?;
        if limit > 0 && all.len() >= limit {
            all.truncate(limit);
            document[format!("{kind}_links")] = links(call, &all);
        }
    }
    let fields: Vec<&str> =
        query.iter().filter(|(key, _)| key == "fields").flat_map(|(_, value)| value.split(',')).collect();
    if !fields.is_empty() {
        for item in &mut all {
            if let Value::Object(item) = item {
                item.retain(|key, _| fields.contains(&key.as_str()));
            }
        }
    }
    document[kind] = Value::Array(all);
    Ok(Response::json(200, &document))
}

fn is(value: &Value, wanted: &str) -> bool {
    match value {
        Value::String(text) => text == wanted,
        Value::Bool(flag) => {
            flag.to_string().eq_ignore_ascii_case(wanted) || (wanted == "1") == *flag && wanted.len() == 1
        }
        Value::Null => wanted.is_empty() || wanted == "null",
        Value::Array(items) => items.iter().any(|item| is(item, wanted)),
        Value::Number(number) => number.to_string() == wanted,
        Value::Object(_) => false,
    }
}

fn links(call: &Call<'_, '_>, page: &[Value]) -> Value {
    let kept = call.request.query.iter().filter(|(key, _)| key != "marker" && key != "page_reverse");
    let pairs: Vec<String> = kept.map(|(key, value)| format!("{key}={}", encode(value))).collect();
    let base = format!("{}{}?{}", call.region.url("neutron"), call.request.path, pairs.join("&"));
    let marker =
        |item: Option<&Value>| item.and_then(|item| item["id"].as_str()).unwrap_or_default().to_owned();
    json!([{"rel": "next", "href": format!("{base}&marker={}", marker(page.last()))},
        {"rel": "previous", "href": format!("{base}&marker={}&page_reverse=True", marker(page.first()))}])
}
