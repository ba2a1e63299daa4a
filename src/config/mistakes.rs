//! What can be wrong with a configuration beyond the type of one section.

use fieldwright_workorders::store::without_password;
use toml::Value;

use super::Mqtt;
use super::layers::{Layers, collect_leaves, lookup};

/// Tables whose keys a person chooses: what stands below them is checked by their own section.
const OPEN_TABLES: [&str; 3] = ["detect.classes", "detect.rules", "ingest.rules"];

/// Unknown keys and values of another type than the default's.
pub fn against_defaults(layers: &Layers) -> Vec<String> {
    let mut leaves = Vec::new();
    collect_leaves("", layers.merged(), &mut leaves);
    let mut found = Vec::new();
    for (path, value) in leaves {
        if OPEN_TABLES.iter().any(|open| path.starts_with(open)) {
            continue;
        }
        match lookup(layers.defaults(), &path) {
            None => found.push(format!(
                "{path} is no setting (from {}); `fieldwright config show` lists them all",
                layers.origin(&path)
            )),
            Some(default) if !same_kind(default, value) => found.push(format!(
                "{path} is {} but must be {} (from {})",
                value.type_str(),
                default.type_str(),
                layers.origin(&path)
            )),
            Some(_) => {}
        }
    }
    found
}

/// The broker's URL must be one that the consumer speaks.
pub fn of_mqtt(mqtt: &Mqtt) -> Vec<String> {
    let mut found = Vec::new();
    if let Some(broker) = &mqtt.broker
        && !broker.starts_with("mqtt://")
        && !broker.starts_with("mqtts://")
    {
        found.push(format!(
            "mqtt.broker is `{}`, but must begin with mqtt:// or mqtts://",
            without_password(broker)
        ));
    }
    if mqtt.broker.is_some() && mqtt.topics.is_empty() {
        found.push("mqtt.topics is empty: a broker is named, but nothing to subscribe to".into());
    }
    if mqtt.client_id.is_empty() {
        found.push("mqtt.client_id is empty: a persistent session needs a name".into());
    }
    found
}

/// Only two stores exist.
pub fn of_store_url(url: &str) -> Vec<String> {
    let known = ["sqlite:", "postgres:", "postgresql:"];
    if known.iter().any(|scheme| url.starts_with(scheme)) {
        return Vec::new();
    }
    vec![format!(
        "store.url is `{}`, but must begin with sqlite: or postgres:",
        without_password(url)
    )]
}

fn same_kind(default: &Value, value: &Value) -> bool {
    default.same_type(value) || (default.is_float() && value.is_integer())
}
