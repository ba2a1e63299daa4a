//! The examples of `docs/contract.md`, decoded.

use super::said::World;

const CONTRACT: &str = include_str!("../../../docs/contract.md");

/// Blocks in their order: what stands behind the fence, and the text.
fn blocks() -> Vec<(String, String)> {
    let mut blocks = Vec::new();
    let mut lines = CONTRACT.lines();
    while let Some(line) = lines.next() {
        if let Some(kind) = line.strip_prefix("```text ") {
            let text: Vec<&str> = lines.by_ref().take_while(|line| *line != "```").collect();
            blocks.push((kind.to_owned(), text.join("\n")));
        }
    }
    blocks
}

#[test]
fn every_example_is_what_it_says() {
    let blocks = blocks();
    let mut examples = 0;
    for three in blocks.chunks(3) {
        let [
            (rule_word, rule),
            (payload_word, payload),
            (rows_word, rows),
        ] = three
        else {
            panic!("an example has a rule, a payload and rows: {three:?}");
        };
        let topic = payload_word.strip_prefix("payload ").unwrap();
        assert_eq!((rule_word.as_str(), rows_word.as_str()), ("rule", "rows"));
        let rows: Vec<&str> = rows.lines().collect();
        let said = World::of(rule).said(topic, payload.as_bytes());
        assert_eq!(said, rows, "{rule}");
        examples += 1;
    }
    assert!(examples >= 6, "{examples} examples");
}
