//! The arrows of ARCHITECTURE.md, checked: who may depend on whom, and what stays out of pacs-core.

use scenarios::{root, run};
use serde_json::Value;
use std::{collections::BTreeSet, process::Command};

/// Room → rooms that it may depend on.
const ARROWS: &[(&str, &[&str])] = &[
    ("pacs-core", &[]),
    ("storage", &["pacs-core"]),
    ("dicom-node", &["pacs-core", "storage"]),
    ("dicomweb", &["pacs-core", "storage"]),
    ("ai-inference", &["pacs-core", "storage"]),
    ("integration", &["pacs-core", "storage"]),
    ("viewer-wasm", &["pacs-core"]),
    ("pacs-server", &["pacs-core", "storage", "dicom-node", "dicomweb", "ai-inference", "integration"]),
    ("scenarios", &[]),
    ("benches", &["pacs-core", "storage", "dicom-node", "pacs-server"]),
];

fn metadata() -> Value {
    let mut cargo = Command::new(env!("CARGO"));
    let text = run(cargo.args(["metadata", "--no-deps", "--format-version", "1", "--offline"]).current_dir(root()));
    serde_json::from_str(text.lines().find(|line| line.starts_with('{')).expect("JSON"))
        .expect("cargo metadata is JSON")
}

#[test]
fn rooms_depend_only_along_the_arrows() {
    let metadata = metadata();
    let packages = metadata["packages"].as_array().expect("packages");
    assert_eq!(packages.len(), ARROWS.len(), "a new room is an architecture change");
    for package in packages {
        let name = package["name"].as_str().expect("a name");
        let allowed =
            ARROWS.iter().find(|(room, _)| *room == name).unwrap_or_else(|| panic!("{name} is not in the drawing")).1;
        let dependencies = package["dependencies"].as_array().expect("dependencies").iter();
        let ours = dependencies.filter(|d| d["kind"].is_null() && d["path"].is_string());
        for dependency in ours.map(|d| d["name"].as_str().expect("a name")) {
            assert!(allowed.contains(&dependency), "{name} must not depend on {dependency}");
        }
    }
}

#[test]
fn pacs_core_has_no_runtime_and_no_database() {
    let mut cargo = Command::new(env!("CARGO"));
    let tree = run(cargo
        .args(["tree", "--offline", "-p", "pacs-core", "-e", "normal", "--prefix", "none"])
        .current_dir(root()));
    let crates: BTreeSet<_> = tree.lines().filter_map(|line| line.split(' ').next()).collect();
    for outside in ["tokio", "sqlx", "object_store", "axum", "reqwest", "rand", "time"] {
        assert!(!crates.contains(outside), "pacs-core must stay pure, but has {outside}");
    }
}

#[test]
fn only_storage_contains_sql() {
    for room in ["pacs-core", "dicom-node", "dicomweb", "ai-inference", "integration", "viewer-wasm", "pacs-server"] {
        let manifest = std::fs::read_to_string(root().join(room).join("Cargo.toml")).expect("a manifest");
        assert!(!manifest.contains("sqlx"), "{room} must not reach the database");
    }
}
