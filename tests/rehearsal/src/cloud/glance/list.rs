//! Listing images: filters, order, pages.

use serde_json::{Value, json};

use super::super::time::Stamp;
use super::{Answer, Call, Image, Refusal};
use crate::lock;
use crate::servers::http::{Response, encode};

const SORT_KEYS: [&str; 8] =
    ["name", "status", "container_format", "disk_format", "size", "id", "created_at", "updated_at"];
const PAGE: usize = 25;
const MAX_PAGE: usize = 1000;

/// `GET /v2/images`
pub(super) fn list(call: &Call<'_, '_>) -> Answer {
    let query = Query::parse(&call.request.query)?;
    let mut found: Vec<Image> = lock(&call.region.images).clone();
    found.retain(|image| query.sees(image, call) && query.filters.iter().all(|filter| filter.keeps(image)));
    query.sort(&mut found);
    if let Some(marker) = &query.marker {
        let at = found.iter().position(|image| image.id == *marker);
        let at = at.ok_or_else(|| Refusal::new(400, format!("No image found with ID {marker}")))?;
        found.drain(..=at);
    }
    let limit = query.limit.unwrap_or(PAGE).min(MAX_PAGE);
    let more = limit > 0 && found.len() >= limit;
    found.truncate(limit);
    let base = |skip: &str| {
        let kept = call.request.query.iter().filter(|(key, _)| key != skip);
        let pairs: Vec<String> =
            kept.map(|(key, value)| format!("{}={}", encode(key), encode(value))).collect();
        if pairs.is_empty() { String::from("/v2/images") } else { format!("/v2/images?{}", pairs.join("&")) }
    };
    let images: Vec<Value> = found.iter().map(Image::render).collect();
    let mut document = json!({"images": images, "first": base("marker"), "schema": "/v2/schemas/images"});
    if let (true, Some(last)) = (more, found.last()) {
        let base = base("marker");
        let glue = if base.contains('?') { '&' } else { '?' };
        document["next"] = json!(format!("{base}{glue}marker={}", last.id));
    }
    Ok(Response::json(200, &document))
}

struct Query {
    limit: Option<usize>,
    marker: Option<String>,
    sort: Vec<(String, Direction)>,
    filters: Vec<Filter>,
    visibility: Option<String>,
    member_status: String,
    hidden: bool,
}

#[derive(Clone, Copy, PartialEq)]
enum Direction {
    Up,
    Down,
}

enum Filter {
    Is(String, String),
    In(String, Vec<String>),
    Tag(String),
    Time { created: bool, compare: String, moment: String },
    SizeFrom(u64),
    SizeTo(u64),
}

impl Query {
    fn parse(pairs: &[(String, String)]) -> Result<Self, Refusal> {
        let bad = |message: String| Refusal::new(400, message);
        let mut query = Self {
            limit: None,
            marker: None,
            sort: Vec::new(),
            filters: Vec::new(),
            visibility: None,
            member_status: "accepted".into(),
            hidden: false,
        };
        let (mut keys, mut directions) = (Vec::new(), Vec::new());
        for (key, value) in pairs {
            match key.as_str() {
                "limit" => {
                    let limit: i64 =
                        value.parse().map_err(|_| bad("limit param must be an integer".into()))?;
                    let limit =
                        usize::try_from(limit).map_err(|_| bad("limit param must be positive".into()))?;
                    query.limit = Some(limit);
                }
                "marker" => query.marker = Some(value.clone()),
                "sort" => {
                    for part in value.split(',') {
                        let (key, direction) = part.split_once(':').unwrap_or((part, "desc"));
                        keys.push(key.to_owned());
                        directions.push(direction.to_owned());
                    }
                }
                "sort_key" => keys.push(value.clone()),
                "sort_dir" => directions.push(value.clone()),
                "visibility" => {
                    if !["public", "private", "community", "shared", "all"].contains(&value.as_str()) {
                        return Err(bad(format!("Invalid visibility value: {value}")));
                    }
                    query.visibility = Some(value.clone());
                }
                "member_status" => {
                    if !["pending", "accepted", "rejected", "all"].contains(&value.as_str()) {
                        return Err(bad(format!("Invalid status: {value}")));
                    }
                    query.member_status.clone_from(value);
                }
                "os_hidden" => query.hidden = value.eq_ignore_ascii_case("true"),
                "tag" => query.filters.push(Filter::Tag(value.clone())),
                "created_at" | "updated_at" => query.filters.push(time_filter(key, value)),
                "size_min" => query.filters.push(Filter::SizeFrom(value.parse().unwrap_or(0))),
                "size_max" => query.filters.push(Filter::SizeTo(value.parse().unwrap_or(u64::MAX))),
                _ => query.filters.push(match value.strip_prefix("in:") {
                    Some(list) => Filter::In(key.clone(), unquote(list)),
                    None => Filter::Is(key.clone(), value.trim_matches('"').to_owned()),
                }),
            }
        }
        for (at, key) in keys.into_iter().enumerate() {
            if !SORT_KEYS.contains(&key.as_str()) {
                let known = SORT_KEYS.join(", ");
                return Err(bad(format!(
                    "Invalid sort key: {key}. It must be one of the following: {known}."
                )));
            }
            let direction = match directions.get(at).map_or("desc", String::as_str) {
                "asc" => Direction::Up,
                "desc" => Direction::Down,
                other => {
                    return Err(bad(format!(
                        "Invalid sort direction: {other}. It must be one of the following: asc, desc."
                    )));
                }
            };
            query.sort.push((key, direction));
        }
        Ok(query)
    }

    /// Whether the caller's listing has this image at all.
    fn sees(&self, image: &Image, call: &Call<'_, '_>) -> bool {
        let project = call.caller.project_id();
        if image.hidden != self.hidden {
            return false;
        }
        let shared_with_me = image.visibility == "shared"
            && image
                .member(project)
                .is_some_and(|member| self.member_status == "all" || member.status == self.member_status);
        let mine = image.owner == project;
        let listed = mine || shared_with_me || image.visibility == "public" || call.caller.is_admin();
        match self.visibility.as_deref() {
            None => listed,
            Some("all") => listed || image.visibility == "community",
            Some("community") => image.visibility == "community",
            Some(wanted) => listed && image.visibility == wanted,
        }
    }

    fn sort(&self, images: &mut [Image]) {
        let newest_first = ["created_at".to_owned(), "id".to_owned()].map(|key| (key, Direction::Down));
        images.sort_by(|a, b| {
            let order = self.sort.iter().chain(&newest_first).map(|(key, direction)| {
                let order = compare(key, a, b);
                if *direction == Direction::Down { order.reverse() } else { order }
            });
            order.fold(std::cmp::Ordering::Equal, std::cmp::Ordering::then)
        });
    }
}

fn compare(key: &str, a: &Image, b: &Image) -> std::cmp::Ordering {
    match key {
        "size" => a.size.cmp(&b.size),
        "created_at" => a.created.cmp(&b.created),
        "updated_at" => a.updated.cmp(&b.updated),
        key => text(a, key).cmp(&text(b, key)),
    }
}

fn text(image: &Image, key: &str) -> Option<String> {
    match image.render().get(key)? {
        Value::Null => None,
        Value::String(text) => Some(text.clone()),
        other => Some(other.to_string()),
    }
}

fn time_filter(key: &str, value: &str) -> Filter {
    let known = ["gte", "gt", "lte", "lt", "eq", "neq"];
    let split = value.split_once(':').filter(|(compare, _)| known.contains(compare));
    let (compare, moment) = split.unwrap_or(("eq", value));
    Filter::Time { created: key == "created_at", compare: compare.to_owned(), moment: moment.to_owned() }
}

fn unquote(list: &str) -> Vec<String> {
    list.split(',').map(|item| item.trim_matches('"').to_owned()).collect()
}

impl Filter {
    fn keeps(&self, image: &Image) -> bool {
        match self {
            Self::Is(key, value) => text(image, key)
                .is_some_and(|text| text == *value || text.eq_ignore_ascii_case(value) && is_flag(key)),
            Self::In(key, values) => text(image, key).is_some_and(|text| values.contains(&text)),
            Self::Tag(tag) => image.tags.contains(tag),
            Self::SizeFrom(size) => image.size.is_some_and(|known| known >= *size),
            Self::SizeTo(size) => image.size.is_some_and(|known| known <= *size),
            Self::Time { created, compare, moment } => {
                let stamp: Stamp = if *created { image.created } else { image.updated };
                // ISO 8601 in UTC sorts as text; a form without the Z is a prefix of the one with it.
                let order = stamp.iso().trim_end_matches('Z').cmp(moment.trim_end_matches('Z'));
                match compare.as_str() {
                    "gt" => order.is_gt(),
                    "gte" => order.is_ge(),
                    "lt" => order.is_lt(),
                    "lte" => order.is_le(),
                    "neq" => order.is_ne(),
                    _ => order.is_eq(),
                }
            }
        }
    }
}

fn is_flag(key: &str) -> bool {
    key == "protected"
}
