use super::*;

/// The configuration of the defaults with more lines in place of classes and rules.
pub(in crate::detect) fn config(more: &str) -> Result<DetectConfig, toml::de::Error> {
    let mut all: toml::Table = DEFAULT_TOML.parse().unwrap();
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
    let settings = settings("window = '10m'\nlimit_factor = 9");
    assert_eq!(settings.window, Span::seconds(600));
    assert_eq!(settings.limit_factor, 9.0);
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
        ("[rules.x]\nquery = 'SELECT 1'", "query"),
    ] {
        let error = config(more).unwrap_err().to_string();
        assert!(error.contains(expected), "`{expected}` not in: {error}");
    }
}

#[test]
fn spans_of_time() {
    let check = |text: &str, expected: Option<(i64, &str)>| {
        let found = text
            .parse::<Span>()
            .ok()
            .map(|span| (span.micros(), span.to_string()));
        assert_eq!(
            found,
            expected.map(|(micros, shown)| (micros, shown.to_owned())),
            "{text}"
        );
    };
    check("500ms", Some((500_000, "500ms")));
    check("30s", Some((30_000_000, "30s")));
    check("90s", Some((90_000_000, "1m30s")));
    check("1h30m", Some((5_400_000_000, "1h30m")));
    check("14d", Some((14 * 86_400_000_000, "14d")));
    check("0s", Some((0, "0s")));
    for bad in [
        "",
        "5",
        "m",
        "5 m",
        "-5m",
        "1.5h",
        "5y",
        "99999999999d",
        "5m3",
    ] {
        check(bad, None);
    }
}
