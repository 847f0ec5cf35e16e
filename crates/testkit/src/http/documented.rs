//! Every answer that a test gets is one that the OpenAPI document has.

use std::sync::OnceLock;

use serde_json::{Map, Value};

/// Answers to a method that a path does not take: who calls is looked at first.
const TO_ANOTHER_METHOD: [u16; 8] = [400, 401, 403, 405, 413, 414, 431, 503];

/// The document; all servers of a process have the same.
static DOCUMENT: OnceLock<Value> = OnceLock::new();

/// Learns what is documented.
pub(super) fn learn(document: &[u8]) {
    DOCUMENT.get_or_init(|| serde_json::from_slice(document).expect("the document is JSON"));
}

/// Ends the test when `what` (a method and an address) was answered by a status that is not documented.
#[track_caller]
pub(super) fn check(what: &str, status: u16, show: &str) {
    let (method, address) = what.split_once(' ').expect("a method and an address");
    let path = address.split('?').next().unwrap_or_default();
    let paths = DOCUMENT.get().and_then(|document| document["paths"].as_object()).expect("learnt at the start");
    let Some((template, item)) = find(paths, path) else { return };
    let method = if method == "HEAD" { "get".to_owned() } else { method.to_lowercase() };
    match item[&method]["responses"].as_object() {
        Some(answers) => {
            let documented: Vec<_> = answers.keys().collect();
            assert!(
                answers.contains_key(&status.to_string()),
                "{method} {template} documents {documented:?}, not {status}: {show}"
            );
        }
        None if method == "options" => {}
        None => assert!(TO_ANOTHER_METHOD.contains(&status), "{template} does not document {method}: {show}"),
    }
}

/// The path of the document that serves this one: of several, the one with the most literal parts.
fn find<'a>(paths: &'a Map<String, Value>, path: &str) -> Option<(&'a String, &'a Value)> {
    let parts: Vec<_> = path.trim_end_matches('/').split('/').collect();
    let literals = |template: &str| {
        let wanted: Vec<_> = template.trim_end_matches('/').split('/').collect();
        let fits = |(wanted, part): (&&str, &&str)| wanted == part || (wanted.starts_with('{') && !part.is_empty());
        let serves = wanted.len() == parts.len() && wanted.iter().zip(&parts).all(fits);
        serves.then(|| wanted.iter().filter(|part| !part.starts_with('{')).count())
    };
    paths
        .iter()
        .filter_map(|pair| Some((literals(pair.0)?, pair)))
        .max_by_key(|(count, _)| *count)
        .map(|(_, pair)| pair)
}
