//! The pure part: what limit would have cost the least over the labeled episodes.

use crate::money::{Money, MoneyError};

/// Fewer labeled episodes than this say nothing.
pub const MIN_EPISODES: usize = 8;
/// A limit is never proposed to be raised further at once. **Units** thousandths.
pub const MAX_FACTOR_MILLI: i64 = 5_000;
/// The limit as it is. **Units** thousandths.
const AS_IS_MILLI: i64 = 1_000;

/// An episode that was looked at, and what was found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Episode {
    /// The worst multiple of the limit that it reached. **Units** thousandths.
    pub peak_milli: i64,
    /// Whether a fault was found.
    pub found: bool,
    /// What looking at it costs.
    pub visit: Money,
    /// What is lost when a fault is not looked at: failure less repair and visit.
    pub saved: Money,
}

/// A limit that would have cost less than the present one.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Proposal {
    /// By what to multiply the present limit. **Units** thousandths, more than 1,000.
    pub factor_milli: i64,
    /// What the episodes cost with the limit as it is.
    pub cost_now: Money,
    /// What they would have cost.
    pub cost_proposed: Money,
}

/// Proposes a limit; none when there are too few episodes or the present limit is the best.
///
/// Every episode that reaches a limit costs a visit, every fault that does not costs what it saved.
/// Limits lie halfway between two peaks that differ in what they keep, and of two that cost the
/// same the lower one counts, for misses are the dearer mistake. A lower limit than the present
/// one can not be judged: what did not reach it was never looked at.
///
/// **Errors** when amounts are of different currencies or do not fit.
pub fn propose(episodes: &[Episode]) -> Result<Option<Proposal>, MoneyError> {
    let Some(first) = episodes.first().filter(|_| episodes.len() >= MIN_EPISODES) else {
        return Ok(None);
    };
    let mut peaks: Vec<_> = episodes.iter().map(|one| one.peak_milli).collect();
    peaks.sort_unstable();
    peaks.dedup();
    let cost_now = cost(episodes, AS_IS_MILLI, first.visit)?;
    let mut best = (cost_now, AS_IS_MILLI);
    for pair in peaks.windows(2) {
        let limit = pair[0] + (pair[1] - pair[0] + 1) / 2;
        if limit <= AS_IS_MILLI || limit > MAX_FACTOR_MILLI {
            continue;
        }
        let cost = cost(episodes, limit, first.visit)?;
        if cost.minor() < best.0.minor() {
            best = (cost, limit);
        }
    }
    let (cost_proposed, factor_milli) = best;
    // Less than one visit is chance, not knowledge.
    let saves = cost_now.minus(cost_proposed)?;
    Ok(
        (saves.minor() >= first.visit.minor().max(1)).then_some(Proposal {
            factor_milli,
            cost_now,
            cost_proposed,
        }),
    )
}

/// What the episodes cost with a limit of `limit_milli`.
fn cost(episodes: &[Episode], limit_milli: i64, any: Money) -> Result<Money, MoneyError> {
    let costs = episodes.iter().filter_map(|one| {
        if one.peak_milli >= limit_milli {
            Some(one.visit)
        } else {
            one.found.then_some(one.saved)
        }
    });
    Money::sum(any.currency(), costs)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Peaks in multiples of the limit, `+` where a fault was found; visits cost 500.
    #[track_caller]
    fn check(episodes: &str, saved: &str, expected: Option<(i64, &str, &str)>) {
        let currency = "EUR".parse().unwrap();
        let amount = |text: &str| Money::parse(text, currency).unwrap();
        let episodes: Vec<_> = episodes
            .split_whitespace()
            .map(|word| Episode {
                peak_milli: crate::money::parse_decimal(word.trim_end_matches('+'))
                    .map(|peak| {
                        (peak * rust_decimal::Decimal::from(1_000))
                            .try_into()
                            .unwrap()
                    })
                    .unwrap(),
                found: word.ends_with('+'),
                visit: amount("500"),
                saved: amount(saved),
            })
            .collect();
        let proposed = propose(&episodes).unwrap().map(|one| {
            (
                one.factor_milli,
                one.cost_now.amount_text(),
                one.cost_proposed.amount_text(),
            )
        });
        let expected =
            expected.map(|(factor, now, then)| (factor, now.to_owned(), then.to_owned()));
        assert_eq!(proposed, expected);
    }

    #[test]
    fn decisions() {
        // False episodes are small, faults are large: the limit goes between them.
        check(
            "1.1 1.2 1.2 1.3 1.4 2.6+ 3+ 4+",
            "5000",
            Some((2_000, "4000.00", "1500.00")),
        );
        // Too few to say.
        check("1.1 1.2 1.3 1.4 2.6+ 3+ 4+", "5000", None);
        // Every alarm was right.
        check("1.1+ 1.2+ 1.3+ 1.4+ 1.5+ 2+ 3+ 4+", "5000", None);
        // A small fault that is dear to miss keeps the limit where it is, or nearly.
        check("1.1+ 1.2 1.3 1.4 1.5 2+ 3+ 4+", "5000", None);
        // The same where a fault costs little.
        check(
            "1.1+ 1.2 1.3 1.4 1.5 2+ 3+ 4+",
            "600",
            Some((1_750, "4000.00", "2100.00")),
        );
        // No visit is worth it, but the limit is not raised without bound.
        check(
            "1.1 1.2 1.3 1.4 1.5 2 3 9",
            "100",
            Some((2_500, "4000.00", "1000.00")),
        );
        check("6 6 6 6 6 6 6 9", "100", None);
    }

    #[test]
    fn amounts_of_two_currencies_are_refused() {
        let amount = |currency: &str| Money::from_minor(500, currency.parse().unwrap());
        let mut episodes = vec![
            Episode {
                peak_milli: 1_200,
                found: false,
                visit: amount("EUR"),
                saved: amount("EUR"),
            };
            MIN_EPISODES
        ];
        episodes[3].visit = amount("USD");
        assert!(propose(&episodes).is_err());
    }
}
