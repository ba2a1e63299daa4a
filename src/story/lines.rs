//! One event, one sentence.

use chrono::{DateTime, Utc};
use serde_json::{Value, json};

use super::Line;
use crate::cli::{Client, Failure};

/// How many readings came lately, and from how many assets.
const COUNT_SQL: &str = "SELECT count(*), count(DISTINCT asset) FROM readings \
    WHERE time > now() - INTERVAL '10 minutes'";
/// Readings between one example and the next: another asset and metric each time.
const EXAMPLE_STRIDE: u32 = 17;
/// Examples are among so many of the newest readings.
const EXAMPLES: u32 = 140;

/// A line about readings; none while there are none.
pub async fn readings(client: &Client, number: u32) -> Result<Option<Line>, Failure> {
    let counted = client
        .post("/api/v1/sql", &json!({ "query": COUNT_SQL }))
        .await?;
    let (count, assets) = (&counted["rows"][0][0], &counted["rows"][0][1]);
    let query = format!(
        "SELECT asset, metric, value, time, now() AS asked_at FROM readings \
         WHERE time > now() - INTERVAL '10 minutes' \
         ORDER BY time DESC, asset, metric LIMIT 1 OFFSET {}",
        (number * EXAMPLE_STRIDE) % EXAMPLES
    );
    let answer = client
        .post("/api/v1/sql", &json!({ "query": query }))
        .await?;
    let row = &answer["rows"][0];
    let (Some(asset), Some(metric), Some(value)) =
        (row[0].as_str(), row[1].as_str(), row[2].as_f64())
    else {
        return Ok(None);
    };
    let (Some(time), Some(asked_at)) = (instant(&row[3]), instant(&row[4])) else {
        return Ok(None);
    };
    let age = (asked_at - time).num_seconds();
    let unit = unit_of(metric);
    Ok(Some(Line {
        word: "reading",
        time: asked_at,
        text: format!(
            "{count} of {assets} assets in 10 min, such as {asset} {metric} {value:.2} {unit}, \
             {age} s old"
        ),
        data: json!({ "count": count, "assets": assets, "asset": asset, "metric": metric, "value": value, "unit": unit, "time": time }),
    }))
}

/// The lines that an event is worth; most events have one, some none.
pub async fn of_event(client: &Client, event: &Value) -> Result<Vec<Line>, Failure> {
    let kind = text(event, "kind");
    let subject = text(event, "subject");
    let fetch = |path: &str| {
        let path = format!("/api/v1/{path}/{subject}");
        async move { client.get(&path).await }
    };
    let (word, sentence, data) = match kind {
        "alarm.raised" => {
            let alarm = fetch("alarms").await?;
            ("alarm", alarm_sentence(&alarm), alarm)
        }
        "work_order.created" => {
            let order = fetch("work-orders").await?;
            let sentence = format!(
                "{} {} for {}: {} (priority {} of 5: {})",
                text(&order, "number"),
                text(&order, "incident_type"),
                text(&order["asset"], "tag"),
                text(&order, "summary"),
                shown(&order["priority"]),
                text(&order, "priority_reason"),
            );
            ("work_order", sentence, order)
        }
        "work_order.reopened" => {
            let order = fetch("work-orders").await?;
            let sentence = format!(
                "{} reopened: telemetry of {} did not return to its band after the repair",
                text(&order, "number"),
                text(&order["asset"], "tag"),
            );
            ("work_order", sentence, order)
        }
        "booking.created" => {
            let booking = fetch("bookings").await?;
            (
                "booking",
                booking_sentence(client, &booking).await?,
                booking,
            )
        }
        "booking.traveling" => {
            let booking = fetch("bookings").await?;
            let sentence = format!(
                "{} is on the way to {}",
                resource_name(client, &booking).await?,
                text(&booking["asset"], "tag")
            );
            ("travel", sentence, booking)
        }
        "booking.started" | "booking.completed" => {
            let booking = fetch("bookings").await?;
            let what = if kind == "booking.started" {
                "has started work on"
            } else {
                "has done the work on"
            };
            let sentence = format!(
                "{} {what} {}",
                resource_name(client, &booking).await?,
                text(&booking["asset"], "tag")
            );
            ("work", sentence, booking)
        }
        "work_order.verified" => {
            let order = fetch("work-orders").await?;
            let sentence = format!(
                "{}: {} is back in its band, measured after the repair",
                text(&order, "number"),
                text(&order["asset"], "tag"),
            );
            ("verified", sentence, order)
        }
        "work_order.posted" => {
            let order = fetch("work-orders").await?;
            if text(&order, "verification") != "unverified" {
                return Ok(Vec::new());
            }
            let sentence = format!(
                "{}: posted as unverified, no telemetry after the repair of {}",
                text(&order, "number"),
                text(&order["asset"], "tag"),
            );
            ("verified", sentence, order)
        }
        "invoice.posted" => {
            let invoice = fetch("invoices").await?;
            let sentence = format!(
                "{} over {} for {}, due on {}",
                text(&invoice, "number"),
                money(&invoice["total"]),
                order_number(client, &invoice).await?,
                text(&invoice, "due_on"),
            );
            ("invoice", sentence, invoice)
        }
        "receipt.recorded" => {
            let receipt = fetch("receipts").await?;
            let sentence = format!(
                "{} received by {} for {}",
                money(&receipt["amount"]),
                text(&receipt, "method").replace('_', " "),
                text(&receipt, "reference"),
            );
            ("receipt", sentence, receipt)
        }
        "invoice.paid" => return balanced(client, event, subject).await,
        _ => return Ok(Vec::new()),
    };
    Ok(vec![Line {
        word,
        time: instant(&event["time"]).unwrap_or_default(),
        text: sentence,
        data,
    }])
}

/// Says `balanced` only when the trial balance says so.
async fn balanced(client: &Client, event: &Value, invoice: &str) -> Result<Vec<Line>, Failure> {
    let invoice = client.get(&format!("/api/v1/invoices/{invoice}")).await?;
    let balance = client.get("/api/v1/ledger/trial-balance").await?;
    if balance["balanced"] != true || text(&invoice, "settlement") != "paid" {
        return Ok(Vec::new());
    }
    let totals: Vec<String> = balance["totals"]
        .as_array()
        .into_iter()
        .flatten()
        .map(|total| {
            format!(
                "debits {} = credits {}",
                money(&total["debit"]),
                money(&total["credit"])
            )
        })
        .collect();
    Ok(vec![Line {
        word: "balanced",
        time: instant(&event["time"]).unwrap_or_default(),
        text: format!(
            "{} is paid in full; {}",
            text(&invoice, "number"),
            totals.join(", ")
        ),
        data: balance,
    }])
}

fn alarm_sentence(alarm: &Value) -> String {
    format!(
        "{} {} ({}): {}",
        text(alarm, "asset"),
        text(alarm, "severity"),
        text(alarm, "cause"),
        text(alarm, "summary"),
    )
}

async fn booking_sentence(client: &Client, booking: &Value) -> Result<String, Failure> {
    let who = resource_name(client, booking).await?;
    let span = |name: &str| {
        instant(&booking[name]).map_or_else(String::new, |at| at.format("%H:%MZ").to_string())
    };
    Ok(format!(
        "{who} for {}, {} to {}, {} min of travel; {}",
        text(&booking["asset"], "tag"),
        span("starts_at"),
        span("ends_at"),
        shown(&booking["travel_minutes"]),
        why_not_the_others(booking),
    ))
}

/// Why it is this technician: what stands against each of the others.
fn why_not_the_others(booking: &Value) -> String {
    let others: Vec<String> = booking["explanation"]["resources"]
        .as_array()
        .into_iter()
        .flatten()
        .filter(|resource| resource["chosen"] != true)
        .map(|resource| {
            let reason = text(resource, "reason");
            let drawback = reason.rsplit(": ").next().unwrap_or(reason);
            format!("{} {drawback}", text(resource, "name"))
        })
        .collect();
    if others.is_empty() {
        return "nobody else was asked".to_owned();
    }
    format!("the others: {}", others.join(", "))
}

async fn resource_name(client: &Client, booking: &Value) -> Result<String, Failure> {
    let id = text(booking, "resource_id");
    let page = client.get("/api/v1/resources?limit=200").await?;
    let name = page["items"]
        .as_array()
        .into_iter()
        .flatten()
        .find(|resource| text(resource, "id") == id)
        .map_or(id, |resource| text(resource, "name"));
    Ok(name.to_owned())
}

async fn order_number(client: &Client, invoice: &Value) -> Result<String, Failure> {
    let id = text(invoice, "work_order_id");
    let order = client.get(&format!("/api/v1/work-orders/{id}")).await?;
    Ok(text(&order, "number").to_owned())
}

fn text<'a>(value: &'a Value, name: &str) -> &'a str {
    value[name].as_str().unwrap_or_default()
}

fn shown(value: &Value) -> String {
    value
        .as_str()
        .map_or_else(|| value.to_string(), str::to_owned)
}

fn money(value: &Value) -> String {
    format!("{} {}", text(value, "amount"), text(value, "currency"))
}

fn instant(value: &Value) -> Option<DateTime<Utc>> {
    DateTime::parse_from_rfc3339(value.as_str()?)
        .ok()
        .map(|at| at.to_utc())
}

/// The unit that a metric's name ends with, by the naming convention of the seeded classes.
fn unit_of(metric: &str) -> &'static str {
    const UNITS: [(&str, &str); 7] = [
        ("_mm_s", "mm/s"),
        ("_c", "°C"),
        ("_bar", "bar"),
        ("_m3h", "m³/h"),
        ("_rpm", "rpm"),
        ("_pct", "%"),
        ("_a", "A"),
    ];
    UNITS
        .iter()
        .find(|(suffix, _)| metric.ends_with(suffix))
        .map_or("", |(_, unit)| unit)
}
