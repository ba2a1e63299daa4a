//! Limits from the learning period alone.

/// Quantile of the standard normal distribution at 99.9 %.
const NORMAL_999: f64 = 3.090_232;
/// Share of the learning windows that must lie under the limit.
const SHARE: f64 = 0.99;

/// The limit of a statistic: the 99.9 % point of chi squared with `freedom` degrees, or the 99 %
/// point of what the learning period itself shows, whichever is larger.
///
/// Theory alone would be too tight for a machine whose normal running is not normally distributed,
/// the record alone too tight for a short learning period.
pub(in super::super) fn limit(freedom: usize, seen: &[f64]) -> f64 {
    chi_squared_999(freedom).max(quantile(seen, SHARE))
}

/// **Source**: Wilson and Hilferty 1931; 4 % too wide at one degree of freedom, soon exact.
fn chi_squared_999(freedom: usize) -> f64 {
    #[expect(
        clippy::cast_precision_loss,
        reason = "a handful of degrees of freedom"
    )]
    let freedom = freedom.max(1) as f64;
    let ninth = 2.0 / (9.0 * freedom);
    freedom * (1.0 - ninth + NORMAL_999 * ninth.sqrt()).powi(3)
}

fn quantile(values: &[f64], share: f64) -> f64 {
    let mut sorted = values.to_vec();
    sorted.sort_by(f64::total_cmp);
    #[expect(
        clippy::cast_precision_loss,
        clippy::cast_possible_truncation,
        clippy::cast_sign_loss,
        reason = "a place in a list of at most thousands"
    )]
    let place = (share * (sorted.len().max(1) - 1) as f64).ceil() as usize;
    sorted.get(place).copied().unwrap_or(0.0)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chi_squared_agrees_with_the_tables() {
        for (freedom, table) in [
            (1, 10.828),
            (2, 13.816),
            (6, 22.458),
            (8, 26.124),
            (30, 59.703),
        ] {
            let found = chi_squared_999(freedom);
            assert!(
                (0.99..1.04).contains(&(found / table)),
                "{freedom}: {found} {table}"
            );
        }
    }

    #[test]
    fn the_larger_of_theory_and_record_counts() {
        let record: Vec<f64> = (0..1000).map(f64::from).collect();
        assert_eq!(limit(2, &record), 990.0);
        assert!((13.8..14.3).contains(&limit(2, &[1.0; 50])));
    }
}
