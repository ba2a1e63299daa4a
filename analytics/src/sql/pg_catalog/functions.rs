//! Functions that PostgreSQL clients call while they look around.
//!
//! Most of them ask about what we do not have, such as comments and triggers, and are answered
//! with nothing.

use arrow::datatypes::DataType;
use datafusion::common::ScalarValue;
use datafusion::error::Result;
use datafusion::logical_expr::{
    ColumnarValue, ScalarFunctionArgs, ScalarUDF, ScalarUDFImpl, Signature, TypeSignature,
    Volatility,
};

/// The version that clients are told: they decide by it what they may ask.
const VERSION: &str = "PostgreSQL 16.6 (Fieldwright, read-only)";

/// Functions about things that do not exist here.
const NOTHING: [&str; 15] = [
    "obj_description",
    "col_description",
    "shobj_description",
    "pg_get_viewdef",
    "pg_get_indexdef",
    "pg_get_triggerdef",
    "pg_get_ruledef",
    "pg_get_functiondef",
    "pg_get_serial_sequence",
    "pg_get_function_result",
    "pg_get_function_arguments",
    "pg_tablespace_location",
    "pg_size_pretty",
    "pg_table_size",
    "pg_database_size",
];

/// Whether something stands in the search path: all that is there does.
const VISIBLE: [&str; 4] = [
    "pg_collation_is_visible",
    "pg_function_is_visible",
    "pg_operator_is_visible",
    "pg_type_is_visible",
];

/// The number of something that does not exist here.
const NUMBERS: [&str; 2] = ["to_regclass", "to_regtype"];

/// What a client may ask with SHOW and `current_setting`.
const SETTINGS: [(&str, &str); 20] = [
    ("application_name", ""),
    ("bytea_output", "hex"),
    ("client_encoding", "UTF8"),
    ("datestyle", "ISO, MDY"),
    ("default_table_access_method", "heap"),
    ("default_transaction_isolation", "read committed"),
    ("default_transaction_read_only", "on"),
    ("extra_float_digits", "1"),
    ("integer_datetimes", "on"),
    ("intervalstyle", "postgres"),
    ("is_superuser", "off"),
    ("max_identifier_length", "63"),
    ("search_path", "public"),
    ("server_encoding", "UTF8"),
    ("server_version", "16.6"),
    ("server_version_num", "160006"),
    ("standard_conforming_strings", "on"),
    ("timezone", "UTC"),
    ("transaction_isolation", "read committed"),
    ("transaction_read_only", "on"),
];

/// The value of a setting of this service, as PostgreSQL would show it.
pub(crate) fn setting(name: &str) -> Option<&'static str> {
    let name = name.to_lowercase();
    let found = SETTINGS.iter().find(|(known, _)| *known == name);
    found.map(|(_, value)| *value)
}

/// All of them.
pub(super) fn all() -> Vec<ScalarUDF> {
    let mut all: Vec<ScalarUDF> = NOTHING
        .into_iter()
        .map(|name| fixed(name, ScalarValue::Utf8(None)))
        .collect();
    all.push(fixed("version", ScalarValue::from(VERSION)));
    all.push(fixed("pg_is_in_recovery", ScalarValue::from(false)));
    all.extend(VISIBLE.map(|name| fixed(name, ScalarValue::from(true))));
    all.extend(NUMBERS.map(|name| fixed(name, ScalarValue::Int32(None))));
    all.push(Setting::named("current_setting", 0).into());
    all.push(Setting::named("set_config", 1).into());
    all
}

fn fixed(name: &'static str, answer: ScalarValue) -> ScalarUDF {
    let signature = any_arguments();
    ScalarUDF::from(Fixed {
        name,
        answer,
        signature,
    })
}

fn any_arguments() -> Signature {
    let shapes = vec![TypeSignature::Nullary, TypeSignature::VariadicAny];
    Signature::one_of(shapes, Volatility::Stable)
}

/// A function that always answers the same.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Fixed {
    name: &'static str,
    answer: ScalarValue,
    signature: Signature,
}

impl ScalarUDFImpl for Fixed {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(self.answer.data_type())
    }

    fn invoke_with_args(&self, _arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        Ok(ColumnarValue::Scalar(self.answer.clone()))
    }
}

/// `current_setting(name)` and `set_config(name, value, local)`, which sets nothing.
#[derive(Debug, PartialEq, Eq, Hash)]
struct Setting {
    name: &'static str,
    /// The argument that the answer is made of.
    place: usize,
    signature: Signature,
}

impl Setting {
    fn named(name: &'static str, place: usize) -> Self {
        Self {
            name,
            place,
            signature: any_arguments(),
        }
    }
}

impl ScalarUDFImpl for Setting {
    fn name(&self) -> &str {
        self.name
    }

    fn signature(&self) -> &Signature {
        &self.signature
    }

    fn return_type(&self, _arguments: &[DataType]) -> Result<DataType> {
        Ok(DataType::Utf8)
    }

    fn invoke_with_args(&self, arguments: ScalarFunctionArgs) -> Result<ColumnarValue> {
        let text = match arguments.args.get(self.place) {
            Some(ColumnarValue::Scalar(value)) => value.try_as_str().flatten().map(str::to_owned),
            _ => None,
        };
        let answer = match self.place {
            0 => text.and_then(|name| setting(&name)).map(str::to_owned),
            _ => text,
        };
        Ok(ColumnarValue::Scalar(ScalarValue::Utf8(answer)))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn settings_are_found_in_any_case() {
        for (name, expected) in [
            ("TimeZone", Some("UTC")),
            ("server_version", Some("16.6")),
            ("no_such_setting", None),
        ] {
            assert_eq!(setting(name), expected, "{name}");
        }
    }
}
