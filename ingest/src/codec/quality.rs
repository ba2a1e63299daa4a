//! Words for the quality of a value.

use crate::config::{MappingRule, QualityWords};
use crate::decode::Quality;

/// The words of one rule, ready to compare.
#[derive(Debug)]
pub(super) struct Words {
    words: QualityWords,
}

impl Words {
    pub(super) fn of(rule: &MappingRule) -> Self {
        Self {
            words: rule.quality.clone().unwrap_or_default(),
        }
    }

    /// What a word means; one that is not declared is bad.
    pub(super) fn quality(&self, word: &str) -> Quality {
        let word = word.trim();
        let is = |words: &[String]| words.iter().any(|known| known.eq_ignore_ascii_case(word));
        if is(&self.words.good) {
            Quality::Good
        } else if is(&self.words.uncertain) {
            Quality::Uncertain
        } else {
            Quality::Bad
        }
    }
}
