//! The OpenAPI document as one readable page: no script, nothing from outside.

use std::collections::BTreeMap;
use std::fmt::Write as _;

use utoipa::openapi::OpenApi;

const STYLE: &str = "\
:root{color-scheme:light dark;--line:#8884;--soft:#8882}\
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}\
code,pre,.path{font-family:ui-monospace,monospace}\
section{border:1px solid var(--line);border-radius:8px;margin:1rem 0;padding:.75rem 1rem}\
h3{margin:0;font-size:1rem}.method{display:inline-block;min-width:4.5rem;font-weight:700}\
table{border-collapse:collapse;width:100%;font-size:.9rem;margin:.5rem 0}\
td,th{text-align:left;border-top:1px solid var(--line);padding:.25rem .5rem .25rem 0;vertical-align:top}\
pre{background:var(--soft);padding:.5rem;border-radius:6px;overflow:auto;font-size:.85rem}\
.lock{float:right;font-size:.8rem;opacity:.7}a{color:inherit}";

type Json = serde_json::Value;

/// The page. A document that cannot be read gives a page without calls, never an error.
pub(crate) fn render(api: &OpenApi) -> String {
    let document = serde_json::to_value(api).unwrap_or_default();
    let mut by_tag: BTreeMap<&str, String> = BTreeMap::new();
    for (path, item) in document["paths"].as_object().into_iter().flatten() {
        for (method, call) in item.as_object().into_iter().flatten() {
            let tag = call["tags"][0].as_str().unwrap_or("other");
            call_section(by_tag.entry(tag).or_default(), path, method, call);
        }
    }
    let mut page = format!(
        "<!doctype html><html lang=\"en\"><head><meta charset=\"utf-8\">\
         <meta name=\"viewport\" content=\"width=device-width,initial-scale=1\">\
         <title>{title} API</title><style>{STYLE}</style></head><body>\
         <h1>{title} API</h1><p>{}</p><p>For programs: <a href=\"/api/openapi.json\">openapi.json</a>. \
         Calls marked <em>token</em> want <code>Authorization: Bearer &lt;access token&gt;</code>, \
         those marked <em>API key</em> the key there or in <code>X-API-Key</code>.</p>",
        escaped(document["info"]["description"].as_str().unwrap_or_default()),
        title = escaped(document["info"]["title"].as_str().unwrap_or_default()),
    );
    for (tag, calls) in by_tag {
        let _ = write!(page, "<h2>{}</h2>{calls}", escaped(tag));
    }
    page.push_str("<h2>Errors of many calls</h2><section><table>");
    for (name, answer) in document["components"]["responses"].as_object().into_iter().flatten() {
        row(&mut page, &Json::String(name.clone()), answer["description"].as_str().unwrap_or_default());
    }
    page.push_str("</table></section><h2>Shapes</h2>");
    for (name, schema) in document["components"]["schemas"].as_object().into_iter().flatten() {
        let name = escaped(name);
        let _ = write!(page, "<section id=\"{name}\"><h3>{name}</h3>");
        shape(&mut page, schema);
        page.push_str("</section>");
    }
    page.push_str("</body></html>");
    page
}

fn call_section(page: &mut String, path: &str, method: &str, call: &Json) {
    let _ = write!(page, "<section><h3>");
    if let Some(ways) = call["security"].as_array() {
        let by_key = ways.iter().any(|way| way.get("api_key").is_some());
        let by_token = ways.iter().any(|way| way.get("token").is_some());
        let lock = match (by_token, by_key) {
            (true, true) => "token or API key",
            (_, true) => "API key",
            _ => "token",
        };
        let _ = write!(page, "<span class=\"lock\">{lock}</span>");
    }
    let _ = write!(
        page,
        "<span class=\"method\">{}</span> <span class=\"path\">{}</span></h3><p>{} {}</p>",
        escaped(&method.to_uppercase()),
        escaped(path),
        escaped(call["summary"].as_str().unwrap_or_default()),
        escaped(call["description"].as_str().unwrap_or_default()),
    );
    if let Some(parameters) = call["parameters"].as_array() {
        page.push_str("<table>");
        for parameter in parameters {
            row(page, &parameter["name"], parameter["description"].as_str().unwrap_or_default());
        }
        page.push_str("</table>");
    }
    if let Some(sent) = reference(&call["requestBody"]) {
        let _ = write!(page, "<p>Sends {}</p>", link(&sent));
    }
    page.push_str("<table>");
    // What any call may answer stands on the page once.
    let own = call["responses"].as_object().into_iter().flatten().filter(|(_, answer)| answer.get("$ref").is_none());
    for (status, answer) in own {
        let shape = reference(answer).map(|name| link(&name)).unwrap_or_default();
        let _ = write!(
            page,
            "<tr><th>{}</th><td>{} {}</td></tr>",
            escaped(status),
            escaped(answer["description"].as_str().unwrap_or_default()),
            shape
        );
    }
    page.push_str("</table></section>");
}

fn shape(page: &mut String, schema: &Json) {
    let _ = write!(page, "<p>{}</p><table>", escaped(schema["description"].as_str().unwrap_or_default()));
    for (field, about) in schema["properties"].as_object().into_iter().flatten() {
        let mut text = match &about["type"] {
            Json::String(kind) => kind.clone(),
            Json::Array(kinds) => kinds.iter().filter_map(Json::as_str).collect::<Vec<_>>().join(" or "),
            _ => reference(about).unwrap_or_default(),
        };
        if let Some(description) = about["description"].as_str() {
            let _ = write!(text, " — {description}");
        }
        row(page, &Json::String(field.clone()), &text);
    }
    page.push_str("</table>");
}

fn row(page: &mut String, name: &Json, text: &str) {
    let _ = write!(
        page,
        "<tr><th><code>{}</code></th><td>{}</td></tr>",
        escaped(name.as_str().unwrap_or_default()),
        escaped(text)
    );
}

/// The name of the first shape that `value` refers to, at any depth.
fn reference(value: &Json) -> Option<String> {
    match value {
        Json::Object(fields) => fields
            .get("$ref")
            .and_then(Json::as_str)
            .map(|target| target.rsplit('/').next().unwrap_or_default().to_owned())
            .or_else(|| fields.values().find_map(reference)),
        Json::Array(items) => items.iter().find_map(reference),
        _ => None,
    }
}

fn link(name: &str) -> String {
    let name = escaped(name);
    format!("<a href=\"#{name}\">{name}</a>")
}

fn escaped(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;").replace('"', "&quot;")
}

#[cfg(test)]
mod tests {
    #[test]
    fn every_call_is_on_the_page() {
        let api = crate::routes::openapi();
        let page = super::render(&api);
        for path in api.paths.paths.keys() {
            assert!(page.contains(&super::escaped(path)), "{path}");
        }
        assert!(!page.contains("<script"));
    }
}
