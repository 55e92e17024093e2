//! Relations between applications of two models: what one side says is carried to the other.

use std::sync::Mutex;

use crate::agent::Relation;

/// All of them.
#[derive(Default)]
pub(super) struct Connections(Mutex<Vec<Connection>>);

/// One.
pub(super) struct Connection {
    /// The model that offers, and the offer.
    pub offering_model: String,
    pub offer: String,
    /// The application that is offered, and its endpoint.
    pub offered: (String, String),
    /// The model that consumes, and what the offer is called there.
    pub consuming_model: String,
    pub consumed_as: String,
    /// The application that consumes, and its endpoint.
    pub consumer: (String, String),
    /// Each model's side.
    pub offering: Relation,
    pub consuming: Relation,
}

impl Connections {
    pub fn add(&self, connection: Connection) {
        crate::lock(&self.0).push(connection);
    }

    /// How many there are of a kind.
    pub fn count(&self, of_that_kind: impl Fn(&Connection) -> bool) -> usize {
        crate::lock(&self.0).iter().filter(|connection| of_that_kind(connection)).count()
    }

    /// What is to be told of them, in the order in which they came.
    pub fn list<T>(&self, told: impl Fn(&Connection) -> Option<T>) -> Vec<T> {
        crate::lock(&self.0).iter().filter_map(told).collect()
    }

    /// Ends those of a kind on both sides, and says how many.
    pub fn end(&self, of_that_kind: impl Fn(&Connection) -> bool) -> usize {
        let mut all = crate::lock(&self.0);
        let before = all.len();
        all.retain(|connection| {
            let ends = of_that_kind(connection);
            if ends {
                connection.end();
            }
            !ends
        });
        before - all.len()
    }

    /// Brings to each side what the other says; what has ended on one side ends on the other.
    pub fn carry(&self) {
        crate::lock(&self.0).retain(Connection::carry);
    }
}

impl Connection {
    fn carry(&self) -> bool {
        let (Some(offering), Some(consuming)) = (self.offering.said(), self.consuming.said()) else {
            self.end();
            return false;
        };
        // Where a side ends just now, the next time finds it.
        drop(self.offering.hear(&consuming));
        drop(self.consuming.hear(&offering));
        true
    }

    /// Ends both sides; one that has ended already is left alone.
    fn end(&self) {
        for side in [&self.offering, &self.consuming] {
            if side.said().is_some() {
                drop(side.remove());
            }
        }
    }
}
