//! Recipes from somebody who means harm, or who holds the keyboard wrongly: made from a seed, so that a failure can be
//! seen again.

use serde_json::{Value, json};

use super::*;
use crate::testing::Random;

/// How many recipes each test tries.
const ROUNDS: usize = 3000;

trait Hostile {
    fn word(&mut self) -> String;
    fn value(&mut self) -> Value;
    fn entry(&mut self, fields: &[(&str, &str)]) -> Value;
    fn recipe(&mut self) -> Value;
}

impl Hostile for Random {
    /// A word, mostly a wrong one.
    fn word(&mut self) -> String {
        const PARTS: [&str; 34] = [
            "a", "jq", "x64", "..", ".", "/", "//", "/etc", "/tmp", "/proc", "-", "--", "-o", "$(id)",
            "`id`", "'", "\"", "\\", "\n", "\r", "\0", "\u{7f}", "\u{e9}", "\u{202e}", " ", ";", "|", "&",
            "*", "~", "{}", "%n", ":", "@",
        ];
        (0..1 + self.below(4)).map(|_| self.one(&PARTS)).collect()
    }

    fn value(&mut self) -> Value {
        match self.below(12) {
            0 => json!(null),
            1 => json!(self.next()),
            2 => json!([self.word()]),
            3 => json!({ self.word(): self.word() }),
            _ => json!(self.word()),
        }
    }

    /// An entry of a section with some of its fields right, some wrong, some missing.
    fn entry(&mut self, fields: &[(&str, &str)]) -> Value {
        let mut entry = serde_json::Map::new();
        for (name, right) in fields {
            match self.below(8) {
                0 => {}
                1 | 2 => drop(entry.insert((*name).to_owned(), self.value())),
                _ => drop(entry.insert((*name).to_owned(), json!(right))),
            }
        }
        match self.below(10) {
            0 => json!(self.word()),
            1 => json!({ self.word(): entry }),
            _ => Value::Object(entry),
        }
    }

    fn recipe(&mut self) -> Value {
        let digest = "0".repeat(64);
        let sections: [(&str, &[(&str, &str)]); 10] = [
            ("packages", &[("name", "jq")]),
            ("removed_packages", &[("name", "jq")]),
            (
                "apt_sources",
                &[("name", "a"), ("url", "https://h/"), ("key_url", "https://h/k"), ("keyring", "/k")],
            ),
            ("snaps", &[("name", "go"), ("channel", "latest/edge")]),
            ("npm", &[("name", "yarn"), ("version", "1.2.3")]),
            (
                "tools",
                &[("path", "/usr/bin/x"), ("version", "1"), ("url", "https://h/x"), ("sha256", &digest)],
            ),
            ("users", &[("name", "me")]),
            ("files", &[("path", "/etc/x"), ("mode", "0600"), ("owner", "me:us"), ("content", "$(id)")]),
            ("commands", &[("run", "ls")]),
            ("runner", &[("github", "a/b"), ("version", "1.2.3")]),
        ];
        let mut recipe = json!({"runner": [], "groups": [], "masked_units": [], "sysctl": {}});
        for _ in 0..1 + self.below(2) {
            let (name, fields) = sections[self.below(sections.len())];
            recipe[name] = json!([self.entry(fields)]);
        }
        match self.below(12) {
            0 => recipe["groups"] = json!([self.word()]),
            1 => recipe["masked_units"] = json!([self.word()]),
            2 => recipe["sysctl"] = json!({ self.word(): self.word() }),
            3 => recipe[self.word()] = json!([]),
            _ => {}
        }
        recipe
    }
}

/// What is wrong with an accepted text that stands under `field`, if anything.
fn harm(field: &str, text: &str) -> Option<&'static str> {
    let plain = |c: char| c.is_ascii_alphanumeric() || "@:._+/-".contains(c);
    match field {
        "content" => None,
        "run" => text.contains('\0').then_some("a NUL character ends an argument"),
        "path" => {
            let parts: Vec<&str> = text.split('/').skip(1).collect();
            let leaves = parts.iter().any(|part| matches!(*part, "" | "." | ".."));
            let gone = ["dev", "proc", "run", "sys", "tmp"].contains(&parts[0]);
            (!text.starts_with('/') || leaves || gone || text.contains(char::is_control))
                .then_some("not a file of the image")
        }
        // An argument of curl, never a part of a script.
        "key_url" => {
            (!text.starts_with("https://") || text.contains(char::is_whitespace)).then_some("no URL")
        }
        "value" => text.contains(char::is_control).then_some("more than one line"),
        _ if text.is_empty() || text.starts_with('-') => Some("an option"),
        _ => (!text.chars().all(plain)).then_some("more than a word to a shell"),
    }
}

fn look(field: &str, value: &Value, recipe: &str) {
    match value {
        Value::String(text) => {
            assert_eq!(harm(field, text), None, "{field}: {text:?} was accepted in {recipe}");
        }
        Value::Array(values) => values.iter().for_each(|value| look(field, value, recipe)),
        Value::Object(fields) if field == "sysctl" => fields.iter().for_each(|(name, value)| {
            assert_eq!(harm("name", name), None, "{recipe}");
            look("value", value, recipe);
        }),
        Value::Object(fields) => fields.iter().for_each(|(name, value)| look(name, value, recipe)),
        _ => {}
    }
}

#[test]
fn what_is_accepted_is_a_word_to_every_shell_and_a_file_of_the_image() {
    let mut seed = Random::seeded(0x1bad_5eed);
    let mut accepted = 0;
    for _ in 0..ROUNDS {
        let text = seed.recipe().to_string();
        let Ok(recipe) = text.parse::<Recipe>() else { continue };
        accepted += 1;
        look("", &serde_json::to_value(&recipe).unwrap(), &text);
    }
    assert!(accepted > ROUNDS / 20, "only {accepted} recipes were read: the others say nothing");
}

#[test]
fn no_damage_to_a_recipe_makes_the_reader_panic_and_each_refusal_has_a_place_or_a_reason() {
    let mut seed = Random::seeded(0xda_4a6e);
    for _ in 0..ROUNDS / 4 {
        let bytes = seed.damaged(DEFAULT_RECIPE.as_bytes());
        let text = String::from_utf8_lossy(&bytes).into_owned();
        match text.parse::<Recipe>() {
            Ok(recipe) => look("", &serde_json::to_value(&recipe).unwrap(), &text),
            Err(error) => assert!(!error.to_string().is_empty()),
        }
    }
}

#[test]
fn a_recipe_without_end_or_without_bottom_is_refused() {
    assert!("packages: &a [*a]\nrunner: []".parse::<Recipe>().is_err());
    let told = format!("\n\npackages: {}", "[".repeat(600)).parse::<Recipe>().unwrap_err().to_string();
    assert!(told.contains("at line 3"), "{told}");
    for part in ["[", "{", "[{", "- ", "? ", "a: [", "{a: ", "&a ", "'", "!"] {
        let deep = part.repeat(LONGEST / part.len());
        assert!(deep.parse::<Recipe>().is_err(), "{part}");
    }
    let long = format!("runner: []\n# {}", "x".repeat(LONGEST));
    assert!(matches!(long.parse::<Recipe>(), Err(RecipeError::TooLong)));
}
