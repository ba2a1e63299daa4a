//! The OpenAPI document and the router say the same.

use std::collections::BTreeSet;

use serde_json::Value;

use super::world::World;
use crate::api::{openapi, words};

/// Every operation as (method, path, operation).
fn operations() -> Vec<(String, String, Value)> {
    let document: Value = serde_json::from_str(&openapi().to_json().unwrap()).unwrap();
    let mut found = Vec::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            found.push((method.to_uppercase(), path.clone(), operation.clone()));
        }
    }
    found
}

#[tokio::test]
async fn every_route_is_documented_and_every_documented_route_answers() {
    let world = World::new().await;
    for (method, path, _) in operations() {
        let path = ["{id}", "{tag}", "{query_id}", "{refusal}"]
            .iter()
            .fold(path, |path, name| path.replace(name, "x"));
        let answer = world.send(&method, &path, &[], "").await;
        let refusal = answer.json["refusal"].as_str().unwrap_or_default();
        assert!(
            !["no_such_route", "method_not_allowed"].contains(&refusal),
            "{method} {path}"
        );
    }
    // Nothing but `routes!` adds a route, and it adds both; so this list is the whole API.
    let source = include_str!("../../api.rs");
    assert!(
        !source.contains(".route("),
        "a route that the document does not know"
    );
}

#[test]
fn operations_have_a_name_a_tag_and_words() {
    let mut names = BTreeSet::new();
    for (method, path, operation) in operations() {
        let name = operation["operationId"].as_str().unwrap();
        assert!(names.insert(name.to_owned()), "{name} is there twice");
        let (verb, resource) = name.split_once('_').unwrap();
        assert!(!verb.is_empty() && !resource.is_empty(), "{name}");
        let is_read = ["get", "list"].contains(&verb);
        assert_eq!(method == "GET", is_read, "{method} {path} is called {name}");
        assert!(
            operation["summary"]
                .as_str()
                .is_some_and(|text| text.ends_with('.')),
            "{name}"
        );
        assert_eq!(operation["tags"].as_array().unwrap().len(), 1, "{name}");
        let problem = &operation["responses"]["default"]["content"]["application/problem+json"];
        assert_eq!(
            problem["schema"]["$ref"], "#/components/schemas/Problem",
            "{name}"
        );
        let is_beside = [
            "/healthz",
            "/readyz",
            "/metrics",
            "/api/docs/problems/{refusal}",
            "/api/v2/write",
            "/write",
            "/ping",
            "/health",
        ]
        .contains(&path.as_str());
        assert!(is_beside || path.starts_with("/api/v1/"), "{path}");
    }
}

#[test]
fn every_reference_of_the_document_leads_somewhere() {
    let text = openapi().to_json().unwrap();
    let document: Value = serde_json::from_str(&text).unwrap();
    for part in text.split("\"$ref\":\"#").skip(1) {
        let pointer = &part[..part.find('"').unwrap()];
        assert!(document.pointer(pointer).is_some(), "{pointer}");
    }
}

#[test]
fn money_is_keyed_and_peoples_actions_are_versioned() {
    let required = |operation: &Value, name: &str| {
        let parameters = operation["parameters"]
            .as_array()
            .cloned()
            .unwrap_or_default();
        parameters
            .iter()
            .any(|one| one["name"] == name && one["required"] == true)
    };
    for (_, path, operation) in operations() {
        let name = operation["operationId"].as_str().unwrap();
        let moves_money = ["post_work_order", "create_receipt", "apply_receipt"].contains(&name);
        assert_eq!(
            required(&operation, "Idempotency-Key"),
            moves_money,
            "{path}"
        );
        let acts = [
            "/alarms/{id}/",
            "/work-orders/{id}/",
            "/receipts/{id}/",
            "/cases/{id}/",
            "/proposals/{id}/",
        ]
        .iter()
        .any(|collection| path.contains(collection));
        assert_eq!(required(&operation, "If-Match"), acts, "{path}");
    }
}

#[test]
fn documented_words_are_those_of_the_domain() {
    use fieldwright_analytics::alarms::{Severity, State, SuppressionKind};
    use fieldwright_analytics::detect::HealthState;
    use fieldwright_workorders::cases::{CaseStatus, CloseOut};
    use fieldwright_workorders::execution::BookingStatus;
    use fieldwright_workorders::orders::{Status, Verification};
    use fieldwright_workorders::triage::ForecastBasis;
    use fieldwright_workorders::triage::Tier;
    use fieldwright_workorders::tuning::ProposalStatus;
    use utoipa::PartialSchema;

    fn check<T: PartialSchema>(expected: &[&str]) {
        let schema = serde_json::to_value(T::schema()).unwrap();
        let documented: BTreeSet<_> = schema["enum"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(Value::as_str)
            .collect();
        assert_eq!(documented, expected.iter().copied().collect());
    }
    fn all<T: Copy>(words: &[T], text: impl Fn(T) -> &'static str) -> Vec<&'static str> {
        words.iter().map(|word| text(*word)).collect()
    }
    check::<words::WorkOrderStatus>(&all(Status::ALL, Status::as_str));
    check::<words::Verification>(&all(Verification::ALL, Verification::as_str));
    check::<words::CaseStatus>(&all(CaseStatus::ALL, CaseStatus::as_str));
    check::<words::CloseOut>(&all(CloseOut::ALL, CloseOut::as_str));
    check::<words::Tier>(&all(Tier::ALL, Tier::as_str));
    check::<words::ForecastBasis>(&all(ForecastBasis::ALL, ForecastBasis::as_str));
    check::<words::ProposalStatus>(&all(ProposalStatus::ALL, ProposalStatus::as_str));
    check::<words::BookingStatus>(&all(BookingStatus::ALL, BookingStatus::as_str));
    check::<words::Severity>(&all(&Severity::ALL, Severity::as_str));
    let mut states = all(&State::ALL, State::as_str);
    states.push("shelved");
    check::<words::AlarmStatus>(&states);
    check::<words::SuppressionKind>(&all(&SuppressionKind::ALL, SuppressionKind::as_str));
    let health = [
        HealthState::Learning,
        HealthState::Normal,
        HealthState::Alarm,
        HealthState::Stale,
        HealthState::Unknown,
    ];
    check::<words::AssetHealth>(&all(&health, HealthState::as_str));
}
