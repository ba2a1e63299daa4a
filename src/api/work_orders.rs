//! `/work-orders`: one condition, one order, from intake to posting.

mod actions;
mod shape;

use axum::extract::{Path, State};
use fieldwright_workorders::invoicing;
use fieldwright_workorders::orders::views::{self, OrderFilter};
use fieldwright_workorders::orders::{self, NewOrder, OrderError};
use fieldwright_workorders::store::ids::WorkOrderId;
use serde::Deserialize;
use utoipa::{IntoParams, ToSchema};

use super::command::Command;
use super::idempotency::KeyOptional;
use super::once::{Answer, once};
use super::page::{Page, Parameters, Window};
use super::precondition::Versioned;
use super::problem::Problem;
use super::state::ApiState;
use super::wire::{filter, id};

pub use actions::{
    __path_cancel, __path_post, __path_schedule, __path_send_back, cancel, post, schedule,
    send_back,
};
pub use shape::{AssetRef, WorkOrder, WorkOrderDetail};

/// The name of the collection, for `Location`.
const COLLECTION: &str = "/work-orders";

/// Which orders.
#[derive(Debug, Deserialize, IntoParams)]
#[into_params(parameter_in = Query)]
#[serde(deny_unknown_fields)]
pub struct Which {
    /// With this status.
    #[param(value_type = Option<super::words::WorkOrderStatus>)]
    status: Option<String>,
    /// On the asset with this id or tag.
    asset: Option<String>,
    /// How many items at most, 1 to 500; 50 when nobody says.
    #[param(minimum = 1, maximum = 500)]
    limit: Option<u32>,
    /// `next_cursor` of the page before.
    cursor: Option<String>,
}

/// A person's request for an order.
#[derive(Debug, Deserialize, ToSchema)]
#[serde(deny_unknown_fields)]
#[schema(as = WorkOrderRequest)]
pub struct Request {
    /// Name of the person.
    actor: String,
    /// Id or tag of the asset.
    asset: String,
    /// One sentence: what is wrong.
    #[schema(max_length = 500)]
    summary: String,
    /// Key of the incident type; the class's own when it is missing.
    incident_type: Option<String>,
    /// 1 most urgent to 5; 3 when nobody says.
    #[schema(minimum = 1, maximum = 5)]
    priority: Option<i64>,
}

/// Lists the work orders, oldest first.
#[utoipa::path(get, path = "/work-orders", operation_id = "list_work_orders", tag = "work",
    params(Which), responses((status = 200, body = Page<WorkOrder>)))]
pub async fn list(
    State(state): State<ApiState>,
    Parameters(which): Parameters<Which>,
) -> Result<Page<WorkOrder>, Problem> {
    let window = Window::read("work-orders", which.limit, which.cursor.as_deref())?;
    let wanted = OrderFilter {
        status: filter("status", which.status.as_deref())?,
        asset: which.asset,
    };
    let page = views::list(&state.db, &wanted, &window.request()).await?;
    Ok(window.shown(page, WorkOrder::from))
}

/// Reads one work order with its tasks, alarms, work and invoice.
#[utoipa::path(get, path = "/work-orders/{id}", operation_id = "get_work_order", tag = "work",
    params(("id" = String, Path, description = "Id of the order")),
    responses((status = 200, body = WorkOrderDetail)))]
pub async fn get(
    State(state): State<ApiState>,
    Path(text): Path<String>,
) -> Result<Versioned<WorkOrderDetail>, Problem> {
    let id: WorkOrderId = id("work order", &text)?;
    let detail = views::get(&state.db, &id).await?;
    let invoice = invoicing::invoice_of_order(&state.db, &id).await?;
    let version = detail.order.version;
    let invoice = invoice.map(|invoice| invoice.id);
    Ok(Versioned::ok(
        version,
        WorkOrderDetail::new(detail, invoice),
    ))
}

/// Makes a work order because a person asks for it.
#[utoipa::path(post, path = "/work-orders", operation_id = "create_work_order", tag = "work",
    params(KeyOptional), request_body = Request,
    responses((status = 201, body = WorkOrderDetail)))]
pub async fn create(
    State(state): State<ApiState>,
    command: Command<Request>,
) -> Result<Answer, Problem> {
    let request = &command.body;
    let new = NewOrder {
        asset: request.asset.clone(),
        incident_type: request.incident_type.clone(),
        summary: request.summary.clone(),
        priority: request.priority,
    };
    let ctx = state.acting_for(&request.actor)?;
    let answer = once(&state.db, &ctx, command.key(), COLLECTION, &|tx| {
        Box::pin(async {
            let order = orders::create(tx, &ctx, &new).await?;
            let detail = views::detail(tx.conn(), &order.id).await?;
            Ok::<_, OrderError>((true, WorkOrderDetail::new(detail, None)))
        })
    })
    .await?;
    Ok(answer)
}
