//! The values of `$1`, `$2` and so on, once the planned text has shown their types.

use std::sync::Arc;

use arrow::datatypes::{DataType, FieldRef};
use datafusion::common::ParamValues;
use datafusion_postgres::arrow_pg::datatypes::df::deserialize_parameters_with_server_types;
use datafusion_postgres::arrow_pg::datatypes::field_into_pg_type;
use datafusion_postgres::pgwire::api::Type;
use datafusion_postgres::pgwire::api::portal::{Format, Portal};
use datafusion_postgres::pgwire::error::{PgWireError, PgWireResult};

use super::failure::refused;
use super::statement::Asked;
use crate::sql::{LateParameters, SqlError};

/// The types that a client is told; text where the place of a parameter shows none, or where
/// its place was taken out of a question about the catalog.
///
/// **Errors**: a type that PostgreSQL does not have.
pub(super) fn types(asked: &Asked, parameters: &[Option<FieldRef>]) -> PgWireResult<Vec<Type>> {
    let types = parameters.iter().map(|field| match field {
        Some(field) => field_into_pg_type(field),
        None => Ok(Type::TEXT),
    });
    let mut types = types.collect::<PgWireResult<Vec<Type>>>()?;
    types.resize(types.len().max(asked.parameters), Type::TEXT);
    Ok(types)
}

/// Makes the values of a portal's parameters when their types are known.
pub(super) fn of_portal(portal: &Arc<Portal<Arc<Asked>>>) -> Arc<LateParameters> {
    let portal = Arc::clone(portal);
    Arc::new(move |parameters: &[Option<FieldRef>]| {
        values(&portal, parameters).map_err(|error| SqlError::Invalid {
            message: match error {
                PgWireError::UserError(info) => info.message,
                other => other.to_string(),
            },
        })
    })
}

/// **Errors**: more or fewer formats of parameters than parameters.
pub(super) fn check_formats(portal: &Portal<Arc<Asked>>) -> PgWireResult<()> {
    let given = portal.parameters.len();
    match &portal.parameter_format {
        Format::Individual(formats) if formats.len() != given => Err(refused(
            "08P01",
            format!(
                "bind message has {} parameter formats but {given} parameters",
                formats.len()
            ),
        )),
        _ => Ok(()),
    }
}

fn values(
    portal: &Portal<Arc<Asked>>,
    parameters: &[Option<FieldRef>],
) -> PgWireResult<ParamValues> {
    let told = types(&portal.statement.statement, parameters)?;
    let (given, needed) = (portal.parameter_len(), told.len());
    if given != needed {
        return Err(refused(
            "08P01",
            format!("the statement has {needed} parameters, and {given} values were given"),
        ));
    }
    let told: Vec<Option<&Type>> = told.iter().map(Some).collect();
    let shown: Vec<Option<&DataType>> = parameters
        .iter()
        .map(|field| field.as_ref().map(|field| field.data_type()))
        .collect();
    deserialize_parameters_with_server_types(portal, &shown, &told)
}
