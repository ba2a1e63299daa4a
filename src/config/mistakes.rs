//! What can be wrong with a configuration beyond the type of one section.

use fieldwright_ingest::mqtt::User;
use fieldwright_workorders::store::without_password;
use toml::{Table, Value};

use super::Mqtt;
use super::layers::{Layers, collect_leaves, lookup};

/// Tables whose keys a person chooses: what stands below them is checked by their own section.
const OPEN_TABLES: [&str; 5] = [
    "detect.classes",
    "detect.defaults.detectors",
    "detect.kinds",
    "detect.rules",
    "ingest.rules",
];

/// Unknown keys and values of another type than the default's.
pub fn against_defaults(layers: &Layers) -> Vec<String> {
    let mut leaves = Vec::new();
    collect_leaves("", layers.merged(), &mut leaves);
    let mut found = Vec::new();
    for (path, value) in leaves {
        let is_open = OPEN_TABLES.iter().any(|open| path.starts_with(open));
        if is_open || stands_in_an_empty_default(layers.defaults(), &path) {
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
    let shared = |topic: &String| topic.starts_with("$share/");
    if mqtt.broker.is_some() && mqtt.connections > 1 && !mqtt.topics.iter().all(shared) {
        found.push(
            "mqtt.connections is more than 1, but not every topic of mqtt.topics begins with \
             $share/GROUP/: each connection would receive every message"
                .into(),
        );
    }
    if !(1..=64).contains(&mqtt.connections) {
        found.push(format!(
            "mqtt.connections is {}, but must be between 1 and 64",
            mqtt.connections
        ));
    }
    if mqtt.client_certificate_file.is_some() != mqtt.client_key_file.is_some() {
        found.push(
            "mqtt.client_certificate_file and mqtt.client_key_file belong together: name both"
                .into(),
        );
    }
    if let Some(host) = &mqtt.sparkplug_host_id
        && host.contains(['/', '+', '#'])
    {
        found.push(format!(
            "mqtt.sparkplug_host_id is `{host}`, but must be one level of a topic: no / + #"
        ));
    }
    found.extend(
        User::mistakes(&mqtt.users)
            .iter()
            .map(|mistake| format!("mqtt.users: {mistake}")),
    );
    found.extend(mqtt.tls.endpoint().err().into_iter().flatten());
    found.extend(mqtt.limits.mistakes());
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

/// A default of `{}` says that a person chooses the keys.
fn stands_in_an_empty_default(defaults: &Table, path: &str) -> bool {
    let around = path.rsplit_once('.').map(|(around, _)| around);
    let default = around.and_then(|around| lookup(defaults, around));
    default.is_some_and(|default| default.as_table().is_some_and(Table::is_empty))
}

fn same_kind(default: &Value, value: &Value) -> bool {
    default.same_type(value) || (default.is_float() && value.is_integer())
}
