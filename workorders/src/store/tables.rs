//! The tables that SQL may read, with the meaning of their columns.

/// What a column's integer or text means.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ColumnKind {
    /// Text.
    Text,
    /// A 64-bit integer.
    Int,
    /// 0 or 1.
    Bool,
    /// An instant. **Units** microseconds since 1970 UTC.
    Timestamp,
    /// An amount. **Units** minor units of the currency that the row's `currency` column names.
    Money,
    /// JSON as text.
    Json,
}

/// One column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ColumnDef {
    /// Its name in the store and in SQL.
    pub name: &'static str,
    /// What it means.
    pub kind: ColumnKind,
}

/// One table.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct TableDef {
    /// Its name in the store and in SQL.
    pub name: &'static str,
    /// Its columns in order.
    pub columns: &'static [ColumnDef],
}

/// Makes a table: `table!("name", Kind: a b c, Kind: d)`.
macro_rules! table {
    ($name:literal, $($kind:ident: $($column:ident)+),+ $(,)?) => {
        TableDef {
            name: $name,
            columns: &[$($(ColumnDef {
                name: stringify!($column),
                kind: ColumnKind::$kind,
            }),+),+],
        }
    };
}

/// Every table that SQL may read.
pub fn tables() -> &'static [TableDef] {
    TABLES
}

const TABLES: &[TableDef] = &[
    table!("accounts", Text: id key name currency, Int: terms_days, Timestamp: created_at,
        Int: version),
    table!("sites", Text: id key account_id name latitude longitude country time_zone,
        Timestamp: created_at, Int: version),
    table!("assets", Text: id tag class name site_id, Int: criticality, Timestamp: created_at,
        Int: version, Timestamp: installed_at),
    table!("resources", Text: id key name, Json: skills, Text: latitude longitude time_zone,
        Int: speed_kmh, Bool: active, Timestamp: created_at, Int: version),
    table!("work_orders",
        Text: id number source asset_id site_id account_id incident_type failure_mode status
            verification summary,
        Int: priority, Text: priority_reason outcome, Int: reopen_count,
        Text: last_reason unbooked_reason,
        Timestamp: created_at started_at completed_at posted_at, Text: posted_by,
        Timestamp: canceled_at, Int: version, Text: tier, Timestamp: due_at, Text: close_out),
    table!("cases", Text: id asset_id failure_mode status tier reason summary severity,
        Int: confidence_bp persistence_s failure_ppm agreeing watching,
        Money: saving visit, Text: currency,
        Timestamp: opened_at decided_at again_at, Text: work_order_id close_out,
        Timestamp: closed_at, Text: closed_by close_reason, Int: version forecast_ppm,
        Text: forecast_basis),
    table!("case_alarms", Text: alarm_id case_id cause model severity,
        Int: confidence_bp failure_ppm watching peak_milli, Text: summary, Json: evidence,
        Timestamp: began_at raised_at returned_at),
    table!("detector_performance", Text: class cause version,
        Int: cases ordered confirmed no_fault_found other_fault missed precision_ppm recall_ppm
            lead_time_s,
        Money: visits_cost wasted_cost, Text: currency),
    table!("limit_proposals", Text: id class cause status, Int: factor_milli episodes confirmed
            no_fault_found, Money: cost_now cost_proposed, Text: currency reason,
        Timestamp: created_at decided_at, Text: decided_by, Int: version,
        Timestamp: taken_back_at, Text: taken_back_by),
    table!("bookings", Text: id work_order_id resource_id status,
        Timestamp: travel_from starts_at ends_at, Int: travel_minutes distance_m,
        Json: explanation, Timestamp: traveled_at started_at ended_at, Text: outcome notes,
        Int: minutes_worked, Timestamp: created_at, Int: version),
    table!("work_lines", Text: id work_order_id booking_id kind code quantity unit,
        Timestamp: created_at),
    table!("invoices",
        Text: id number status settlement legal_entity account_id site_id work_order_id currency,
        Money: net tax total applied open, Text: supplied_on issued_on due_on,
        Timestamp: created_at posted_at, Int: version),
    table!("receipts", Text: id status account_id currency, Money: amount applied on_account,
        Text: reference method received_on, Timestamp: recorded_at, Text: matching,
        Int: version),
    table!("journal_lines", Text: id entry_id, Int: seq position,
        Text: rule source_id dated ledger_account currency, Money: amount,
        Text: account_id tax_code text, Timestamp: posted_at),
];

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::test_store::TestStore;

    /// Every declared column can be selected on every store.
    #[tokio::test]
    async fn declared_columns_exist() {
        for store in TestStore::all().await {
            for table in tables() {
                let columns: Vec<_> = table.columns.iter().map(|column| column.name).collect();
                let query = format!("SELECT {} FROM {}", columns.join(", "), table.name);
                sqlx::query(sqlx::AssertSqlSafe(query.clone()))
                    .fetch_all(store.db.pool())
                    .await
                    .unwrap_or_else(|error| panic!("{}: {query}: {error}", store.kind));
            }
            store.drop_all().await;
        }
    }
}
