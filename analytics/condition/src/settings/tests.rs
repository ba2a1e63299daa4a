use super::*;

/// The settings of the defaults with other values for some keys.
pub(crate) fn settings(own: &str) -> ClassSettings {
    let own: Map<String, Value> = toml::from_str(own).unwrap();
    Kinds::shipped().complete(own).unwrap()
}

#[test]
fn every_shipped_kind_is_valid() {
    let kinds = Kinds::shipped();
    assert_eq!(settings("").mistakes(), Vec::<String>::new());
    for name in kinds.names() {
        let settings = kinds.kind(name).unwrap();
        assert_eq!(settings.mistakes(), Vec::<String>::new(), "{name}");
    }
    assert!(kinds.kind("nonsense").unwrap_err().contains("no kind"));
}
