//! What the services say about a refusal, from answers of many shapes.

use serde_json::Value;

/// The service's own message, and Neutron's name for the error where there is one. Keystone, Nova, Neutron and
/// Glance each have a shape of their own; what stands before them speaks HTML.
pub(super) fn explanation(body: &str) -> (String, String) {
    let (message, code) = explanation_as_given(body);
    // Nova repeats what it was given, and a server's user-data is a secret.
    match message.find(" Value: ") {
        Some(end) => (message.get(..end).unwrap_or_default().to_owned(), code),
        None => (message, code),
    }
}

fn explanation_as_given(body: &str) -> (String, String) {
    let fields = match serde_json::from_str::<Value>(body) {
        Ok(Value::Object(fields)) => fields,
        // JSON that was cut off may hold anything.
        _ if body.trim_start().starts_with(['{', '[']) => return Default::default(),
        _ => return (without_markup(body), String::new()),
    };
    if let Some(Value::String(message)) = fields.get("message") {
        return (without_markup(message), String::new());
    }
    for value in fields.values() {
        let text = |key: &str| value.get(key).and_then(Value::as_str).unwrap_or_default().to_owned();
        match value {
            Value::Object(inner) if inner.contains_key("message") => return (text("message"), text("type")),
            Value::String(message) => return (message.clone(), String::new()),
            _ => {}
        }
    }
    (String::new(), String::new())
}

/// Whether the `page` that refuses a request for its length is not of the service, but of what stands in front of it. Glance,
/// which writes pages too, speaks of the image.
pub(super) fn is_of_proxy(body: &str, page: &str) -> bool {
    serde_json::from_str::<Value>(body).is_err() && !page.to_ascii_lowercase().contains("image")
}

/// The words of a small HTML page, without its title.
fn without_markup(text: &str) -> String {
    let body = match (text.find("<body"), text.find("</head>")) {
        (Some(start), _) | (None, Some(start)) => text.get(start..).unwrap_or(text),
        _ => text,
    };
    let body = body.split_once("</h1>").map_or(body, |(_, text)| text);
    let mut words = String::with_capacity(body.len());
    let mut inside = false;
    for character in body.chars() {
        match character {
            '<' => inside = true,
            '>' if inside => {
                inside = false;
                words.push(' ');
            }
            _ if !inside => words.push(character),
            _ => {}
        }
    }
    [("&#x27;", "'"), ("&#39;", "'"), ("&quot;", "\""), ("&lt;", "<"), ("&gt;", ">"), ("&amp;", "&")]
        .iter()
        .fold(words, |words, (entity, meaning)| words.replace(entity, meaning))
}

/// Nova's and Neutron's words for a quota that is used up in fewer: `instance quota exhausted`.
pub(super) fn exhausted(message: &str) -> String {
    let resources = message.strip_prefix("Quota exceeded for ").and_then(|rest| {
        let rest = rest.strip_prefix("resources: ").unwrap_or(rest);
        let resources: String =
            rest.split([':', '.']).next()?.replace(['[', ']', '\''], "").replace('_', " ");
        Some(resources.trim().to_owned()).filter(|resources| !resources.is_empty())
    });
    match resources {
        Some(several) if several.contains(',') => format!("{several} quota exhausted"),
        Some(one) => format!("{} quota exhausted", one.trim_end_matches('s')),
        None => message.trim_end_matches('.').to_owned(),
    }
}
