//! The gate: one statement, only reading, of bounded size.

use datafusion::error::DataFusionError;
use datafusion::execution::context::SQLOptions;
use datafusion::logical_expr::LogicalPlan;
use datafusion::sql::parser::{DFParserBuilder, Statement};
use datafusion::sql::sqlparser::ast::Statement as SqlStatement;
use datafusion::sql::sqlparser::dialect::{Dialect, GenericDialect, PostgreSqlDialect};
use datafusion::sql::sqlparser::keywords::Keyword;
use datafusion::sql::sqlparser::parser::ParserError;
use datafusion::sql::sqlparser::tokenizer::{Token, Tokenizer};

use super::pg_catalog::PgCatalog;
use super::{SqlError, SqlLimits, complexity, offered, timeseries};

/// How deep parentheses, subqueries and prefix operators may nest.
const NESTING: usize = 50;
/// EXPLAIN is parsed by plain recursion, so it may not be stacked.
const EXPLAINS: usize = 2;

/// Parses `sql` and lets it pass when it is one statement that only reads.
///
/// **Errors** are all of the family *refused*.
pub(super) fn admit(sql: &str, limits: &SqlLimits) -> Result<Statement, SqlError> {
    let tokens = bounded_tokens(sql, &GenericDialect {}, limits)?;
    let mut statements = DFParserBuilder::new(sql)
        .with_dialect(&GenericDialect {})
        .with_recursion_limit(NESTING)
        .build()
        .and_then(|mut parser| parser.parse_statements())
        .map_err(|error| refused_by_parser(error, &tokens, limits))?;
    if statements.len() > 1 {
        return Err(SqlError::SeveralStatements {
            count: statements.len(),
        });
    }
    let statement = statements.pop_front().ok_or(SqlError::Empty)?;
    admit_statement(statement, &tokens, limits)
}

/// The same for a question of a PostgreSQL client about the catalog, which is read and rewritten
/// for our engine.
///
/// **Errors** are all of the family *refused*.
pub(super) fn admit_catalog(
    sql: &str,
    catalog: &PgCatalog,
    limits: &SqlLimits,
) -> Result<Statement, SqlError> {
    let tokens = bounded_tokens(sql, &PostgreSqlDialect {}, limits)?;
    let mut statements = catalog.read(sql).map_err(|error| {
        refused_by_parser(DataFusionError::SQL(Box::new(error), None), &tokens, limits)
    })?;
    if statements.len() > 1 {
        return Err(SqlError::SeveralStatements {
            count: statements.len(),
        });
    }
    let statement = statements.pop().ok_or(SqlError::Empty)?;
    let statement = Statement::Statement(Box::new(statement));
    admit_statement(statement, &tokens, limits)
}

fn bounded_tokens(
    sql: &str,
    dialect: &dyn Dialect,
    limits: &SqlLimits,
) -> Result<Vec<Token>, SqlError> {
    if sql.len() > limits.text_bytes {
        return Err(SqlError::TooLong {
            bytes: sql.len(),
            limit: limits.text_bytes,
        });
    }
    let tokens = Tokenizer::new(dialect, sql)
        .tokenize()
        .map_err(|error| SqlError::Invalid {
            message: format!("Not readable as SQL: {error}"),
        })?;
    check_size(&tokens, limits)?;
    Ok(tokens)
}

fn admit_statement(
    mut statement: Statement,
    tokens: &[Token],
    limits: &SqlLimits,
) -> Result<Statement, SqlError> {
    complexity::admit_relations(&statement, limits)?;
    if !only_reads(&statement) {
        return Err(SqlError::NotReadOnly { verb: verb(tokens) });
    }
    offered::admit(&statement)?;
    timeseries::rewrite(&mut statement)?;
    Ok(statement)
}

/// The second look, at the plan: a query can hide a change (SELECT INTO, a writing WITH).
pub(super) fn admit_plan(plan: &LogicalPlan) -> Result<(), SqlError> {
    SQLOptions::new()
        .with_allow_ddl(false)
        .with_allow_dml(false)
        .with_allow_statements(false)
        .verify_plan(plan)
        .map_err(|_| SqlError::NotReadOnly {
            verb: "a query that changes something".to_owned(),
        })
}

/// Every level of a tree that the parser builds costs at least one token that is neither a name,
/// a literal nor a comma, so the count of those bounds the depth of whatever follows.
fn check_size(tokens: &[Token], limits: &SqlLimits) -> Result<(), SqlError> {
    let (mut operators, mut explains, mut chain) = (0, 0, 0);
    for token in tokens {
        let link = match token {
            Token::Whitespace(_)
            | Token::Number(..)
            | Token::SingleQuotedString(_)
            | Token::EOF => continue,
            Token::Comma => {
                chain = 0;
                continue;
            }
            // A long path of names is a chain too, but it is no operator.
            Token::Period => false,
            Token::Word(word) => match word.keyword {
                Keyword::NoKeyword => continue,
                Keyword::EXPLAIN => {
                    explains += 1;
                    true
                }
                keyword if BREAKS_CHAINS.contains(&keyword) => {
                    chain = 0;
                    true
                }
                _ => true,
            },
            _ => true,
        };
        chain += 1;
        operators += usize::from(link);
        if operators > limits.operators || explains > EXPLAINS || chain > CHAIN {
            return Err(SqlError::TooComplex {
                limit: limits.operators,
                chain: CHAIN,
            });
        }
    }
    Ok(())
}

/// Most operators of one expression: planning takes time by their square.
pub(super) const CHAIN: usize = 300;

/// Words that begin another expression, or put cheap ones together.
const BREAKS_CHAINS: [Keyword; 10] = [
    Keyword::SELECT,
    Keyword::FROM,
    Keyword::WHERE,
    Keyword::AND,
    Keyword::OR,
    Keyword::WHEN,
    Keyword::THEN,
    Keyword::ELSE,
    Keyword::UNION,
    Keyword::JOIN,
];

fn refused_by_parser(error: DataFusionError, tokens: &[Token], limits: &SqlLimits) -> SqlError {
    match error.find_root() {
        DataFusionError::SQL(parser, _) => match parser.as_ref() {
            ParserError::RecursionLimitExceeded => SqlError::TooComplex {
                limit: limits.operators,
                chain: CHAIN,
            },
            ParserError::ParserError(message) | ParserError::TokenizerError(message) => {
                // A writing statement in a dialect that the parser does not know is still refused
                // for what it is.
                match WRITING.contains(&verb(tokens).as_str()) {
                    true => SqlError::NotReadOnly { verb: verb(tokens) },
                    false => SqlError::Invalid {
                        message: format!("Not valid SQL: {message}"),
                    },
                }
            }
        },
        other => SqlError::Invalid {
            message: other.strip_backtrace(),
        },
    }
}

/// Verbs that change something, for texts that do not even parse.
const WRITING: [&str; 16] = [
    "ALTER", "ATTACH", "BEGIN", "COMMIT", "COPY", "CREATE", "DELETE", "DROP", "GRANT", "INSERT",
    "LOAD", "MERGE", "PRAGMA", "SET", "TRUNCATE", "UPDATE",
];

fn only_reads(statement: &Statement) -> bool {
    match statement {
        Statement::Statement(inner) => statement_only_reads(inner),
        Statement::Explain(explain) => only_reads(&explain.statement),
        Statement::CreateExternalTable(_) | Statement::CopyTo(_) | Statement::Reset(_) => false,
    }
}

fn statement_only_reads(statement: &SqlStatement) -> bool {
    match statement {
        SqlStatement::Query(_)
        | SqlStatement::ShowTables { .. }
        | SqlStatement::ShowColumns { .. }
        | SqlStatement::ShowFunctions { .. }
        | SqlStatement::ShowVariable { .. }
        | SqlStatement::ExplainTable { .. } => true,
        SqlStatement::Explain { statement, .. } => statement_only_reads(statement),
        _ => false,
    }
}

/// The first word, upper case: what the statement wants to do.
fn verb(tokens: &[Token]) -> String {
    let words = tokens.iter().filter_map(|token| match token {
        Token::Word(word) => Some(word.value.to_uppercase()),
        _ => None,
    });
    let mut words =
        words.skip_while(|word| matches!(word.as_str(), "EXPLAIN" | "ANALYZE" | "VERBOSE"));
    words.next().unwrap_or_else(|| "this statement".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(sql: &str, expected: &str) {
        let limits = SqlLimits::default();
        let told = match admit(sql, &limits) {
            Ok(_) => "admitted".to_owned(),
            Err(error) => error.code().to_owned(),
        };
        assert_eq!(told, expected, "{}", &sql[..sql.len().min(80)]);
    }

    #[test]
    fn reading_passes_and_writing_does_not() {
        for sql in [
            "SELECT 1",
            "select 1;",
            "WITH a AS (SELECT 1) SELECT * FROM a",
            "VALUES (1), (2)",
            "EXPLAIN SELECT 1",
            "EXPLAIN ANALYZE SELECT 1",
            "SHOW TABLES",
            "SHOW COLUMNS FROM pump",
            "SHOW ALL",
            "DESCRIBE pump",
            "SELECT 1 UNION ALL SELECT 2",
        ] {
            check(sql, "admitted");
        }
        for sql in [
            "INSERT INTO pump VALUES (1)",
            "UPDATE pump SET a = 1",
            "DELETE FROM pump",
            "CREATE TABLE a (b INT)",
            "CREATE VIEW a AS SELECT 1",
            "CREATE EXTERNAL TABLE a STORED AS CSV LOCATION '/etc/passwd'",
            "CREATE FUNCTION f() RETURNS INT RETURN 1",
            "DROP TABLE pump",
            "TRUNCATE TABLE pump",
            "COPY pump TO '/tmp/x.csv'",
            "COPY (SELECT 1) TO '/tmp/x.csv' STORED AS CSV",
            "SET datafusion.execution.batch_size = 1",
            "RESET datafusion.execution.batch_size",
            "BEGIN",
            "COMMIT",
            "PREPARE p AS SELECT 1",
            "EXECUTE p",
            "EXPLAIN INSERT INTO pump VALUES (1)",
            "EXPLAIN ANALYZE COPY pump TO '/tmp/x.csv'",
            "EXPLAIN ANALYZE DELETE FROM pump",
            "EXPLAIN CREATE TABLE a (b INT)",
            "MERGE INTO a USING b ON a.x = b.x WHEN MATCHED THEN DELETE",
            "GRANT ALL ON pump TO you",
        ] {
            check(sql, "not_read_only");
        }
    }

    #[test]
    fn shape_is_bounded() {
        check("", "empty");
        check(" ; ", "empty");
        check("-- nothing", "empty");
        check("SELECT 1; SELECT 2", "several_statements");
        check("SELECT 1; DROP TABLE pump", "several_statements");
        check("SELECT 1 FROM", "invalid_query");
        check("SELECT 'open", "invalid_query");
        check(
            &format!("SELECT {}1{}", "(".repeat(60), ")".repeat(60)),
            "too_complex",
        );
        check(&format!("SELECT 1{}", "+1".repeat(290)), "admitted");
        check(&format!("SELECT 1{}", " AND v = 1".repeat(900)), "admitted");
        check(&format!("SELECT 1{}", "+1".repeat(310)), "too_complex");
        check(
            &format!("SELECT 1{}", " AND v = 1".repeat(1_100)),
            "too_complex",
        );
        check(&format!("SELECT a{}", ".a".repeat(310)), "too_complex");
        check(&format!("SELECT 1{}", "::INT".repeat(1_500)), "too_complex");
        check(
            &format!("{}SELECT 1", "EXPLAIN ".repeat(1_000)),
            "too_complex",
        );
        check(
            &format!("SELECT 1 IN ({}1)", "1,".repeat(20_000)),
            "admitted",
        );
        check(&"x".repeat(70_000), "too_long");
    }
}
