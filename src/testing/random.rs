//! Chance that can be repeated from its seed, and the damage that it does to documents.

use serde_json::{Value, json};

/// A small generator of numbers (Marsaglia's xorshift): the same sequence for ever.
pub struct Random(u64);

impl Random {
    pub fn seeded(seed: u64) -> Self {
        Self(seed.wrapping_mul(0x9e37_79b9_7f4a_7c15) | 1)
    }

    pub fn next(&mut self) -> u64 {
        self.0 ^= self.0 << 13;
        self.0 ^= self.0 >> 7;
        self.0 ^= self.0 << 17;
        self.0 >> 11
    }

    /// A number below `limit`.
    pub fn below(&mut self, limit: usize) -> usize {
        self.next() as usize % limit
    }

    /// One of them.
    pub fn one<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }

    /// `text` with up to six bytes changed, removed, added or cut off.
    pub fn damaged(&mut self, text: &[u8]) -> Vec<u8> {
        let mut bytes = text.to_vec();
        for _ in 0..1 + self.below(6) {
            if bytes.is_empty() {
                bytes.push(b' ');
            }
            let at = self.below(bytes.len());
            match self.below(5) {
                0 => bytes.truncate(at + 1),
                1 => bytes[at] = self.one(b"\t\n:{}[]&*!|>'\"%@`#-?,\0\\9"),
                2 => drop(bytes.remove(at)),
                3 => bytes[at] = self.below(256) as u8,
                _ => bytes.insert(at, self.one(b"\n :-{}[]\"0")),
            }
        }
        bytes
    }

    /// `whole` with one to three of its values changed, left out, doubled, or replaced by others of it or by what nobody
    /// expects there.
    pub fn distorted(&mut self, whole: &Value) -> Value {
        let mut value = whole.clone();
        for _ in 0..1 + self.below(3) {
            let places = places(&value);
            let [at, from] = [(); 2].map(|()| &places[self.below(places.len())]);
            let other = value.pointer(from).cloned().unwrap_or_default();
            if let Some(place) = value.pointer_mut(at) {
                self.distort(place, other);
            }
        }
        value
    }

    fn distort(&mut self, value: &mut Value, other: Value) {
        match value {
            Value::Array(items) if self.below(2) == 0 => match self.below(items.len() + 1) {
                at if at < items.len() && self.below(2) == 0 => drop(items.remove(at)),
                at => items.insert(at, items.get(at).cloned().unwrap_or(other)),
            },
            Value::Object(fields) if self.below(2) == 0 && !fields.is_empty() => {
                let name = fields.keys().nth(self.below(fields.len())).cloned().unwrap_or_default();
                if self.below(2) == 0 {
                    fields.remove(&name);
                } else {
                    fields.insert(name, other);
                }
            }
            Value::String(text) if self.below(2) == 0 => {
                *text = String::from_utf8_lossy(&self.damaged(text.as_bytes())).into_owned();
            }
            Value::Number(number) if self.below(2) == 0 => {
                let number = number.as_i64().unwrap_or_default();
                let near = [
                    number.wrapping_add(1),
                    number.wrapping_sub(1),
                    number.wrapping_mul(10),
                    number.wrapping_neg(),
                    number << 16,
                ];
                *value = json!(self.one(&near));
            }
            _ if self.below(2) == 0 => *value = other,
            _ => *value = self.surprise(),
        }
    }

    fn surprise(&mut self) -> Value {
        match self.below(14) {
            0 => Value::Null,
            1 => json!(true),
            2 => json!(-1),
            3 => json!(u64::MAX),
            4 => json!(1e300),
            5 => json!(""),
            6 => json!([]),
            7 => json!({}),
            8 => json!("x".repeat(5000)),
            9 => json!("\0\r\n\u{202e}"),
            10 => json!("9999-99-99T99:99:99Z"),
            11 => json!([[[[null]]]]),
            12 => json!("../../etc/passwd"),
            _ => json!({"": {"id": 7}}),
        }
    }
}

/// Pointers to all values of a document, itself among them.
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
    places
}
