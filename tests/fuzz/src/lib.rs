//! Changes to JSON documents that leave them documents: what libFuzzer does to bytes alone seldom gets past a parser.

use fastrand::Rng;
use libfuzzer_sys::fuzzer_mutate;
use serde_json::{Value, json};

/// Changes the document in `data[head..size]` and returns the new size of the whole, at most `max_size`. One time in
/// four, and where there is no document, the bytes are changed as libFuzzer does it.
pub fn mutate_json(data: &mut [u8], size: usize, max_size: usize, seed: u32, head: usize) -> usize {
    let mut random = Rng::with_seed(seed.into());
    let document = data.get(head..size).and_then(|text| serde_json::from_slice::<Value>(text).ok());
    let Some(mut document) = document.filter(|_| random.u8(..4) > 0) else {
        return fuzzer_mutate(data, size, max_size);
    };
    for _ in 0..random.u8(1..4) {
        let places = places(&document);
        let other = document.pointer(one(&places, &mut random)).cloned().unwrap_or_default();
        if let Some(value) = document.pointer_mut(one(&places, &mut random)) {
            change(value, other, &mut random);
        }
    }
    let text = document.to_string();
    match data.get_mut(head..max_size).and_then(|room| room.get_mut(..text.len())) {
        Some(room) => {
            room.copy_from_slice(text.as_bytes());
            head + text.len()
        }
        None => fuzzer_mutate(data, size, max_size),
    }
}

fn one<'a>(of: &'a [String], random: &mut Rng) -> &'a str {
    &of[random.usize(..of.len())]
}

/// Pointers to all values of the document; the first is the document itself.
fn places(document: &Value) -> Vec<String> {
    fn add(value: &Value, at: String, places: &mut Vec<String>) {
        match value {
            Value::Array(items) => {
                items.iter().enumerate().for_each(|(index, item)| add(item, format!("{at}/{index}"), places));
            }
            Value::Object(fields) => {
                for (name, field) in fields {
                    add(field, format!("{at}/{}", name.replace('~', "~0").replace('/', "~1")), places);
                }
            }
            _ => (),
        }
        places.push(at);
    }
    let mut places = Vec::new();
    add(document, String::new(), &mut places);
    places.reverse();
    places
}

/// Makes another value of `value`; `other` is one of the same document.
fn change(value: &mut Value, other: Value, random: &mut Rng) {
    match value {
        Value::Array(items) if random.bool() => match random.usize(..=items.len()) {
            at if at < items.len() && random.bool() => drop(items.remove(at)),
            at => items.insert(at, items.get(at).cloned().unwrap_or(other)),
        },
        Value::Object(fields) if random.bool() => {
            let names: Vec<String> = fields.keys().cloned().collect();
            match random.choice(names) {
                Some(name) if random.bool() => drop(fields.remove(&name)),
                Some(name) => drop(fields.insert(name, other)),
                None => drop(fields.insert("x".into(), other)),
            }
        }
        Value::String(text) if random.bool() => *text = changed(text, random),
        Value::Number(number) if random.bool() => {
            let number = number.as_i64().unwrap_or_default();
            let near = [
                number.wrapping_add(1),
                number.wrapping_sub(1),
                number.wrapping_mul(10),
                number.wrapping_neg(),
                number << 16,
            ];
            *value = json!(near[random.usize(..near.len())]);
        }
        _ if random.bool() => *value = other,
        _ => *value = surprise(random),
    }
}

/// Other bytes, where they are text.
fn changed(text: &str, random: &mut Rng) -> String {
    let mut bytes = text.as_bytes().to_vec();
    let size = bytes.len();
    bytes.resize(size + random.usize(1..64), 0);
    let max_size = bytes.len();
    let size = fuzzer_mutate(&mut bytes, size, max_size);
    bytes.truncate(size);
    String::from_utf8_lossy(&bytes).into_owned()
}

/// What nobody expects.
fn surprise(random: &mut Rng) -> Value {
    let texts =
        ["", " ", "\0", "\n", "a\nb: c", "\"}", "{{x}}", "$(x)", "\u{202e}", "../..", "https://[::1", "null"];
    match random.u8(..12) {
        0 => Value::Null,
        1 => json!(random.bool()),
        2 => json!(i64::MIN),
        3 => json!(u64::MAX),
        4 => json!(1e300),
        5 => json!([]),
        6 => json!({}),
        7 => json!("x".repeat(random.usize(..5000))),
        8 => json!(random.u64(..)),
        9 => json!(format!("{:04}-{:02}-31T25:61:61Z", random.u16(..9999), random.u8(..13))),
        _ => json!(texts[random.usize(..texts.len())]),
    }
}
