//! The document that is checked in is the one that is served.

use std::path::PathBuf;

fn checked_in() -> PathBuf {
    PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("../../openapi/control-plane.json")
}

#[test]
fn the_document_is_checked_in_as_it_is_served() {
    let served = control_plane::rest::openapi();
    assert_eq!(served, control_plane::rest::openapi(), "the document is the same every time");
    if std::env::var_os("FARSHORE_BLESS").is_some() {
        std::fs::write(checked_in(), &served).unwrap();
    }
    let kept = std::fs::read_to_string(checked_in()).unwrap_or_default();
    assert!(kept == served, "openapi/control-plane.json is out of date; run this test with FARSHORE_BLESS=1");
}

#[test]
fn every_operation_says_what_it_does_and_how_it_fails() {
    let document: serde_json::Value = serde_json::from_str(&control_plane::rest::openapi()).unwrap();
    let mut ids = std::collections::BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            assert!(operation["summary"].is_string(), "{method} {path} has no summary");
            assert!(operation["tags"][0].is_string(), "{method} {path} has no tag");
            let problem = &operation["responses"]["default"]["content"]["application/problem+json"]["schema"]["$ref"];
            assert_eq!(problem, "#/components/schemas/Problem", "{method} {path}");
            let id = operation["operationId"].as_str().unwrap().to_owned();
            assert!(ids.insert(id.clone()), "{method} {path}: another operation is called {id}");
        }
    }
    assert!(ids.len() > 40, "{ids:?}");
}

#[test]
fn every_schema_that_is_named_is_there() {
    let text = control_plane::rest::openapi();
    let document: serde_json::Value = serde_json::from_str(&text).unwrap();
    let named = text.split("\"#/components/schemas/").skip(1).filter_map(|rest| rest.split('"').next());
    for name in named {
        assert!(document["components"]["schemas"].get(name).is_some(), "{name}");
    }
}
