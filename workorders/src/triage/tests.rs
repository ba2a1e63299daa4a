use chrono::TimeDelta;

use super::{
    Agreement, Budget, Economics, Facts, Forecast, ForecastBasis, Tier, decide, economics,
    learned_confidence,
};
use crate::money::Money;

/// Decides every row of a table: criticality, severity, confidence in per cent, hours out of band,
/// probability of failure in per cent or `-`, detectors agreeing, orders used, expected tier.
#[track_caller]
fn check(table: &str) {
    for row in table.lines().map(str::trim).filter(|row| !row.is_empty()) {
        let words: Vec<_> = row.split_whitespace().collect();
        let [
            criticality,
            severity,
            confidence,
            hours,
            failure,
            agreeing,
            used,
            tier,
        ] = words[..]
        else {
            panic!("eight words: {row}");
        };
        let number = |word: &str| word.parse::<u32>().unwrap();
        let facts = Facts {
            severity: severity.parse().unwrap(),
            confidence_bp: number(confidence) * 100,
            persistence_s: i64::from(number(hours)) * 3_600,
            failure_ppm: (failure != "-").then(|| number(failure) * 10_000),
            forecast: None,
            agreement: Agreement {
                agreeing: number(agreeing),
                watching: 3,
            },
        };
        let economics = economics("pump", criticality.parse().unwrap()).unwrap();
        let decision = decide(&facts, &economics, Budget { used: number(used) });
        assert_eq!(decision.tier.as_str(), tier, "{row}: {}", decision.reason);
        assert_eq!(
            decision.saving.minor() > 0,
            decision.tier != Tier::Watch,
            "{row}: {decision:?}"
        );
    }
}

#[test]
fn what_has_not_lasted_is_watched_unless_it_is_critical() {
    check(
        "3 high     80 0 -  1 0 watch
         3 high     80 1 -  1 0 planned_inspection
         5 high     99 0 90 3 0 watch
         5 critical 80 0 -  1 0 dispatch
         5 critical 40 0 -  1 0 watch
         5 critical 40 1 -  1 0 dispatch",
    );
}

#[test]
fn a_visit_needs_a_second_opinion() {
    check(
        "4 medium 80 1   -  1 0 remote_check
         4 medium 80 1   -  2 0 dispatch
         4 high   80 1   -  1 0 dispatch
         4 medium 80 1   60 1 0 dispatch
         4 medium 80 1   40 1 0 remote_check
         4 medium 80 167 -  1 0 remote_check
         4 medium 80 168 -  1 0 dispatch
         3 medium 80 168 -  1 0 planned_inspection",
    );
}

#[test]
fn a_visit_must_pay() {
    check(
        "1 critical 99 9 90 3 0 watch
         2 low      50 9 -  2 0 remote_check
         2 low      1  9 -  2 0 watch
         2 high     20 9 -  1 0 remote_check
         2 high     50 9 -  1 0 planned_inspection
         3 high     50 9 -  1 0 planned_inspection
         3 high     10 9 -  1 0 planned_inspection
         3 high     8  9 -  1 0 remote_check
         5 low      10 9 -  1 0 remote_check
         5 low      10 9 -  2 0 planned_inspection
         5 high     50 9 -  1 0 dispatch",
    );
}

#[test]
fn the_nearer_and_the_dearer_the_failure_the_sooner_somebody_comes() {
    check(
        "4 high 90 9 1  1 0 remote_check
         4 high 90 9 5  1 0 planned_inspection
         4 high 90 9 50 1 0 dispatch
         3 high 90 9 50 1 0 planned_inspection
         3 high 90 9 90 1 0 dispatch
         2 high 90 9 50 1 0 planned_inspection
         2 high 90 9 99 1 0 planned_inspection",
    );
}

#[test]
fn beyond_the_budget_only_what_clearly_pays() {
    check(
        "3 high     80 9 -  1 3 planned_inspection
         3 high     80 9 -  1 4 watch
         4 high     80 9 -  1 4 dispatch
         4 high     20 9 -  1 4 watch
         4 medium   80 9 -  1 4 watch
         5 critical 80 0 -  1 9 dispatch",
    );
}

#[test]
fn a_decision_gives_its_figures() {
    #[track_caller]
    fn check(facts: Facts, used: u32, expected: &str) {
        let economics = economics("pump", 4).unwrap();
        assert_eq!(decide(&facts, &economics, Budget { used }).reason, expected);
    }
    let facts = Facts {
        severity: "high".parse().unwrap(),
        confidence_bp: 8_000,
        persistence_s: 7_200,
        failure_ppm: None,
        forecast: None,
        agreement: Agreement {
            agreeing: 1,
            watching: 1,
        },
    };
    check(
        facts,
        0,
        "severity high; 40.0 % likely to fail within 30 d (the class's figure for severity high: \
         there is no forecast): 500.00 EUR for a visit saves 6885.32 EUR on average",
    );
    let short = Facts {
        persistence_s: 900,
        ..facts
    };
    check(
        short,
        0,
        "out of band for 15 min of the 60 min that a condition must last",
    );
    let moderate = Facts {
        severity: "medium".parse().unwrap(),
        ..facts
    };
    check(
        moderate,
        0,
        "one detector at moderate severity is not enough for a visit; \
         16.0 % likely to fail within 30 d (the class's figure for severity medium: \
         there is no forecast): worth a look for 20.00 EUR",
    );
    check(
        moderate,
        4,
        "the asset has had 4 of 4 orders in a year; \
         another one needs a second opinion and must save 5 times its cost",
    );
}

#[test]
fn it_says_when_to_ask_again() {
    let economics = economics("pump", 4).unwrap();
    let mut facts = Facts {
        severity: "medium".parse().unwrap(),
        confidence_bp: 8_000,
        persistence_s: 600,
        failure_ppm: None,
        forecast: None,
        agreement: Agreement {
            agreeing: 1,
            watching: 1,
        },
    };
    let mut tiers = Vec::new();
    loop {
        let decision = decide(&facts, &economics, Budget { used: 0 });
        tiers.push(decision.tier.as_str());
        let Some(wait) = decision.again_after else {
            break;
        };
        assert!(wait > TimeDelta::zero());
        facts.persistence_s += wait.num_seconds();
    }
    assert_eq!(tiers, ["watch", "remote_check", "dispatch"]);
}

#[test]
fn a_dispatch_breaks_even_at_cost_over_saving() {
    #[track_caller]
    fn check(failure: &str, dispatch: &str, expected: Option<u32>) {
        let mut figures = economics("*", 3).unwrap();
        let amount = |text| Money::parse(text, figures.currency()).unwrap();
        (figures.repair, figures.failure, figures.dispatch) =
            (amount("0"), amount(failure), amount(dispatch));
        assert_eq!(figures.break_even_ppm(), expected, "{failure} {dispatch}");
    }
    check("2500", "500", Some(250_000));
    check("5500", "500", Some(100_000));
    check("50500", "500", Some(10_000));
    check("3500", "500", Some(166_667));
    check("1000", "500", Some(1_000_000));
    check("999", "500", None);
    check("500", "500", None);
    check("100", "0", Some(0));
}

#[test]
fn the_compiled_in_figures_are_sound() {
    for class in ["*", "pump", "skab", "azure", "unheard-of"] {
        for criticality in -1..7 {
            let figures = economics(class, criticality).unwrap();
            assert!(figures.remote_check.minor() < figures.inspection.minor());
            assert!(figures.inspection.minor() < figures.dispatch.minor());
            assert!(figures.persistence < figures.long_persistence);
        }
    }
    assert!(economics("skab", 3).unwrap().persistence < economics("pump", 3).unwrap().persistence);
}

#[test]
fn a_wrong_file_is_refused() {
    #[track_caller]
    fn check(from: &str, to: &str, expected: &str) {
        let text = include_str!("../../seeds/economics.toml");
        assert!(text.contains(from));
        let error = Economics::read(&text.replacen(from, to, 1), "pump", 3).unwrap_err();
        assert!(error.to_string().contains(expected), "{error}");
    }
    check("repair = \"400\"", "", "every figure");
    check("repair = \"400\"", "repair = \"-1\"", "negative");
    check("repair = \"400\"", "repair = \"4.000\"", "amount");
    check("repair = \"400\"", "repair = 400.0", "cannot be read");
    check("horizon_days = 30", "horizon_days = 0", "horizon_days");
    check("currency = \"EUR\"", "currency = \"XQX\"", "amount");
    check("orders_per_year", "orders_per_yer", "cannot be read");
}

#[test]
fn confidence_follows_what_alarms_turned_out_to_be() {
    #[track_caller]
    fn check(own: u32, found: i64, all: i64, expected: u32) {
        assert_eq!(learned_confidence(own, found, all), expected);
    }
    check(8_000, 0, 0, 8_000);
    check(8_000, 5, 5, 9_000);
    check(8_000, 0, 5, 4_000);
    check(8_000, 0, 95, 400);
    check(5_000, 95, 95, 9_750);
    check(20_000, 9, 5, 10_000);
}

/// A forecast takes the place of the class's figure where it knows of the condition; which figure
/// counted is said.
#[test]
fn a_forecast_takes_the_place_of_the_classs_figure() {
    #[track_caller]
    fn check(own: Option<u32>, forecast: Option<(ForecastBasis, u32)>, tier: Tier, said: &str) {
        let facts = Facts {
            severity: "medium".parse().unwrap(),
            confidence_bp: 8_000,
            persistence_s: 7_200,
            failure_ppm: own.map(|percent| percent * 10_000),
            forecast: forecast.map(|(basis, percent)| Forecast {
                ppm: percent * 10_000,
                basis,
            }),
            agreement: Agreement {
                agreeing: 2,
                watching: 2,
            },
        };
        let economics = economics("pump", 4).unwrap();
        let decision = decide(&facts, &economics, Budget { used: 0 });
        assert!(decision.reason.contains(said), "{}", decision.reason);
        assert_eq!(decision.tier, tier, "{}", decision.reason);
    }
    use ForecastBasis::{Age, Life, Trend};
    check(
        None,
        None,
        Tier::Dispatch,
        "16.0 % likely to fail within 30 d (the class's figure",
    );
    // The asset's own course is believed, for more and for less.
    check(
        None,
        Some((Trend, 95)),
        Tier::Dispatch,
        "76.0 % likely to fail within 30 d (by the trend of its health)",
    );
    check(
        None,
        Some((Trend, 1)),
        Tier::RemoteCheck,
        "0.8 % likely to fail within 30 d (by the trend of its health)",
    );
    check(
        None,
        Some((Life, 95)),
        Tier::Dispatch,
        "76.0 % likely to fail within 30 d (by its remaining life)",
    );
    // Age makes a failure likelier, never less likely.
    check(
        None,
        Some((Age, 60)),
        Tier::Dispatch,
        "48.0 % likely to fail within 30 d (by its age, more than the class's figure of 20.0 %",
    );
    check(
        None,
        Some((Age, 1)),
        Tier::Dispatch,
        "its age alone, 1.0 %, knows nothing of the condition",
    );
    // Whoever raised the alarm knows best.
    check(
        Some(1),
        Some((Trend, 95)),
        Tier::RemoteCheck,
        "(as the alarm itself foretells)",
    );
}

/// One detector at moderate severity: a trend that expects a failure is a second opinion, age is
/// none, and with a forecast it is asked again sooner.
#[test]
fn a_trend_is_a_second_opinion() {
    let facts = |forecast| Facts {
        severity: "medium".parse().unwrap(),
        confidence_bp: 8_000,
        persistence_s: 7_200,
        failure_ppm: None,
        forecast,
        agreement: Agreement {
            agreeing: 1,
            watching: 1,
        },
    };
    let economics = economics("pump", 4).unwrap();
    let decided = |basis: Option<ForecastBasis>| {
        let forecast = basis.map(|basis| Forecast {
            ppm: 900_000,
            basis,
        });
        decide(&facts(forecast), &economics, Budget { used: 0 })
    };
    let flat = decided(None);
    assert_eq!(flat.tier, Tier::RemoteCheck);
    assert!(flat.again_after > Some(TimeDelta::days(6)), "{flat:?}");
    let trend = decided(Some(ForecastBasis::Trend));
    assert_eq!(trend.tier, Tier::Dispatch);
    assert!(trend.reason.starts_with("the prognosis expects a failure"));
    let age = decided(Some(ForecastBasis::Age));
    assert_eq!(age.tier, Tier::RemoteCheck);
    assert_eq!(age.again_after, Some(TimeDelta::hours(6)));
}
