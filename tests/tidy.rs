//! The house rules that a machine can hold: arrows between crates, file lengths, banned names.

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};

/// Which crate may know which: the picture of `docs/architecture.md` as data.
const ARROWS: &[(&str, &[&str])] = &[
    ("fieldwright-condition", &[]),
    ("fieldwright-ingest", &[]),
    (
        "fieldwright-analytics",
        &["fieldwright-condition", "fieldwright-ingest"],
    ),
    ("fieldwright-workorders", &[]),
    ("fieldwright-simulators", &[]),
    (
        "fieldwright",
        &[
            "fieldwright-analytics",
            "fieldwright-condition",
            "fieldwright-ingest",
            "fieldwright-simulators",
            "fieldwright-workorders",
        ],
    ),
];

/// Foreign crates that a crate of ours must never name.
const FORBIDDEN: &[(&str, &[&str])] = &[
    (
        "workorders",
        &[
            "rumqttc",
            "mqtt-protocol-core",
            "datafusion",
            "linfa",
            "arrow",
            "parquet",
        ],
    ),
    (
        "analytics/condition",
        &["datafusion", "arrow", "parquet", "sqlx", "axum", "tokio"],
    ),
    ("ingest", &["datafusion", "linfa", "sqlx", "axum"]),
    ("analytics", &["rumqttc", "mqtt-protocol-core", "axum"]),
    (
        "simulators",
        &["datafusion", "linfa", "arrow", "parquet", "sqlx", "axum"],
    ),
];

/// Lines of a source file, tests apart. Past this a second room hides inside.
const MAX_LINES: usize = 500;

/// What may lie at the top; anything else needs a decision record first.
const TOP_LEVEL: &[&str] = &[
    ".cargo",
    ".ci",
    ".git",
    ".gitignore",
    "Cargo.lock",
    "Cargo.toml",
    "LICENSE",
    "README.md",
    "analytics",
    "clippy.toml",
    "docs",
    "ingest",
    "rustfmt.toml",
    "simulators",
    "src",
    "tests",
    "workorders",
];

/// Drawers without a noun.
const BANNED_NAMES: &[&str] = &[
    "utils", "util", "helpers", "helper", "common", "misc", "manager", "mod",
];

/// One word per thing: these are not ours.
const BANNED_WORDS: &[(&str, &str)] = &[
    ("AlertStore", "alarm"),
    ("struct Alert", "alarm"),
    ("enum Alert", "alarm"),
    ("struct Device ", "asset"),
    ("struct Ticket", "work order"),
    ("struct Job ", "work order"),
];

fn root() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR"))
}

fn source_files() -> Vec<PathBuf> {
    let mut files = Vec::new();
    for folder in [
        "src",
        "tests",
        "ingest",
        "analytics",
        "workorders",
        "simulators",
    ] {
        collect(&root().join(folder), &mut files);
    }
    assert!(
        files.len() > 50,
        "found only {} source files: wrong folder?",
        files.len()
    );
    files
}

fn collect(folder: &Path, files: &mut Vec<PathBuf>) {
    for entry in std::fs::read_dir(folder).unwrap() {
        let path = entry.unwrap().path();
        if path.is_dir() {
            collect(&path, files);
        } else if path.extension().is_some_and(|extension| extension == "rs") {
            files.push(path);
        }
    }
}

fn shown(path: &Path) -> String {
    path.strip_prefix(root())
        .unwrap_or(path)
        .display()
        .to_string()
}

fn is_test(path: &Path) -> bool {
    let name = shown(path);
    name.starts_with("tests/")
        || name.contains("tests.rs")
        || name.contains("/tests/")
        || name.contains("conformance")
}

#[test]
fn the_arrows_between_our_crates_are_those_of_the_picture() {
    let output = std::process::Command::new(env!("CARGO"))
        .args([
            "metadata",
            "--no-deps",
            "--format-version",
            "1",
            "--offline",
        ])
        .current_dir(root())
        .output()
        .unwrap();
    let metadata: serde_json::Value = serde_json::from_slice(&output.stdout).unwrap();
    let mut drawn = BTreeMap::new();
    for package in metadata["packages"].as_array().unwrap() {
        let mut known: Vec<String> = package["dependencies"]
            .as_array()
            .unwrap()
            .iter()
            .filter_map(|dependency| dependency["name"].as_str())
            .filter(|name| name.starts_with("fieldwright"))
            .map(str::to_owned)
            .collect();
        known.sort();
        known.dedup();
        drawn.insert(package["name"].as_str().unwrap().to_owned(), known);
    }
    let expected: BTreeMap<String, Vec<String>> = ARROWS
        .iter()
        .map(|(name, known)| {
            let known = known.iter().map(|name| (*name).to_owned()).collect();
            ((*name).to_owned(), known)
        })
        .collect();
    assert_eq!(
        drawn, expected,
        "a new arrow needs a decision record and a line here"
    );
}

#[test]
fn no_crate_names_a_foreign_crate_that_its_room_forbids() {
    for (crate_name, forbidden) in FORBIDDEN {
        let manifest: toml::Table =
            std::fs::read_to_string(root().join(crate_name).join("Cargo.toml"))
                .unwrap()
                .parse()
                .unwrap();
        for name in *forbidden {
            let found = manifest["dependencies"]
                .as_table()
                .unwrap()
                .contains_key(*name);
            assert!(!found, "{crate_name} must not know {name}");
        }
    }
}

#[test]
fn a_file_says_one_thing() {
    let mut long = Vec::new();
    for path in source_files().iter().filter(|path| !is_test(path)) {
        let text = std::fs::read_to_string(path).unwrap();
        let body = text
            .split("\n#[cfg(test)]\nmod tests {")
            .next()
            .unwrap_or(&text);
        let lines = body.lines().count();
        if lines > MAX_LINES {
            long.push(format!("{}: {lines} lines", shown(path)));
        }
    }
    assert!(
        long.is_empty(),
        "over {MAX_LINES} lines:\n{}",
        long.join("\n")
    );
}

#[test]
fn names_are_nouns_of_the_field() {
    for path in source_files() {
        let stem = path.file_stem().unwrap().to_string_lossy().into_owned();
        assert!(
            !BANNED_NAMES.contains(&stem.as_str()),
            "{}: a drawer without a noun; name what is in it",
            shown(&path)
        );
        if shown(&path) == "tests/tidy.rs" {
            continue;
        }
        let text = std::fs::read_to_string(&path).unwrap();
        for (word, ours) in BANNED_WORDS {
            assert!(
                !text.contains(word),
                "{}: `{word}`; our word is {ours}",
                shown(&path)
            );
        }
    }
}

#[test]
fn money_never_meets_a_float() {
    for folder in [
        "money",
        "invoicing",
        "payments",
        "ledger",
        "triage",
        "tuning",
        "cases",
    ] {
        let mut files = vec![root().join("workorders/src").join(format!("{folder}.rs"))];
        let inner = root().join("workorders/src").join(folder);
        if inner.is_dir() {
            collect(&inner, &mut files);
        }
        for path in files {
            let text = std::fs::read_to_string(&path).unwrap();
            for (number, line) in text.lines().enumerate() {
                let code = line.split("//").next().unwrap_or_default();
                let has_float = code
                    .split(|c: char| !c.is_alphanumeric() && c != '_')
                    .any(|word| word == "f64" || word == "f32");
                assert!(
                    !has_float,
                    "{}:{}: a float near money",
                    shown(&path),
                    number + 1
                );
            }
        }
    }
}

#[test]
fn the_top_level_is_the_houses() {
    let output = std::process::Command::new("git")
        .args(["ls-tree", "--name-only", "HEAD"])
        .current_dir(root())
        .output();
    // A source archive has no git; the rule is then checked where the change is made.
    let Ok(output) = output else { return };
    for name in String::from_utf8_lossy(&output.stdout).lines() {
        assert!(
            TOP_LEVEL.contains(&name),
            "`{name}` at the top needs a decision record"
        );
    }
}

#[test]
fn documents_that_the_readme_leads_to_exist() {
    for path in [
        "README.md",
        "docs/architecture.md",
        "docs/glossary.md",
        "docs/limits.md",
        "docs/performance.md",
        "docs/development.md",
        "docs/decisions/dependencies.md",
    ] {
        assert!(root().join(path).is_file(), "{path} is missing");
    }
}

#[test]
fn links_between_documents_lead_somewhere() {
    let mut documents = vec![root().join("README.md")];
    for folder in ["docs", "docs/decisions", "docs/recipes"] {
        let Ok(entries) = std::fs::read_dir(root().join(folder)) else {
            continue;
        };
        documents.extend(
            entries
                .map(|entry| entry.unwrap().path())
                .filter(|path| path.extension().is_some_and(|extension| extension == "md")),
        );
    }
    for document in documents {
        let text = std::fs::read_to_string(&document).unwrap();
        for link in text
            .split("](")
            .skip(1)
            .filter_map(|rest| rest.split(')').next())
        {
            let target = link.split('#').next().unwrap_or_default();
            if target.is_empty() || target.contains("://") {
                continue;
            }
            let path = document.parent().unwrap().join(target);
            assert!(
                path.exists(),
                "{}: the link to {target} leads nowhere",
                shown(&document)
            );
        }
    }
}
