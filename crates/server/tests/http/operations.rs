//! `/healthz`, `/readyz`, `/metrics`, `/api/openapi.json`, `/api/docs`, `/admin`

use std::collections::BTreeSet;

use presently_testkit::http::{TestServer, assert_time, claims, text};
use presently_testkit::{PASSWORD, secs};
use serde_json::{Value, json};

use crate::routes::{OPERATIONS, ROUTES};

#[tokio::test]
async fn health_and_readiness_are_200_without_credentials() {
    let server = TestServer::start().await;
    for path in ["/healthz", "/readyz"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}: {}", answer.text);
        assert_eq!(server.get(path).bearer("garbage").await.status, 200, "{path}");
    }
}

#[tokio::test]
async fn metrics_are_in_the_text_format_of_prometheus() {
    let server = TestServer::start().await;
    let alice = server.visitor("alice").await;
    alice.beat().await;
    let answer = server.get("/metrics").await;
    assert_eq!(answer.status, 200);
    assert!(answer.header("content-type").unwrap().starts_with("text/plain"), "{:?}", answer.headers);
    let mut names = BTreeSet::new();
    for line in answer.text.lines().filter(|line| !line.is_empty()) {
        if let Some(comment) = line.strip_prefix('#') {
            let words: Vec<_> = comment.split_whitespace().collect();
            assert!(matches!(words.first(), Some(&("HELP" | "TYPE"))), "{line}");
            continue;
        }
        let (name, value) = line.rsplit_once(' ').unwrap_or_else(|| panic!("a sample: {line}"));
        assert!(value.parse::<f64>().is_ok() || value == "NaN" || value == "+Inf", "{line}");
        names.insert(name.split('{').next().unwrap().to_owned());
    }
    assert!(names.iter().any(|name| name.contains("presently")), "{names:?}");
    for secret in ["alice", PASSWORD, &alice.access] {
        assert!(!answer.text.contains(secret), "no labels of users");
    }
}

#[tokio::test]
async fn the_first_page_leads_on_and_needs_nothing_from_elsewhere() {
    let server = TestServer::start().await;
    let answer = server.get("/").await;
    assert_eq!(answer.status, 200, "{}", answer.text);
    for link in ["/admin", "/api/docs", "/first-steps"] {
        assert!(answer.text.contains(&format!("href=\"{link}\"")), "{link}");
        assert_eq!(server.get(link).await.status, 200, "{link}");
    }
    for path in ["/", "/first-steps/"] {
        let answer = server.get(path).await;
        assert_eq!(answer.header("content-type"), Some("text/html; charset=utf-8"), "{path}");
        let policy = answer.header("content-security-policy").unwrap();
        assert!(policy.starts_with("default-src 'none'") && !policy.contains("unsafe"), "{policy}");
        for outside in ["src=\"http", "href=\"http", "<script", "style=\""] {
            assert!(!answer.text.contains(outside), "{path} has {outside}");
        }
    }
}

#[tokio::test]
async fn any_page_may_load_the_browser_s_half() {
    let server = TestServer::start().await;
    for (path, has) in [("/sdk/presently.js", "export{"), ("/sdk/dot.js", "presence-dot")] {
        let answer = server.get(path).header("origin", "https://elsewhere.example").await;
        assert_eq!(answer.status, 200, "{path}");
        assert_eq!(answer.header("content-type"), Some("text/javascript; charset=utf-8"), "{path}");
        assert_eq!(answer.header("access-control-allow-origin"), Some("*"), "{path}");
        assert_eq!(answer.header("cache-control"), Some("public, max-age=300"), "{path}");
        assert!(answer.text.contains(has), "{path}");
    }
}

#[tokio::test]
async fn the_document_is_openapi_3_1_and_has_every_path_of_the_contract() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.ok();
    let version = document["openapi"].as_str().unwrap();
    assert!(version.starts_with("3.1"), "{version}");
    assert!(document["info"]["title"].is_string() && document["info"]["version"].is_string());
    let documented = operations(&document);
    let mut missing = Vec::new();
    let contract = ROUTES.iter().flat_map(|route| route.methods.iter().map(|method| (*method, route.path)));
    for (method, path) in contract.chain(OPERATIONS.iter().map(|path| ("GET", *path))) {
        if !documented.contains(&(method.to_owned(), shape(path))) {
            missing.push(format!("{method} {path}"));
        }
    }
    assert!(missing.is_empty(), "{missing:?}");
}

#[tokio::test]
async fn every_operation_of_the_document_exists() {
    let server = TestServer::start().await;
    let admin = server.admin().await;
    let document = server.get("/api/openapi.json").await.ok();
    for (path, item) in document["paths"].as_object().unwrap() {
        for method in item.as_object().unwrap().keys() {
            let Ok(method) = method.to_uppercase().parse::<reqwest::Method>() else { continue };
            if !["GET", "POST", "PUT", "PATCH", "DELETE"].contains(&method.as_str()) {
                continue;
            }
            server.advance(secs(2)).await;
            let name = format!("u{}", server.unix());
            let id = if path.contains("/api-keys/{") {
                let token = server.foreign_token(admin.id);
                let made = server.post("/api/users/admin/api-keys/").bearer(&token).json(json!({"name": name})).await;
                made.is(201)["id"].as_i64().unwrap()
            } else {
                server.account(&name).await
            };
            let token = server.foreign_token(admin.id);
            let session = if path.contains("{session}") {
                text(&claims(&server.login(&name).await.access)["sid"])
            } else {
                text(&claims(&token)["jti"])
            };
            let is_own_session = path == "/api/auth/sessions/{id}/";
            let path: String = path
                .split('/')
                .map(|part| match part {
                    "{session}" => session.clone(),
                    "{id}" if is_own_session => session.clone(),
                    part if part.starts_with('{') => id.to_string(),
                    part => part.to_owned(),
                })
                .collect::<Vec<_>>()
                .join("/");
            let call = server.call(method.clone(), &path).bearer(&token);
            let status = call.json(json!({"status": "away"})).status().await;
            assert!(status != 404 && status != 405 && status < 500, "{method} {path}: {status}");
        }
    }
}

#[tokio::test]
async fn the_document_refers_to_nothing_that_is_not_there() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.ok();
    let mut references = Vec::new();
    collect_references(&document, &mut references);
    assert!(!references.is_empty());
    for reference in references {
        let pointer = reference.strip_prefix('#').unwrap_or_else(|| panic!("{reference} leads outside"));
        assert!(document.pointer(pointer).is_some(), "{reference}");
    }
}

#[tokio::test]
async fn every_operation_says_what_it_answers_and_has_a_name_of_its_own() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.ok();
    let mut names = BTreeSet::new();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let Some(responses) = operation["responses"].as_object() else { continue };
            let good = responses.keys().any(|status| status.starts_with('2') || status == "101");
            assert!(good, "{method} {path} succeeds in some way");
            let name = operation["operationId"].as_str().unwrap_or_else(|| panic!("{method} {path} has a name"));
            assert!(names.insert(name.to_owned()), "{name} is taken");
            for (status, response) in responses {
                let response = followed(&document, response);
                assert!(response["description"].is_string(), "{method} {path} {status} is described");
                if status.starts_with('4') || status.starts_with('5') {
                    let types = response["content"]
                        .as_object()
                        .unwrap_or_else(|| panic!("{method} {path} {status} has a body"));
                    assert!(types.contains_key("application/problem+json"), "{method} {path} {status} is a problem");
                }
            }
        }
    }
}

#[tokio::test]
async fn every_call_that_looks_at_a_token_says_how_it_refuses_one() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.ok();
    for (path, item) in document["paths"].as_object().unwrap() {
        for (method, operation) in item.as_object().unwrap() {
            let needs = if operation["security"].is_array() { ["401", "403", "503"].as_slice() } else { &["503"] };
            for status in needs {
                assert!(operation["responses"][*status].is_object(), "{method} {path} {status}");
            }
        }
    }
}

#[tokio::test]
async fn every_schema_has_an_example_that_fits_it() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.ok();
    let schemas = document["components"]["schemas"].as_object().unwrap();
    assert!(schemas.len() > 40, "{}", schemas.len());
    for (name, schema) in schemas {
        if schema["enum"].is_array() {
            continue;
        }
        let example = schema["examples"].get(0).or_else(|| schema.get("example"));
        let example = example.unwrap_or_else(|| panic!("{name} has an example"));
        fits(&document, schema, example, name);
    }
}

#[tokio::test]
async fn what_is_one_of_a_few_words_is_an_enumeration() {
    let server = TestServer::start().await;
    let document = server.get("/api/openapi.json").await.ok();
    let words = ["role", "online_status", "display_status", "activity", "source", "merged", "held"];
    let (mut of_words, schemas) = (0, document["components"]["schemas"].as_object().unwrap());
    for (name, schema) in schemas {
        let everywhere = schema["properties"].as_object().into_iter().flatten();
        for (field, about) in everywhere {
            let is_one = words.contains(&field.as_str()) || (field == "status" && about["type"] != "integer");
            if is_one || (name == "Transition" && ["from", "to", "reason"].contains(&field.as_str())) {
                let about = followed(&document, about);
                assert!(about["enum"].is_array(), "{name}.{field}: {about}");
                of_words += 1;
            }
        }
    }
    assert!(of_words >= 20, "{of_words}");
    let user = &schemas["User"]["properties"];
    let of = |field: &str| followed(&document, &user[field])["enum"].clone();
    assert_eq!(of("online_status"), json!(["online", "away", "offline"]));
    assert_eq!(of("status"), json!(["active", "pending", "suspended", "banned"]));
    let list = document["paths"]["/api/users/admin/users/"]["get"]["parameters"].as_array().unwrap();
    let ordering = list.iter().find(|parameter| parameter["name"] == "ordering").unwrap();
    let words = &followed(&document, &ordering["schema"])["enum"];
    assert!(words.as_array().is_some_and(|words| words.contains(&json!("-last_seen"))), "{ordering}");
}

/// What a reference, or the part of a choice that is not null, leads to.
fn followed<'a>(document: &'a Value, value: &'a Value) -> &'a Value {
    if let Some(reference) = value["$ref"].as_str() {
        return followed(document, document.pointer(&reference[1..]).unwrap_or_else(|| panic!("{reference}")));
    }
    match value["oneOf"].as_array().into_iter().flatten().find(|option| option["type"] != "null") {
        Some(option) => followed(document, option),
        None => value,
    }
}

/// Holds `value` against a schema of the document, as far as ours go.
fn fits(document: &Value, schema: &Value, value: &Value, place: &str) {
    let schema = if value.is_null() { schema } else { followed(document, schema) };
    if let Some(words) = schema["enum"].as_array() {
        assert!(words.contains(value), "{place}: {value} is none of {words:?}");
    }
    for part in schema["allOf"].as_array().into_iter().flatten() {
        fits(document, part, value, place);
    }
    let kinds = match &schema["type"] {
        Value::Array(kinds) => kinds.clone(),
        Value::Null => return,
        kind => vec![kind.clone()],
    };
    let kind = match value {
        Value::Null => "null",
        Value::Bool(_) => "boolean",
        Value::Number(number) if number.is_i64() && kinds.contains(&json!("integer")) => "integer",
        Value::Number(_) => "number",
        Value::String(_) => "string",
        Value::Array(_) => "array",
        Value::Object(_) => "object",
    };
    assert!(kinds.contains(&json!(kind)), "{place}: {value} is none of {kinds:?}");
    if schema["format"] == "date-time" {
        assert_time(value);
    }
    for (place, item) in value.as_array().into_iter().flatten().map(|item| (format!("{place}[]"), item)) {
        fits(document, &schema["items"], item, &place);
    }
    for field in schema["required"].as_array().into_iter().flatten().filter_map(Value::as_str) {
        assert!(value.get(field).is_some(), "{place}.{field} is required");
    }
    for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
        if let Some(value) = value.get(field) {
            fits(document, schema, value, &format!("{place}.{field}"));
        }
    }
}

#[tokio::test]
async fn the_docs_are_readable_and_work_offline() {
    let server = TestServer::start().await;
    for path in ["/api/docs"] {
        let answer = server.get(path).await;
        assert_eq!(answer.status, 200, "{path}");
        assert!(answer.header("content-type").unwrap().starts_with("text/html"), "{path}");
        for outside in ["src=\"http", "src=\"//", "src='http", "@import", "<link rel=\"stylesheet\" href=\"http"] {
            assert!(!answer.text.contains(outside), "{path} loads {outside}");
        }
        assert!(answer.header("content-security-policy").is_some(), "{path}");
    }
    assert!(server.get("/api/docs").await.text.contains("heartbeat"));
}

/// The methods and paths of a document.
fn operations(document: &Value) -> BTreeSet<(String, String)> {
    let paths = document["paths"].as_object().expect("paths");
    let methods = |item: &Value| item.as_object().expect("an item").keys().map(|key| key.to_uppercase()).collect();
    paths
        .iter()
        .flat_map(|(path, item)| {
            let methods: Vec<String> = methods(item);
            methods.into_iter().map(|method| (method, shape(path)))
        })
        .collect()
}

/// A path without its trailing slash and without the names of its parameters.
fn shape(path: &str) -> String {
    let parts = path.trim_end_matches('/').split('/');
    parts.map(|part| if part.starts_with('{') { "{}" } else { part }).collect::<Vec<_>>().join("/")
}

fn collect_references<'a>(value: &'a Value, into: &mut Vec<&'a str>) {
    match value {
        Value::Object(map) => {
            for (key, value) in map {
                match value {
                    Value::String(text) if key == "$ref" => into.push(text),
                    _ => collect_references(value, into),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| collect_references(value, into)),
        _ => {}
    }
}
