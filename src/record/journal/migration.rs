//! What earlier versions wrote into the journal, in the present format.

use serde_json::{Value, json};

use super::FORMAT;
use crate::model::Timestamp;

/// What formats 1 and 2 told of all targets together.
#[derive(Default)]
pub(super) struct Before {
    pub failures_in_row: u32,
    pub last_success: Option<Timestamp>,
}

/// Brings a journal of `format` 1, which did not note what builds make, or 2 to the present one.
pub(super) fn migrate(written: &mut Value, format: u64) -> Before {
    let Some(journal) = written.as_object_mut() else { return Before::default() };
    let (failures_in_row, last_success) = (journal.remove("failures_in_row"), journal.remove("last_success"));
    journal.insert("format".into(), json!(FORMAT));
    journal.insert("standings".into(), json!([]));
    if format == 1 {
        journal.insert("in_use".into(), json!([]));
        journal.insert("swept".into(), Value::Null);
        if let Some(job) = journal.get_mut("job").filter(|job| job.is_object()) {
            job["reason"] = Value::Null;
            let builds = job.get_mut("builds").and_then(Value::as_array_mut).into_iter().flatten();
            for build in builds.filter_map(Value::as_object_mut) {
                build.insert("resources".into(), json!([]));
            }
        }
    }
    Before {
        failures_in_row: failures_in_row.and_then(|count| u32::try_from(count.as_u64()?).ok()).unwrap_or(0),
        last_success: last_success.and_then(|at| Timestamp::of_rfc3339(at.as_str()?)),
    }
}
