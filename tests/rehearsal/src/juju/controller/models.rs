//! The models: the first, which the rehearsal began with, and those that the operator adds.

use std::collections::BTreeMap;
use std::sync::{Arc, Mutex};

use super::super::api::{CONTROLLER, USER};
use super::crossmodel::{Consumed, Offer};
use super::tasks::Tasks;
use super::{Refusal, refused};
use crate::agent::Model;

/// A model, and what the controller knows of it.
pub(super) struct HostedModel {
    pub name: String,
    pub model: Arc<Model>,
    pub tasks: Tasks,
    /// What it offers to others, by the offer's name.
    pub offers: Mutex<BTreeMap<String, Offer>>,
    /// What it consumes of others, by the name that this has here.
    pub consumed: Mutex<BTreeMap<String, Consumed>>,
}

/// All models by name, and which is the current one.
pub(super) struct Models {
    all: Mutex<BTreeMap<String, Arc<HostedModel>>>,
    current: Mutex<String>,
    first: String,
}

impl Models {
    /// With one model, which is the current one and stays.
    pub fn of(name: &str, model: Arc<Model>) -> Self {
        let all = BTreeMap::from([(name.to_owned(), Arc::new(HostedModel::new(name, model)))]);
        Self { all: Mutex::new(all), current: Mutex::new(name.to_owned()), first: name.to_owned() }
    }

    /// The model of a name, which may have controller and owner before it; the current one if none is given.
    pub fn find(&self, name: Option<&str>) -> Result<Arc<HostedModel>, Refusal> {
        let current = self.current();
        let name = name.map_or(current.as_str(), |name| name.rsplit(['/', ':']).next().unwrap_or(name));
        let found = crate::lock(&self.all).get(name).cloned();
        found.ok_or_else(|| refused(format!("model {CONTROLLER}:{USER}/{name} not found")))
    }

    /// Adds an empty model.
    pub fn add(&self, name: &str, model: Model) -> Result<(), Refusal> {
        let mut all = crate::lock(&self.all);
        if all.contains_key(name) {
            return Err(refused(format!(
                "failed to create new model: model \"{name}\" for {USER} already exists (already exists)"
            )));
        }
        model.run_hooks_in_background();
        all.insert(name.to_owned(), Arc::new(HostedModel::new(name, Arc::new(model))));
        Ok(())
    }

    /// Takes a model away. Who still uses it keeps it for as long.
    pub fn remove(&self, name: &str) -> Result<(), Refusal> {
        if name == self.first {
            return Err(refused(format!(
                "model {name:?} is the rehearsal's own: it ends with the rehearsal"
            )));
        }
        crate::lock(&self.all).remove(name);
        let mut current = crate::lock(&self.current);
        if *current == name {
            current.clone_from(&self.first);
        }
        Ok(())
    }

    /// The name of the current model.
    pub fn current(&self) -> String {
        crate::lock(&self.current).clone()
    }

    /// Makes a model the current one.
    pub fn switch(&self, name: &str) {
        name.clone_into(&mut crate::lock(&self.current));
    }

    /// All of them.
    pub fn all(&self) -> Vec<Arc<HostedModel>> {
        crate::lock(&self.all).values().cloned().collect()
    }
}

impl HostedModel {
    fn new(name: &str, model: Arc<Model>) -> Self {
        Self {
            name: name.to_owned(),
            model,
            tasks: Tasks::default(),
            offers: Mutex::default(),
            consumed: Mutex::default(),
        }
    }
}
