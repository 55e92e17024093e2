//! How the lists of a recipe are read.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{self, Deserialize, Deserializer, MapAccess, SeqAccess, Visitor};

/// An entry that may be written as one word.
pub trait Shorthand: Sized {
    /// The entry that the word stands for.
    fn from_word(text: &str) -> Result<Self, String>;
}

/// A list whose entries may be written as one word each.
pub fn short<'de, D: Deserializer<'de>, T: Shorthand + Deserialize<'de>>(
    deserializer: D,
) -> Result<Vec<T>, D::Error> {
    struct WordOrMap<T>(T);
    impl<'de, T: Shorthand + Deserialize<'de>> Deserialize<'de> for WordOrMap<T> {
        fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
            struct Entry<T>(PhantomData<T>);
            impl<'de, T: Shorthand + Deserialize<'de>> Visitor<'de> for Entry<T> {
                type Value = WordOrMap<T>;
                fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                    f.write_str("a text or a mapping")
                }
                fn visit_str<E: de::Error>(self, text: &str) -> Result<WordOrMap<T>, E> {
                    T::from_word(text).map(WordOrMap).map_err(E::custom)
                }
                fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<WordOrMap<T>, A::Error> {
                    T::deserialize(MapAccessDeserializer::new(map)).map(WordOrMap)
                }
            }
            deserializer.deserialize_any(Entry(PhantomData))
        }
    }
    let entries = Vec::<WordOrMap<T>>::deserialize(deserializer)?;
    Ok(entries.into_iter().map(|entry| entry.0).collect())
}

/// A list that must not be empty.
pub fn some<'de, D: Deserializer<'de>, T: Deserialize<'de>>(deserializer: D) -> Result<Vec<T>, D::Error> {
    checked(deserializer, |list: &[T]| match list {
        [] => Err("an empty list: name at least one, or leave it out".to_owned()),
        _ => Ok(()),
    })
}

/// A list of which each entry obeys a rule that its fields alone do not say; so its place is known when it does not.
pub fn checked<'de, D: Deserializer<'de>, T: Deserialize<'de>>(
    deserializer: D,
    check: fn(&[T]) -> Result<(), String>,
) -> Result<Vec<T>, D::Error> {
    struct List<T>(fn(&[T]) -> Result<(), String>);
    impl<'de, T: Deserialize<'de>> Visitor<'de> for List<T> {
        type Value = Vec<T>;
        fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
            f.write_str("a list")
        }
        fn visit_seq<A: SeqAccess<'de>>(self, mut entries: A) -> Result<Vec<T>, A::Error> {
            let mut list = Vec::new();
            while let Some(entry) = entries.next_element()? {
                list.push(entry);
            }
            (self.0)(&list).map(|()| list).map_err(de::Error::custom)
        }
    }
    deserializer.deserialize_seq(List(check))
}
