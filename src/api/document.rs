//! The OpenAPI document, generated from the routes.

use axum::http::header;
use axum::response::IntoResponse;
use utoipa::OpenApi as _;
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::security::{Http, HttpAuthScheme, SecurityRequirement, SecurityScheme};
use utoipa::openapi::{ContentBuilder, OpenApi, Ref, RefOr, ResponseBuilder};
use utoipa::{PartialSchema as _, ToSchema as _};

use super::problem::Details;

/// What no single route knows.
#[derive(utoipa::OpenApi)]
#[openapi(
    info(
        title = "Fieldwright",
        description = "IoT asset telemetry and predictive maintenance, from the reading to the receipt.",
        license(name = "Apache-2.0", identifier = "Apache-2.0"),
    ),
    tags(
        (name = "telemetry", description = "Readings, SQL, detection and alarms."),
        (name = "registry", description = "Accounts, sites, assets and resources."),
        (name = "work", description = "Work orders and bookings."),
        (name = "money", description = "Invoices, receipts and the ledger."),
        (name = "service", description = "Clock, feed of events, health and self-check."),
    ),
)]
struct Frame;

/// The document of every route.
pub fn openapi() -> OpenApi {
    let (_router, routes) = super::routes().split_for_parts();
    let mut document = Frame::openapi();
    document.merge(routes);
    document.info.version = env!("CARGO_PKG_VERSION").to_owned();
    for path in document.paths.paths.values_mut() {
        for operation in operations(path) {
            add_problem(operation);
        }
    }
    let components = document.components.get_or_insert_default();
    components
        .schemas
        .insert(Details::name().into_owned(), Details::schema());
    let mut parts = Vec::new();
    Details::schemas(&mut parts);
    components.schemas.extend(parts);
    components.add_security_scheme(
        "token",
        SecurityScheme::Http(Http::new(HttpAuthScheme::Bearer)),
    );
    // Either the token, or, on loopback without a configured one, nothing.
    document.security = Some(vec![
        SecurityRequirement::new("token", Vec::<String>::new()),
        SecurityRequirement::default(),
    ]);
    document
}

/// Reads this document.
#[utoipa::path(get, path = "/openapi.json", operation_id = "get_openapi", tag = "service",
    responses((status = 200, content_type = "application/json", description = "OpenAPI 3.1",
        body = serde_json::Value)))]
pub async fn get() -> impl IntoResponse {
    let text = openapi().to_json().expect("the document is plain data");
    ([(header::CONTENT_TYPE, "application/json")], text)
}

fn operations(path: &mut PathItem) -> impl Iterator<Item = &mut Operation> {
    [
        &mut path.get,
        &mut path.post,
        &mut path.put,
        &mut path.patch,
        &mut path.delete,
    ]
    .into_iter()
    .flatten()
}

/// Every operation can answer with a problem.
fn add_problem(operation: &mut Operation) {
    let schema = RefOr::Ref(Ref::from_schema_name(Details::name()));
    let content = ContentBuilder::new().schema(Some(schema)).build();
    let response = ResponseBuilder::new()
        .description("A problem: what happened, to what, and what to do.")
        .content("application/problem+json", content)
        .build();
    operation
        .responses
        .responses
        .insert("default".to_owned(), RefOr::T(response));
}
