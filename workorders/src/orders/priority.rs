//! How urgent an order is, and why.

words! {
    /// How bad an alarm is.
    Severity {
        /// Worth a look.
        Low => "low",
        /// Will become a failure.
        Medium => "medium",
        /// Is becoming a failure.
        High => "high",
        /// Is a failure or a danger.
        Critical => "critical",
    }
}

impl Severity {
    /// Reads the words that detectors and people use; an unknown word counts as medium.
    pub fn from_word(word: &str) -> Self {
        match word.to_lowercase().as_str() {
            "info" | "information" | "notice" | "low" | "minor" => Self::Low,
            "high" | "major" | "error" => Self::High,
            "critical" | "urgent" | "emergency" => Self::Critical,
            _ => Self::Medium,
        }
    }
}

/// A priority with the reason for it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Priority {
    /// 1 most urgent to 5.
    pub level: i64,
    /// The inputs and the rule, for people.
    pub reason: String,
}

/// The priority of work on an asset of a criticality 1..=5 after an alarm of a severity.
///
/// Severity counts 1 to 4, criticality 1 to 5; their product from 1 to 20 is cut at 2, 5, 9, 14.
pub fn priority(severity: Severity, criticality: i64) -> Priority {
    let weight = match severity {
        Severity::Low => 1,
        Severity::Medium => 2,
        Severity::High => 3,
        Severity::Critical => 4,
    };
    let score = weight * criticality.clamp(1, 5);
    let level = match score {
        15.. => 1,
        10..=14 => 2,
        6..=9 => 3,
        3..=5 => 4,
        _ => 5,
    };
    Priority {
        level,
        reason: format!(
            "severity {severity} ({weight} of 4) x criticality {criticality} of 5 = {score} of 20"
        ),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(severity: Severity, by_criticality: [i64; 5]) {
        let levels = [1, 2, 3, 4, 5].map(|criticality| priority(severity, criticality).level);
        assert_eq!(levels, by_criticality, "{severity}");
    }

    #[test]
    fn a_worse_alarm_or_a_more_critical_asset_is_more_urgent() {
        check(Severity::Low, [5, 5, 4, 4, 4]);
        check(Severity::Medium, [5, 4, 3, 3, 2]);
        check(Severity::High, [4, 3, 3, 2, 1]);
        check(Severity::Critical, [4, 3, 2, 1, 1]);
    }

    #[test]
    fn the_reason_names_its_inputs() {
        assert_eq!(
            priority(Severity::High, 4).reason,
            "severity high (3 of 4) x criticality 4 of 5 = 12 of 20"
        );
    }

    #[test]
    fn words_of_detectors() {
        for (word, expected) in [
            ("warning", Severity::Medium),
            ("HIGH", Severity::High),
            ("critical", Severity::Critical),
            ("info", Severity::Low),
            ("", Severity::Medium),
        ] {
            assert_eq!(Severity::from_word(word), expected, "{word}");
        }
    }
}
