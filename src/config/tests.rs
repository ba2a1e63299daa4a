use super::*;

fn load(
    file: &str,
    environment: &[(&str, &str)],
    flags: &[(&str, Option<String>, &str)],
) -> (Layers, Result<Settings, Mistakes>) {
    let dir = tempfile::tempdir().unwrap();
    let path = dir.path().join("fieldwright.toml");
    std::fs::write(&path, file).unwrap();
    let environment = environment
        .iter()
        .map(|(name, value)| ((*name).to_owned(), (*value).to_owned()));
    let layers = Layers::read(Some(&path), environment, flags).unwrap();
    let settings = Settings::from_layers(&layers);
    (layers, settings)
}

#[test]
fn the_defaults_are_a_valid_configuration() {
    let layers = Layers::read(None, [], &[]).unwrap();
    let settings = Settings::from_layers(&layers).unwrap();
    assert!(settings.http.listen.ip().is_loopback());
    assert!(settings.mqtt.listen.ip().is_loopback());
    assert_eq!(settings.clock, None);
}

#[test]
fn later_layers_win_and_say_where_they_came_from() {
    let (layers, settings) = load(
        "[http]\nlisten = '127.0.0.1:1'\n[sql]\nrow_limit = 5\n",
        &[("FIELDWRIGHT__HTTP__LISTEN", "127.0.0.1:2"), ("HOME", "/x")],
        &[
            ("http.listen", Some("127.0.0.1:3".into()), "--http"),
            ("mqtt.broker", None, "--broker"),
        ],
    );
    let settings = settings.unwrap();
    assert_eq!(settings.http.listen.port(), 3);
    assert_eq!(settings.sql.row_limit, 5);
    assert_eq!(layers.origin("http.listen"), Origin::Flag("--http".into()));
    assert!(matches!(layers.origin("sql.row_limit"), Origin::File(_)));
    assert_eq!(layers.origin("mqtt.broker"), Origin::Default);
}

#[test]
fn every_mistake_is_listed_at_once() {
    let (_, settings) = load(
        "[http]\nlisten = 'nowhere'\nport = 1\n[sql]\nrow_limit = 'many'\n[clock]\nmode = 'fast'\n\
         [mqtt]\nbroker = 'http://x'\n[nonsense]\nx = 1\n[store]\nurl = 'mysql://u:secret@h/d'\n",
        &[],
        &[],
    );
    let text = settings.unwrap_err().to_string();
    for expected in [
        "[http]",
        "http.port is no setting",
        "sql.row_limit is string but must be integer",
        "[clock] mode",
        "mqtt.broker",
        "nonsense.x is no setting",
        "store.url is `mysql://u:***@h/d`",
    ] {
        assert!(text.contains(expected), "`{expected}` not in:\n{text}");
    }
    assert!(!text.contains("secret"), "{text}");
}

#[test]
fn passwords_are_hidden() {
    let (layers, _) = load("[store]\nurl = 'postgres://me:hunter2@db/fw'\n", &[], &[]);
    let shown = layers.shown();
    let url = shown
        .iter()
        .find(|shown| shown.path == "store.url")
        .unwrap();
    assert_eq!(url.value, "\"postgres://me:***@db/fw\"");
}

#[test]
fn a_table_of_ones_own_keys_and_a_closed_door_are_settings() {
    let (_, settings) = load(
        "[ingest.table_retention_days]\npump = 400\n[postgres]\nlisten = ''\n",
        &[],
        &[("flight.listen", Some("127.0.0.1:7".into()), "--flight")],
    );
    let settings = settings.unwrap();
    assert_eq!(settings.ingest.table_retention_days["pump"], 400);
    assert_eq!(settings.postgres.listen, None);
    assert_eq!(settings.flight.listen.unwrap().port(), 7);
}
