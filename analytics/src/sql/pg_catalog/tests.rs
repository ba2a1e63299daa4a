//! What psql and SQLAlchemy really ask, word by word.

use super::super::tests::pumps;
use super::super::{Manner, SqlRequest};

/// Asked with `\dt`, `\d TABLE`, `\l` and so on, and by an inspector; one comment and one
/// statement a paragraph.
const ASKED: &str = include_str!("asked.sql");

#[tokio::test]
async fn foreign_questions_are_planned() {
    let engine = pumps();
    let mut failed = Vec::new();
    for paragraph in ASKED.split("\n\n").filter(|text| !text.trim().is_empty()) {
        let (comment, text) = paragraph.trim().split_once('\n').unwrap();
        let asker = comment.trim_start_matches("-- ");
        let request = SqlRequest::new(text).in_manner(Manner::PostgresCatalog);
        if let Err(error) = engine.describe(&request).await {
            let beginning: String = text.chars().take(120).collect();
            failed.push(format!("{asker}: {beginning}…\n  {error}"));
        }
    }
    assert!(failed.is_empty(), "{}", failed.join("\n"));
}
