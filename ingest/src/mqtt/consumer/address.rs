//! From the configuration to the options of the MQTT client.

use rumqttc::{MqttOptions, Transport};

use super::{ConsumerConfig, ConsumerError, tls};
use crate::mqtt::topic;

/// The largest packet that MQTT knows, so that none is refused on the wire: refused, the broker
/// would send it again at every reconnect, forever. Our own limit is the pipeline's, which puts
/// what is too large into the quarantine.
const PACKET_BYTES: usize = 5 + 268_435_455;

/// The parts of a broker's address.
#[derive(Debug, PartialEq, Eq)]
struct Address {
    tls: bool,
    host: String,
    port: u16,
}

/// Builds the client's options.
pub(super) fn options(config: &ConsumerConfig) -> Result<MqttOptions, ConsumerError> {
    let address = parse(&config.url).map_err(|problem| ConsumerError::Url {
        url: without_credentials(&config.url),
        problem,
    })?;
    if config.client_id.is_empty() {
        return Err(ConsumerError::NoClientId);
    }
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
    }
    let mut options = MqttOptions::new(&config.client_id, address.host, address.port);
    if address.tls {
        let client = tls::client_config(config.ca_file.as_deref())?;
        options.set_transport(Transport::tls_with_config(client.into()));
    }
    if let Some((user, password)) = &config.credentials {
        options.set_credentials(user, password);
    }
    let keep_alive = config.limits.keep_alive.as_secs().max(1);
    options
        .set_keep_alive(std::time::Duration::from_secs(keep_alive))
        .set_clean_session(false)
        .set_manual_acks(true)
        .set_max_packet_size(PACKET_BYTES, PACKET_BYTES);
    Ok(options)
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
    use crate::mqtt::ConsumerLimits;

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
            ca_file: None,
            limits: ConsumerLimits::default(),
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
        assert!(!format!("{:?}", config()).contains("hush"));
    }

    #[test]
    fn the_session_is_persistent_and_acknowledged_by_hand() {
        let options = options(&config()).unwrap();
        assert!(!options.clean_session() && options.manual_acks());
        assert_eq!(options.max_packet_size(), PACKET_BYTES);
        assert_eq!(options.keep_alive().as_secs(), 10);
    }
}
