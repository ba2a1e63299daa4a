//! From the configuration to the options of the MQTT client.

use std::sync::Arc;
use std::time::Duration;

use rumqttc::{MqttOptions, TlsConfiguration, Transport};

use super::{ConsumerConfig, ConsumerError, tls};
use crate::mqtt::topic;

/// The largest packet that MQTT knows, so that none is refused on the wire: refused, the broker
/// would send it again at every reconnect, forever. Our own limit is the pipeline's, which puts
/// what is too large into the quarantine.
const PACKET_BYTES: usize = 5 + 268_435_455;

/// Most connections of one consumer.
const MAX_CONNECTIONS: usize = 64;

/// The parts of a broker's address.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    tls: bool,
    host: String,
    port: u16,
}

/// What a configuration comes to.
pub(super) struct Wanted {
    /// One per connection: each has its own session.
    pub connections: Vec<MqttOptions>,
    /// Of the second client, which has none.
    pub publisher: MqttOptions,
}

/// Checks the configuration and builds the clients' options.
pub(super) fn options(config: &ConsumerConfig) -> Result<Wanted, ConsumerError> {
    let address = parse(&config.url).map_err(|problem| ConsumerError::Url {
        url: without_credentials(&config.url),
        problem,
    })?;
    if config.client_id.is_empty() {
        return Err(ConsumerError::NoClientId);
    }
    check_topics(config)?;
    let count = config.connections;
    if !(1..=MAX_CONNECTIONS).contains(&count) {
        return Err(ConsumerError::Connections {
            connections: count,
            most: MAX_CONNECTIONS,
        });
    }
    let tls = match address.tls {
        true => Some(Arc::new(tls::client_config(config)?)),
        false => None,
    };
    let client = |client_id: &str| {
        let mut options = MqttOptions::new(client_id, &address.host, address.port);
        if let Some(tls) = &tls {
            options.set_transport(Transport::tls_with_config(TlsConfiguration::Rustls(
                tls.clone(),
            )));
        }
        if let Some((user, password)) = &config.credentials {
            options.set_credentials(user, password);
        }
        let keep_alive = config.limits.keep_alive.as_secs().max(1);
        options.set_keep_alive(Duration::from_secs(keep_alive));
        options
    };
    let connections = (1..=count).map(|number| {
        let mut options = match count {
            1 => client(&config.client_id),
            _ => client(&format!("{}-{number}", config.client_id)),
        };
        options
            .set_clean_session(false)
            .set_manual_acks(true)
            .set_max_packet_size(PACKET_BYTES, PACKET_BYTES);
        options
    });
    Ok(Wanted {
        connections: connections.collect(),
        publisher: client(&format!("{}-publisher", config.client_id)),
    })
}

fn check_topics(config: &ConsumerConfig) -> Result<(), ConsumerError> {
    if config.topics.is_empty() {
        return Err(ConsumerError::NoTopics);
    }
    for filter in &config.topics {
        topic::check_filter(filter, usize::from(u16::MAX), usize::MAX).map_err(|error| {
            ConsumerError::Filter {
                filter: filter.clone(),
                source: error.into(),
            }
        })?;
        if config.connections > 1 && !filter.starts_with("$share/") {
            return Err(ConsumerError::NotShared {
                filter: filter.clone(),
            });
        }
    }
    Ok(())
}

fn parse(url: &str) -> Result<Address, &'static str> {
    let (tls, rest) = match url.split_once("://") {
        Some(("mqtt" | "tcp", rest)) => (false, rest),
        Some(("mqtts" | "ssl", rest)) => (true, rest),
        _ => return Err("begin it with mqtt:// or mqtts://"),
    };
    let rest = rest.strip_suffix('/').unwrap_or(rest);
    if rest.contains('@') {
        return Err("user and password belong in the configuration, where they are not logged");
    }
    if rest.contains(['/', '?', '#']) {
        return Err("nothing may follow host and port");
    }
    let (host, port) = match rest.rsplit_once(':') {
        // A colon inside brackets is part of an IPv6 address.
        Some((host, port)) if !port.contains(']') => {
            let port = port
                .parse()
                .map_err(|_| "the port is not a number up to 65535")?;
            (host, port)
        }
        _ => (rest, if tls { 8883 } else { 1883 }),
    };
    if host.is_empty() {
        return Err("it names no host");
    }
    if host.contains(':') && !(host.starts_with('[') && host.ends_with(']')) {
        return Err("write an IPv6 address in brackets: mqtt://[::1]:1883");
    }
    Ok(Address {
        tls,
        host: host.to_owned(),
        port,
    })
}

/// The address as it may be shown.
pub(super) fn without_credentials(url: &str) -> String {
    match (url.find("://"), url.rfind('@')) {
        (Some(scheme), Some(at)) if at > scheme => {
            format!("{}***{}", &url[..scheme + 3], &url[at..])
        }
        _ => url.to_owned(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn addresses_are_read() {
        let check = |url: &str| parse(url).map(|a| (a.tls, a.host, a.port)).ok();
        for (url, expected) in [
            ("mqtt://localhost", Some((false, "localhost", 1883))),
            ("mqtt://localhost/", Some((false, "localhost", 1883))),
            (
                "mqtts://broker.example",
                Some((true, "broker.example", 8883)),
            ),
            ("mqtt://10.0.0.1:41231", Some((false, "10.0.0.1", 41231))),
            ("mqtt://[::1]:9", Some((false, "[::1]", 9))),
            ("mqtt://[::1]", Some((false, "[::1]", 1883))),
            ("mqtt://::1", None),
            ("localhost:1883", None),
            ("http://localhost", None),
            ("mqtt://", None),
            ("mqtt://:1883", None),
            ("mqtt://h:99999", None),
            ("mqtt://h:1883/topic", None),
            ("mqtt://h:1883?x=1", None),
            ("mqtt://user:secret@h", None),
        ] {
            let expected = expected.map(|(tls, host, port)| (tls, host.to_owned(), port));
            assert_eq!(check(url), expected, "{url}");
        }
    }

    fn config() -> ConsumerConfig {
        ConsumerConfig {
            url: "mqtt://localhost:1".into(),
            topics: vec!["#".into()],
            client_id: "c".into(),
            credentials: Some(("user".into(), "hush".into())),
            ..ConsumerConfig::default()
        }
    }

    #[test]
    fn mistakes_are_told_without_secrets() {
        let check = |change: &dyn Fn(&mut ConsumerConfig)| {
            let mut config = config();
            change(&mut config);
            options(&config).err().map(|error| error.to_string())
        };
        assert_eq!(check(&|_| ()), None);
        let url = check(&|c| c.url = "mqtt://user:hush@h".into()).unwrap();
        assert!(
            url.contains("mqtt://***@h") && !url.contains("hush"),
            "{url}"
        );
        assert!(check(&|c| c.topics.clear()).is_some());
        assert!(check(&|c| c.topics.push("a/#/b".into())).is_some());
        assert!(check(&|c| c.client_id.clear()).is_some());
        let missing = check(&|c| {
            c.url = "mqtts://h".into();
            c.ca_file = Some("/no/such/file.pem".into());
        });
        assert!(missing.unwrap().contains("/no/such/file.pem"));
        assert!(check(&|c| c.connections = 0).is_some());
        assert!(check(&|c| c.connections = 65).is_some());
        let shared = check(&|c| c.connections = 2).unwrap();
        assert!(shared.contains("$share/GROUP/#"), "{shared}");
        assert!(!format!("{:?}", config()).contains("hush"));
    }

    #[test]
    fn sessions_are_persistent_and_acknowledged_by_hand() {
        let check = |connections: usize, topics: &[&str], names: &[&str]| {
            let mut config = config();
            config.connections = connections;
            config.topics = topics.iter().map(|topic| (*topic).to_owned()).collect();
            let wanted = options(&config).unwrap();
            let found: Vec<String> = wanted.connections.iter().map(|o| o.client_id()).collect();
            assert_eq!(found, names);
            for options in &wanted.connections {
                assert!(!options.clean_session() && options.manual_acks());
                assert_eq!(options.max_packet_size(), PACKET_BYTES);
                assert_eq!(options.keep_alive().as_secs(), 10);
            }
            assert_eq!(wanted.publisher.client_id(), "c-publisher");
            assert!(wanted.publisher.clean_session());
        };
        check(1, &["a/#", "b/+"], &["c"]);
        check(3, &["$share/g/a/#"], &["c-1", "c-2", "c-3"]);
    }
}
