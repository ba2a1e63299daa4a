//! What is found in the past raises nothing: whoever imports a year of readings wants no alarms of
//! last winter. What is still there when the present comes is raised then.
//!
//! The past is what was older than the class's `backfill_after` when it was received. That is a
//! property of the stored row, so a restart that reads it again decides the same.

use std::collections::BTreeSet;

use fieldwright_condition::episode::Turn;
use serde::{Deserialize, Serialize};

/// The causes of one asset that are there and are not raised: they began in the past, or raise
/// nothing by their settings.
///
/// Nearly no asset has any, so an empty one takes a pointer.
#[derive(Debug, Clone, PartialEq, Default, Serialize, Deserialize)]
#[serde(from = "BTreeSet<String>", into = "BTreeSet<String>")]
#[expect(
    clippy::box_collection,
    reason = "there is one of every asset: one word, not three"
)]
pub(super) struct Withheld(Option<Box<BTreeSet<String>>>);

impl Withheld {
    /// Whether there is none.
    pub(super) fn is_empty(&self) -> bool {
        self.0.is_none()
    }

    /// Whether a cause is one of them.
    pub(super) fn holds(&self, cause: &str) -> bool {
        self.0.as_ref().is_some_and(|held| held.contains(cause))
    }

    /// What a turn of a cause means for its alarm; `began` is when it began, while it is up.
    pub(super) fn admit(
        &mut self,
        cause: &str,
        turn: Turn,
        is_past: bool,
        began: Option<i64>,
    ) -> Turn {
        if !self.holds(cause) {
            if is_past && matches!(turn, Turn::Raise { .. }) {
                self.0.get_or_insert_default().insert(cause.to_owned());
                return Turn::None;
            }
            return turn;
        }
        match (turn, began) {
            (Turn::Return, _) | (_, None) => {
                self.let_go(cause);
                Turn::None
            }
            _ if is_past => Turn::None,
            (_, Some(began)) => {
                self.let_go(cause);
                Turn::Raise { began }
            }
        }
    }

    /// Notes whether a cause that raises nothing is there.
    pub(super) fn hold(&mut self, cause: &str, is_there: bool) {
        match (is_there, self.holds(cause)) {
            (true, false) => drop(self.0.get_or_insert_default().insert(cause.to_owned())),
            (false, true) => self.let_go(cause),
            _ => {}
        }
    }

    fn let_go(&mut self, cause: &str) {
        if let Some(held) = &mut self.0 {
            held.remove(cause);
        }
        self.0.take_if(|held| held.is_empty());
    }
}

impl From<BTreeSet<String>> for Withheld {
    fn from(held: BTreeSet<String>) -> Self {
        Self((!held.is_empty()).then(|| Box::new(held)))
    }
}

impl From<Withheld> for BTreeSet<String> {
    fn from(withheld: Withheld) -> Self {
        withheld.0.map(|held| *held).unwrap_or_default()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// One letter a window: r raises, w gets worse, b returns, - goes on, . is quiet; capital: in
    /// the past. Gives what is told, in the same letters.
    #[track_caller]
    fn check(windows: &str, expected: &str) {
        let (mut withheld, mut up, mut told) = (Withheld::default(), false, String::new());
        for letter in windows.chars() {
            let turn = match letter.to_ascii_lowercase() {
                'r' => Turn::Raise { began: 7 },
                'w' => Turn::Worse,
                'b' => Turn::Return,
                _ => Turn::None,
            };
            let is_past = letter.is_ascii_uppercase() || letter == '=';
            up = match turn {
                Turn::Raise { .. } => true,
                Turn::Return => false,
                _ => up,
            };
            told.push(
                match withheld.admit("pca", turn, is_past, up.then_some(7)) {
                    Turn::Raise { began } => {
                        assert_eq!(began, 7);
                        'r'
                    }
                    Turn::Worse => 'w',
                    Turn::Return => 'b',
                    Turn::None => '-',
                },
            );
            // A restart in between changes nothing.
            let saved = serde_json::to_string(&withheld).unwrap();
            withheld = serde_json::from_str(&saved).unwrap();
        }
        assert_eq!(told, expected, "{windows}");
    }

    #[test]
    fn the_past_raises_nothing_and_what_lasts_is_raised_in_the_present() {
        check("rwb-", "rwb-");
        check("RWB-", "----");
        check("R==--b", "---r-b");
        check("R=w-b", "--r-b");
        check("R=b-r", "----r");
        // An alarm that is up goes on, whatever comes late.
        check("rWB", "rwb");
    }

    #[test]
    fn what_is_there_when_a_detector_begins_to_raise_is_raised() {
        let mut withheld = Withheld::default();
        withheld.hold("pca", true);
        withheld.hold("pca", true);
        let turn = withheld.admit("pca", Turn::None, false, Some(7));
        assert_eq!(turn, Turn::Raise { began: 7 });
        withheld.hold("pca", true);
        withheld.hold("pca", false);
        assert!(withheld.is_empty());
    }
}
