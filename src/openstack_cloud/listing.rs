//! Lists of a cloud, read page by page and object by object, so that however much a cloud answers, little of it is held:
//! one page as it came, and the objects that are wanted.

use std::fmt;

use serde::Deserialize;
use serde::de::{DeserializeSeed, Deserializer, Error as _, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde_json::value::RawValue;

/// Objects asked for at once, at first. A page that is too long is asked for again in smaller ones.
pub(super) const PAGE: usize = 100;

/// The most pages that are read of one list.
pub(super) const PAGES: usize = 200;

/// The longest page, in bytes: a hundred objects of 5 KiB, and those of services are shorter as a rule.
pub(super) const PAGE_BYTES: u64 = 512 << 10;

/// What a list may have in all, in bytes.
pub(super) const LIST_BYTES: usize = 32 << 20;

/// A longer object is passed over: it is none of ours, and nothing that we look for in lists is as long.
const OBJECT_BYTES: usize = 64 << 10;

/// What may be held of one list, in bytes of memory.
const HELD_BYTES: usize = 8 << 20;

/// What a name or a value takes in memory beside its characters.
const TEXT_BYTES: usize = 50;

/// The objects that are wanted of a list, as far as it has been read.
pub(super) struct Listing<'a, T> {
    key: &'a str,
    next: &'a str,
    wanted: &'a dyn Fn(&T) -> bool,
    objects: Vec<T>,
    held: usize,
    read: usize,
}

/// What a page says about the list.
#[derive(Debug, PartialEq, Eq)]
pub(super) struct Turned {
    /// The id of its last object, if it has one.
    pub(super) last: Option<String>,
    /// Whether more follows.
    pub(super) more: bool,
}

impl<'a, T: for<'de> Deserialize<'de>> Listing<'a, T> {
    /// Nothing yet of the list that `key` names in each answer; `next` is the field that is there as long as more follows.
    pub(super) fn new(key: &'a str, next: &'a str, wanted: &'a dyn Fn(&T) -> bool) -> Self {
        Self { key, next, wanted, objects: Vec::new(), held: 0, read: 0 }
    }

    /// Takes what is wanted from the next page. Says what is wrong with it if it is none.
    pub(super) fn take(&mut self, page: &str) -> Result<Turned, String> {
        self.read = self.read.saturating_add(page.len());
        if self.read > LIST_BYTES {
            return Err(format!("the list has more than {} MiB", LIST_BYTES >> 20));
        }
        let mut json = serde_json::Deserializer::from_str(page);
        let turned = Page(self).deserialize(&mut json).map_err(|error| error.to_string())?;
        json.end().map_err(|error| error.to_string())?;
        Ok(turned)
    }

    pub(super) fn into_objects(self) -> Vec<T> {
        self.objects
    }

    fn consider(&mut self, raw: &str) -> Result<(), String> {
        if raw.len() > OBJECT_BYTES {
            return Ok(());
        }
        let object: T = serde_json::from_str(raw).map_err(|error| error.to_string())?;
        if (self.wanted)(&object) {
            let texts = raw.bytes().filter(|byte| *byte == b'"').count() / 2;
            self.held += raw.len() + texts * TEXT_BYTES + size_of::<T>();
            if self.held > HELD_BYTES {
                return Err(format!("more than {} MiB of it would have to be held", HELD_BYTES >> 20));
            }
            self.objects.push(object);
        }
        Ok(())
    }
}

/// The top of an answer.
struct Page<'l, 'a, T>(&'l mut Listing<'a, T>);

impl<'de, T: for<'x> Deserialize<'x>> DeserializeSeed<'de> for Page<'_, '_, T> {
    type Value = Turned;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Turned, D::Error> {
        deserializer.deserialize_map(self)
    }
}

impl<'de, T: for<'x> Deserialize<'x>> Visitor<'de> for Page<'_, '_, T> {
    type Value = Turned;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "an answer with {:?}", self.0.key)
    }

    fn visit_map<M: MapAccess<'de>>(self, mut fields: M) -> Result<Turned, M::Error> {
        let (mut last, mut more) = (None, false);
        while let Some(name) = fields.next_key::<String>()? {
            if name == self.0.key {
                last = Some(fields.next_value_seed(Items(self.0))?);
            } else if name == self.0.next {
                more = fields.next_value::<Option<IgnoredAny>>()?.is_some();
            } else {
                fields.next_value::<IgnoredAny>()?;
            }
        }
        match last {
            Some(last) => Ok(Turned { last, more }),
            None => Err(M::Error::custom(format_args!("the answer has no {:?}", self.0.key))),
        }
    }
}

/// The list in it. Its value is the id of its last object.
struct Items<'l, 'a, T>(&'l mut Listing<'a, T>);

/// All that must be known of an object that is passed over.
#[derive(Deserialize)]
struct Identified {
    id: Option<String>,
}

impl<'de, T: for<'x> Deserialize<'x>> DeserializeSeed<'de> for Items<'_, '_, T> {
    type Value = Option<String>;

    fn deserialize<D: Deserializer<'de>>(self, deserializer: D) -> Result<Option<String>, D::Error> {
        deserializer.deserialize_seq(self)
    }
}

impl<'de, T: for<'x> Deserialize<'x>> Visitor<'de> for Items<'_, '_, T> {
    type Value = Option<String>;

    fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "a list {:?}", self.0.key)
    }

    fn visit_seq<S: SeqAccess<'de>>(self, mut items: S) -> Result<Option<String>, S::Error> {
        let mut last = None;
        while let Some(raw) = items.next_element::<&RawValue>()? {
            let key = self.0.key;
            let problem = |problem| S::Error::custom(format_args!("in {key:?}: {problem}"));
            self.0.consider(raw.get()).map_err(problem)?;
            last = Some(raw);
        }
        Ok(last.and_then(|raw| serde_json::from_str::<Identified>(raw.get()).ok()?.id))
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[derive(Debug, Deserialize)]
    struct Object {
        id: String,
    }

    fn take(pages: &[String], wanted: &dyn Fn(&Object) -> bool) -> Result<Vec<String>, String> {
        let mut listing = Listing::<Object>::new("things", "next", wanted);
        for page in pages {
            listing.take(page)?;
        }
        Ok(listing.into_objects().into_iter().map(|object| object.id).collect())
    }

    #[test]
    fn only_what_is_wanted_is_held() {
        let page =
            json!({"other": [1, {}], "things": [{"id": "a"}, {"id": "b", "more": [[]]}], "next": "/x"});
        assert_eq!(take(&[page.to_string()], &|object| object.id == "b").unwrap(), ["b"]);
        let mut listing = Listing::<Object>::new("things", "next", &|_| true);
        let turned = listing.take(&page.to_string()).unwrap();
        assert_eq!(turned, Turned { last: Some("b".into()), more: true });
        let end = json!({"next": null, "things": []}).to_string();
        assert_eq!(listing.take(&end).unwrap(), Turned { last: None, more: false });
    }

    #[test]
    fn an_object_that_is_too_long_is_passed_over_and_the_list_goes_on_after_it() {
        let long = "x".repeat(OBJECT_BYTES);
        let page = json!({"things": [{"id": "a"}, {"id": "long", "x": long}], "next": "/x"}).to_string();
        let mut listing = Listing::<Object>::new("things", "next", &|_| true);
        assert_eq!(listing.take(&page).unwrap().last, Some("long".into()));
        assert_eq!(listing.into_objects().len(), 1);
    }

    #[test]
    fn a_list_has_its_bounds() {
        let page = |count: usize| {
            let things: Vec<_> = (0..count).map(|number| json!({"id": format!("{number:0100}")})).collect();
            json!({ "things": things }).to_string()
        };
        assert!(take(&[page(40_000)], &|_| true).unwrap_err().contains("would have to be held"));
        assert_eq!(take(&[page(40_000)], &|_| false).unwrap().len(), 0);
        let many = vec![page(40_000); 9];
        assert!(take(&many, &|_| false).unwrap_err().contains("the list has more than 32 MiB"));
    }

    #[test]
    fn what_is_no_page_is_said() {
        for (page, problem) in [
            ("{}", "the answer has no \"things\""),
            ("[]", "an answer with \"things\""),
            (r#"{"things": 1}"#, "a list \"things\""),
            (r#"{"things": [{"id": 1}]}"#, "in \"things\": invalid type"),
            (r#"{"things": []} x"#, "trailing characters"),
        ] {
            let said = take(&[page.to_owned()], &|_| true).unwrap_err();
            assert!(said.contains(problem), "{page}: {said}");
        }
    }
}
