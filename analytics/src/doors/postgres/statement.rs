//! What a client asks: a query, a question about the catalog, or something that PostgreSQL would
//! keep in a session and that changes nothing here.

use std::sync::OnceLock;
use std::time::Duration;

use datafusion::sql::sqlparser::dialect::PostgreSqlDialect;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use crate::sql::{Described, Manner, setting};

/// Most statements of one text.
pub(super) const STATEMENTS: usize = 100;

/// The one setting that a client can change.
pub(super) const STATEMENT_TIMEOUT: &str = "statement_timeout";

/// One statement of a client.
#[derive(Debug)]
pub(super) struct Asked {
    pub(super) text: String,
    pub(super) kind: Kind,
    /// How many parameters its letters name.
    pub(super) parameters: usize,
    /// What the client was told about it.
    pub(super) described: OnceLock<Described>,
}

/// What kind of statement it is.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) enum Kind {
    /// For the engine.
    Query(Manner),
    /// Shows one setting.
    Show { name: String, value: String },
    /// Begins what PostgreSQL calls a transaction; here each query has its own snapshot.
    Begin(&'static str),
    /// Ends it.
    End(&'static str),
    /// Lowers the time limit of this connection's queries; nothing: as the service has it.
    TimeLimit(Option<Duration>),
    /// Forgets a prepared statement; nothing: all of them.
    Deallocate(Option<String>),
    /// Changes nothing.
    Nothing(&'static str),
}

/// Words that stand in questions about the catalog, wherever they stand.
const CATALOG_WORDS: [&str; 12] = [
    "current_catalog",
    "current_role",
    "current_user",
    "information_schema",
    "oid",
    "regclass",
    "regnamespace",
    "regproc",
    "regrole",
    "regtype",
    "session_user",
    "typname",
];

/// Functions that only the catalog's session has.
const CATALOG_FUNCTIONS: [&str; 18] = [
    "array_lower",
    "array_upper",
    "col_description",
    "current_database",
    "current_schema",
    "current_schemas",
    "current_setting",
    "format_type",
    "has_any_column_privilege",
    "has_database_privilege",
    "has_schema_privilege",
    "has_table_privilege",
    "obj_description",
    "parse_ident",
    "quote_ident",
    "set_config",
    "shobj_description",
    "version",
];

impl Asked {
    /// Reads one statement.
    pub(super) fn read(text: &str) -> Self {
        let tokens = tokens(text).unwrap_or_default();
        Self {
            text: text.to_owned(),
            kind: kind(&tokens),
            parameters: tokens.iter().filter_map(number).max().unwrap_or(0),
            described: OnceLock::new(),
        }
    }
}

/// The statements of a text, without empty ones. A text that cannot be read is one statement: the
/// engine says what is wrong with it.
pub(super) fn split(text: &str) -> Vec<String> {
    let Some(tokens) = tokens(text) else {
        return vec![text.to_owned()];
    };
    let statements: Vec<&[Token]> = tokens
        .split(|token| *token == Token::SemiColon)
        .filter(|tokens| !tokens.iter().all(|t| matches!(t, Token::Whitespace(_))))
        .collect();
    match statements.as_slice() {
        [] => Vec::new(),
        [_] => vec![text.to_owned()],
        several => several
            .iter()
            .map(|tokens| tokens.iter().map(ToString::to_string).collect())
            .collect(),
    }
}

/// Tokens that are written as they were read.
fn tokens(text: &str) -> Option<Vec<Token>> {
    let tokenizer = Tokenizer::new(&PostgreSqlDialect {}, text);
    tokenizer.with_unescape(false).tokenize().ok()
}

fn kind(tokens: &[Token]) -> Kind {
    let plain: Vec<&Token> = tokens
        .iter()
        .filter(|token| !matches!(token, Token::Whitespace(_) | Token::SemiColon))
        .collect();
    let words: Vec<String> = plain.iter().map(|token| word(token)).collect();
    let words: Vec<&str> = words.iter().map(String::as_str).collect();
    match words.as_slice() {
        ["begin", ..] => Kind::Begin("BEGIN"),
        ["start", "transaction", ..] => Kind::Begin("START TRANSACTION"),
        ["commit" | "end", ..] => Kind::End("COMMIT"),
        ["rollback", "to", ..] => Kind::Nothing("ROLLBACK"),
        ["rollback" | "abort", ..] => Kind::End("ROLLBACK"),
        ["savepoint", ..] => Kind::Nothing("SAVEPOINT"),
        ["release", ..] => Kind::Nothing("RELEASE"),
        ["set", "statement_timeout", "to" | "=", value, ..]
        | ["set", "session", "statement_timeout", "to" | "=", value, ..] => {
            Kind::TimeLimit(time_limit(value))
        }
        ["set", ..] => Kind::Nothing("SET"),
        ["reset", "statement_timeout" | "all"] => Kind::TimeLimit(None),
        ["reset", ..] => Kind::Nothing("RESET"),
        ["discard", ..] => Kind::Deallocate(None),
        ["deallocate", "all"] | ["deallocate", "prepare", "all"] => Kind::Deallocate(None),
        ["deallocate", "prepare", name] | ["deallocate", name] => {
            Kind::Deallocate(Some((*name).to_owned()))
        }
        ["close", ..] => Kind::Nothing("CLOSE CURSOR"),
        ["listen", ..] => Kind::Nothing("LISTEN"),
        ["unlisten", ..] => Kind::Nothing("UNLISTEN"),
        ["show", "tables" | "columns" | "functions" | "all", ..] => Kind::Query(Manner::Plain),
        ["show", "time", "zone"] => shown("timezone"),
        ["show", "transaction", "isolation", "level"] => shown("transaction_isolation"),
        // What it is, only the connection knows.
        ["show", STATEMENT_TIMEOUT] => shown(STATEMENT_TIMEOUT),
        ["show", name] if setting(name).is_some() => shown(name),
        words if asks_catalog(words) => Kind::Query(Manner::PostgresCatalog),
        _ => Kind::Query(Manner::Plain),
    }
}

/// The number of a parameter.
fn number(token: &Token) -> Option<usize> {
    match token {
        Token::Placeholder(name) => name.strip_prefix('$')?.parse().ok(),
        _ => None,
    }
}

/// A token in lower case, without its quotes.
fn word(token: &Token) -> String {
    match token {
        Token::Word(word) if word.quote_style.is_some() => word.value.clone(),
        Token::SingleQuotedString(text) => text.to_lowercase(),
        other => other.to_string().to_lowercase(),
    }
}

fn shown(name: &str) -> Kind {
    Kind::Show {
        name: name.to_owned(),
        value: setting(name).unwrap_or_default().to_owned(),
    }
}

fn asks_catalog(words: &[&str]) -> bool {
    let called = words.windows(2).any(|pair| {
        let [name, next] = pair else { return false };
        *next == "(" && CATALOG_FUNCTIONS.contains(name)
    });
    let named = words
        .iter()
        .any(|word| word.starts_with("pg_") || CATALOG_WORDS.contains(word));
    called || named
}

/// `5000`, `5s`, `5min` as PostgreSQL reads it; 0 means: as the service has it.
fn time_limit(text: &str) -> Option<Duration> {
    let text = text.trim_matches('\'');
    let digits =
        text.trim_end_matches(|letter: char| letter.is_ascii_alphabetic() || letter == ' ');
    let number: u64 = digits.parse().ok()?;
    let milliseconds = match text[digits.len()..].trim() {
        "" | "ms" => number,
        "s" => number.saturating_mul(1_000),
        "min" => number.saturating_mul(60_000),
        "h" => number.saturating_mul(3_600_000),
        _ => return None,
    };
    (milliseconds > 0).then(|| Duration::from_millis(milliseconds))
}

/// A time limit as PostgreSQL shows it: in the largest unit that leaves no rest.
pub(super) fn shown_limit(limit: Option<Duration>) -> String {
    let milliseconds = limit.map_or(0, |limit| limit.as_millis());
    let units = [("h", 3_600_000), ("min", 60_000), ("s", 1_000)];
    let whole = |(_, unit): &(&str, u128)| milliseconds.is_multiple_of(*unit);
    match units.into_iter().find(whole) {
        _ if milliseconds == 0 => "0".to_owned(),
        Some((name, unit)) => format!("{}{name}", milliseconds / unit),
        None => format!("{milliseconds}ms"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(text: &str, expected: Kind) {
        assert_eq!(Asked::read(text).kind, expected, "{text}");
    }

    #[test]
    fn statements_are_told_apart() {
        let plain = Kind::Query(Manner::Plain);
        let catalog = Kind::Query(Manner::PostgresCatalog);
        check("SELECT 1", plain.clone());
        check("SELECT version FROM firmware", plain.clone());
        check("SHOW TABLES", plain.clone());
        check("SELECT 'pg_class'", catalog.clone());
        check("SELECT * FROM pg_catalog.pg_class", catalog.clone());
        check("select pg_catalog.version()", catalog.clone());
        check("SELECT current_user", catalog.clone());
        check("SELECT * FROM information_schema.tables", catalog);
        check("BEGIN", Kind::Begin("BEGIN"));
        check(
            "begin isolation level read committed;",
            Kind::Begin("BEGIN"),
        );
        check("COMMIT", Kind::End("COMMIT"));
        check("ROLLBACK", Kind::End("ROLLBACK"));
        check("ROLLBACK TO SAVEPOINT a", Kind::Nothing("ROLLBACK"));
        check("SET client_encoding TO 'UTF8'", Kind::Nothing("SET"));
        check("DEALLOCATE ALL", Kind::Deallocate(None));
        check(
            "DEALLOCATE \"_pg3_0\"",
            Kind::Deallocate(Some("_pg3_0".to_owned())),
        );
        check(
            "show standard_conforming_strings",
            shown("standard_conforming_strings"),
        );
        check("INSERT INTO pump VALUES (1)", plain);
    }

    #[test]
    fn time_limits_are_read_as_postgresql_does() {
        let after = |ms| Kind::TimeLimit(Some(Duration::from_millis(ms)));
        check("SET statement_timeout = 250", after(250));
        check("SET statement_timeout TO '5s'", after(5_000));
        check("SET SESSION statement_timeout = '2 min'", after(120_000));
        check("SET statement_timeout = 0", Kind::TimeLimit(None));
        check("RESET statement_timeout", Kind::TimeLimit(None));
    }

    #[test]
    fn a_text_is_split_where_statements_end() {
        for (text, expected) in [
            ("", vec![]),
            (" ; ;", vec![]),
            ("SELECT 1;", vec!["SELECT 1;"]),
            (
                "SELECT 'a;''b'; SELECT \"c;d\"",
                vec!["SELECT 'a;''b'", " SELECT \"c;d\""],
            ),
            ("SELECT 'open", vec!["SELECT 'open"]),
        ] {
            assert_eq!(split(text), expected, "{text}");
        }
    }
}
