//! The one shape of every state machine: a table of legal moves, and what a decision says.

use std::fmt::Display;

/// Legal moves, one row each: from, verb, to.
pub type Moves<S, V> = &'static [(S, V, S)];

/// What a command does to a thing.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Outcome<E> {
    /// It changes: this happened.
    Changed(E),
    /// It is so already: a repeat succeeds and does nothing.
    AlreadySo,
}

/// Where `verb` leads from `from`, if it is legal there.
pub fn target<S: Copy + Eq, V: Copy + Eq>(moves: Moves<S, V>, from: S, verb: V) -> Option<S> {
    moves
        .iter()
        .find(|(f, v, _)| *f == from && *v == verb)
        .map(|(_, _, to)| *to)
}

/// The verbs that are legal from `from`, in the table's order.
pub fn verbs_from<S: Copy + Eq, V: Copy + Eq>(moves: Moves<S, V>, from: S) -> Vec<V> {
    let mut verbs = Vec::new();
    for (f, verb, _) in moves {
        if *f == from && !verbs.contains(verb) {
            verbs.push(*verb);
        }
    }
    verbs
}

/// The table as a grid in text: a row per status, a column per verb, the target in the cell.
pub fn grid<S, V>(moves: Moves<S, V>, statuses: &[S], verbs: &[V]) -> String
where
    S: Copy + Eq + Display,
    V: Copy + Eq + Display,
{
    const WIDTH: usize = 13;
    let mut text = format!("{:WIDTH$}", "");
    for verb in verbs {
        text.push_str(&format!("{:WIDTH$}", verb.to_string()));
    }
    for status in statuses {
        text = format!("{}\n{:WIDTH$}", text.trim_end(), status.to_string());
        for verb in verbs {
            let cell = target(moves, *status, *verb).map_or(".".into(), |to| to.to_string());
            text.push_str(&format!("{cell:WIDTH$}"));
        }
    }
    format!("{}\n", text.trim_end())
}

/// Makes a closed set of words: an enum with its text, its parsing and its serde form.
///
/// `words! { /// Doc. Status { /// Doc. Open => "open" } }`
macro_rules! words {
    ($(#[$doc:meta])* $name:ident { $($(#[$word_doc:meta])* $word:ident => $text:literal),+ $(,)? }) => {
        $(#[$doc])*
        #[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
        pub enum $name {
            $($(#[$word_doc])* $word),+
        }

        impl $name {
            /// Every word.
            pub const ALL: &'static [Self] = &[$(Self::$word),+];

            /// The word in the store and in the API.
            pub fn as_str(self) -> &'static str {
                match self {
                    $(Self::$word => $text),+
                }
            }
        }

        impl std::fmt::Display for $name {
            fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
                f.pad(self.as_str())
            }
        }

        impl std::str::FromStr for $name {
            type Err = String;

            fn from_str(text: &str) -> Result<Self, Self::Err> {
                match text {
                    $($text => Ok(Self::$word),)+
                    other => Err(format!("`{other}` is none of {}", [$($text),+].join(", "))),
                }
            }
        }

        impl serde::Serialize for $name {
            fn serialize<S: serde::Serializer>(&self, to: S) -> Result<S::Ok, S::Error> {
                to.serialize_str(self.as_str())
            }
        }

        impl<'de> serde::Deserialize<'de> for $name {
            fn deserialize<D: serde::Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
                let text = <String as serde::Deserialize>::deserialize(from)?;
                text.parse().map_err(serde::de::Error::custom)
            }
        }
    };
}
