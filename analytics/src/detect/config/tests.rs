use super::*;

/// The configuration of the defaults with more lines in place of classes and rules.
pub(in crate::detect) fn config(more: &str) -> Result<DetectConfig, toml::de::Error> {
    let both = [DEFAULT_TOML, fieldwright_condition::DEFAULT_TOML].join("\n");
    let mut all: toml::Table = both.parse().unwrap();
    let more: toml::Table = more.parse().unwrap();
    let detect = all["detect"].as_table_mut().unwrap();
    for (key, value) in more {
        match (
            detect.get_mut(&key).and_then(toml::Value::as_table_mut),
            value,
        ) {
            (Some(known), toml::Value::Table(own)) => known.extend(own),
            (_, value) => drop(detect.insert(key, value)),
        }
    }
    all["detect"].clone().try_into()
}

/// The settings of the defaults with other values for some keys.
pub(in crate::detect) fn settings(own: &str) -> ClassSettings {
    config(&format!("[classes.x]\n{own}"))
        .unwrap()
        .class("x")
        .clone()
}

#[test]
fn the_defaults_are_valid_and_declare_the_demo_and_the_rig() {
    let config = config("").unwrap();
    assert_eq!(config.validate(), Vec::<String>::new());
    for class in ["pump", "fan", "compressor"] {
        let settings = config.class(class);
        assert_eq!(settings.window, Span::seconds(300));
        assert_eq!(settings.learning, Span::seconds(36 * 3600));
        assert_eq!(settings.min_duration, Span::seconds(600));
    }
    assert_eq!(config.class("skab").learning, Span::seconds(400));
    assert_eq!(config.class("never heard of"), &config.defaults);
    assert_eq!(config.alarms, AlarmPolicy::default());
}

#[test]
fn figures_of_alarms_that_make_no_sense_are_named() {
    let more = "[alarms]\nchattering_raises = 1\nflood_over_below = 11\nflood_within = '0s'";
    let mistakes = config(more).unwrap().validate();
    let expected = ["chattering_raises", "flood_over_below", "flood_within"];
    assert_eq!(mistakes.len(), expected.len(), "{mistakes:?}");
    for (mistake, name) in mistakes.iter().zip(expected) {
        assert!(mistake.starts_with(&format!("alarms: {name}")), "{mistake}");
    }
}

#[test]
fn a_class_says_only_what_is_different() {
    let settings = settings("window = '10m'\ndetectors.pca.with.limit_factor = 9");
    assert_eq!(settings.window, Span::seconds(600));
    let with = &serde_json::to_value(&settings.detectors["pca"]).unwrap()["with"];
    assert_eq!(with["limit_factor"], 9.0);
    assert_eq!(with["drift_factor"], 2.0, "the rest is inherited");
    assert_eq!(settings.learning, config("").unwrap().defaults.learning);
}

#[test]
fn all_mistakes_are_listed() {
    let text = config(
        "rule_floor = '1ms'\n\
         [classes.Bad]\nrelease = 2.0\n\
         [classes.'5x']\nwindow = '7m'\nlearning = '1m'\nfeatures = []\nverify_in_band_windows = 0\n\
         [classes.long]\nlearning = '365d'\nstep = '1s'\n\
         [rules.pca]\nseverity = 'low'\nevery = '0s'\nsql = ' '\nclass = 'Pump'\n",
    )
    .unwrap()
    .validate()
    .join("\n");
    for expected in [
        "rule_floor is 1ms",
        "classes.bad: release is 2",
        "classes.5x: a class is written in lower case",
        "classes.5x: window is 7m",
        "classes.5x: learning is 1m",
        "classes.5x: features is empty",
        "classes.5x: verify_in_band_windows is 0",
        "classes.long: learning has 31536000 windows",
        "rules.pca: a rule is named",
        "rules.pca: every is 0s",
        "rules.pca: sql is empty",
        "rules.pca: class is `Pump`",
    ] {
        assert!(text.contains(expected), "`{expected}` not in:\n{text}");
    }
}

#[test]
fn unknown_keys_are_refused_by_name() {
    for (more, expected) in [
        ("nonsense = 1", "nonsense"),
        (
            "[classes.x]\nwindo = '5m'",
            "classes.x: unknown field `windo`",
        ),
        ("[classes.x]\nwindow = 'soon'", "`soon` is no span of time"),
        (
            "[classes.x]\nkind = 'none'",
            "classes.x: there is no kind `none`",
        ),
        ("[rules.x]\nquery = 'SELECT 1'", "query"),
    ] {
        let error = config(more).unwrap_err().to_string();
        assert!(error.contains(expected), "`{expected}` not in: {error}");
    }
}

#[test]
fn a_class_names_a_kind_and_what_is_different() {
    let more = "[kinds.slow]\nstep = '1h'\nwindow = '1h'\nlearning = '30d'\n\
        detectors.slow = { kind = 'pca', with = { components = 0, explained_variance = 1.0, \
        drift_lag = '1d', drift_factor = 0.0, adapt_half_life = '0s', adapt_bound = 1.0, \
        limit_factor = 3.0 } }\n[classes.tank]\nkind = 'slow'\nseverity = 'low'";
    let config = config(more).unwrap();
    assert_eq!(config.validate(), Vec::<String>::new());
    let tank = config.class("tank");
    assert_eq!(tank.step, Span::seconds(3600));
    assert_eq!(tank.detectors.keys().collect::<Vec<_>>(), ["slow"]);
    assert_eq!(tank.min_samples, config.defaults.min_samples);
    assert_eq!(config.kinds["slow"].learning, tank.learning);
}
