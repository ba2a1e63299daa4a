//! `spBv1.0/{group}/{type}/{node}[/{device}]`: who speaks, and what kind of message it is.

/// The first level of every Sparkplug B topic.
pub(crate) const NAMESPACE: &str = "spBv1.0";

/// What a message is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    NodeBirth,
    DeviceBirth,
    NodeData,
    DeviceData,
    NodeDeath,
    DeviceDeath,
}

/// The sender of a message.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Address<'t> {
    pub group: &'t str,
    pub node: &'t str,
    /// None for the node itself.
    pub device: Option<&'t str>,
    pub kind: Kind,
}

/// What a topic is to Sparkplug.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Spoken<'t> {
    /// A message of a node or a device.
    Message(Address<'t>),
    /// A command to one, or the state of a host: nothing that is read.
    NotForUs,
    /// Not a topic of Sparkplug B; why.
    Unknown(&'static str),
}

/// Reads a topic.
pub(crate) fn read(topic: &str) -> Spoken<'_> {
    let mut levels = topic.split('/');
    if levels.next() != Some(NAMESPACE) {
        return Spoken::Unknown("the topic does not begin with spBv1.0");
    }
    let (group, kind, node, device, rest) = (
        levels.next().unwrap_or_default(),
        levels.next().unwrap_or_default(),
        levels.next(),
        levels.next(),
        levels.next(),
    );
    if group == "STATE" {
        return Spoken::NotForUs;
    }
    let (kind, of_device) = match kind {
        "NBIRTH" => (Kind::NodeBirth, false),
        "DBIRTH" => (Kind::DeviceBirth, true),
        "NDATA" => (Kind::NodeData, false),
        "DDATA" => (Kind::DeviceData, true),
        "NDEATH" => (Kind::NodeDeath, false),
        "DDEATH" => (Kind::DeviceDeath, true),
        "NCMD" | "DCMD" => return Spoken::NotForUs,
        _ => return Spoken::Unknown("the third level is no message type of Sparkplug B"),
    };
    let node = node.unwrap_or_default();
    if group.is_empty() || node.is_empty() || device == Some("") {
        return Spoken::Unknown("a level of the topic is empty");
    }
    if rest.is_some() || device.is_some() != of_device {
        return Spoken::Unknown("the topic has not the levels of its message type");
    }
    Spoken::Message(Address {
        group,
        node,
        device,
        kind,
    })
}

impl Address<'_> {
    /// The node's key among all nodes.
    pub(crate) fn node_key(&self) -> String {
        format!("{}/{}", self.group, self.node)
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(topic: &str, expected: Option<(&str, &str, Option<&str>, Kind)>) {
        let found = match read(topic) {
            Spoken::Message(a) => Some((a.group, a.node, a.device, a.kind)),
            _ => None,
        };
        assert_eq!(found, expected, "{topic}");
    }

    #[test]
    fn topics() {
        check(
            "spBv1.0/g/NBIRTH/n",
            Some(("g", "n", None, Kind::NodeBirth)),
        );
        check(
            "spBv1.0/g/DDATA/n/d",
            Some(("g", "n", Some("d"), Kind::DeviceData)),
        );
        for bad in [
            "spBv1.0/g/NDATA/n/d",
            "spBv1.0/g/DDATA/n",
            "spBv1.0/g/DDATA/n/d/e",
            "spBv1.0/g/DDATA/n/",
            "spBv1.0//NDATA/n",
            "spBv1.0/g/NDATA",
            "spBv1.0/g/XDATA/n",
            "spAv1.0/g/NDATA/n",
            "spBv1.0",
            "",
        ] {
            check(bad, None);
            assert!(matches!(read(bad), Spoken::Unknown(_)), "{bad}");
        }
        for other in [
            "spBv1.0/STATE/host",
            "spBv1.0/g/NCMD/n",
            "spBv1.0/g/DCMD/n/d",
        ] {
            assert_eq!(read(other), Spoken::NotForUs, "{other}");
        }
    }
}
