//! Notices: metrics that were published with two types.

use std::fmt;

use serde::Serialize;

use crate::snapshot::{KIND, SIDE_OF, Snapshot};

/// One metric whose values of another type stand in a column beside it.
///
/// Derived from the tables' columns, so it lasts as long as they do and is bounded as they are.
#[derive(Debug, Clone, PartialEq, Eq, Serialize)]
pub struct Notice {
    /// The class.
    pub class: String,
    /// The metric.
    pub metric: String,
    /// What was published against the metric's type: `text` or `number`.
    pub published: String,
    /// The column that holds such values.
    pub column: String,
}

/// The notices of all tables, in their order.
pub fn notices(snapshot: &Snapshot) -> Vec<Notice> {
    let mut notices = Vec::new();
    for (class, table) in &snapshot.tables {
        for field in table.schema.fields() {
            let metadata = field.metadata();
            let (Some(metric), Some(kind)) = (metadata.get(SIDE_OF), metadata.get(KIND)) else {
                continue;
            };
            if matches!(kind.as_str(), "text" | "number") {
                notices.push(Notice {
                    class: class.to_string(),
                    metric: metric.clone(),
                    published: kind.clone(),
                    column: field.name().clone(),
                });
            }
        }
    }
    notices
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        let Self {
            class,
            metric,
            published,
            column,
        } = self;
        write!(
            f,
            "\"{metric}\" of the class \"{class}\" was also published as {published}; such values \
             are in \"{column}\": correct the device, or rename one of the two in the mapping rule"
        )
    }
}
