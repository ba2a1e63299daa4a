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
    for at in 0..given {
        let own = portal.statement.parameter_types.get(at);
        let own = own.and_then(Option::as_ref);
        // PostgreSQL names the list of a type after the type, with a line before it.
        let is_list = |kind: &Type| kind.name().starts_with('_');
        let is_list = own.into_iter().chain(told.get(at)).any(is_list);
        let sent = portal.parameters.get(at).and_then(Option::as_deref);
        if let Some(sent) = sent
            && is_list
            && portal.parameter_format.is_binary(at)
            && !holds_its_items(sent)
        {
            return Err(refused(
                "22P03",
                format!(
                    "the list ${} says that it has more items than it has",
                    at + 1
                ),
            ));
        }
    }
    let told: Vec<Option<&Type>> = told.iter().map(Some).collect();
    let shown: Vec<Option<&DataType>> = parameters
        .iter()
        .map(|field| field.as_ref().map(|field| field.data_type()))
        .collect();
    deserialize_parameters_with_server_types(portal, &shown, &told)
}

/// Whether the items that the head of a list announces can stand behind it: the library takes
/// memory for as many as that says.
///
/// **Source**: `array_send` of PostgreSQL: dimensions, flags, the type of the items; for each
/// dimension its length and its lower bound; then the items, each with a length of four bytes.
fn holds_its_items(list: &[u8]) -> bool {
    let word = |at: usize| {
        let bytes = list.get(at * 4..at * 4 + 4)?;
        Some(u32::from_be_bytes(bytes.try_into().ok()?) as usize)
    };
    let Some(dimensions) = word(0) else {
        return false;
    };
    let mut items = usize::from(dimensions > 0);
    for dimension in 0..dimensions.min(list.len()) {
        match word(3 + dimension * 2) {
            Some(length) => items = items.saturating_mul(length),
            None => return false,
        }
    }
    items <= list.len() / 4
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_list_holds_what_it_announces() {
        let list = |words: &[u32]| -> Vec<u8> {
            words.iter().flat_map(|word| word.to_be_bytes()).collect()
        };
        for (words, expected) in [
            (&[0, 0, 23][..], true),
            (&[1, 0, 23, 1, 1, 4, 7], true),
            (&[1, 0, 23, 2, 1, u32::MAX, u32::MAX], true),
            (&[1, 0, 23, 0x7fff_ffff, 1], false),
            (&[2, 0, 23, 0xffff, 1, 0xffff, 1], false),
            (&[2, 0, 23, 1, 1], false),
            (&[u32::MAX, 0, 23, 1, 1], false),
            (&[], false),
        ] {
            assert_eq!(holds_its_items(&list(words)), expected, "{words:?}");
        }
    }
}
