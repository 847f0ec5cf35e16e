//! What the routes need not say one by one: the answers that every call of a kind may give, and an example of each schema.
//!
//! **An answer that is given is documented**: the tests look at each one that they get.

use http::Method;
use serde_json::{Value, json};
use utoipa::openapi::path::{Operation, PathItem};
use utoipa::openapi::schema::{Schema, SchemaType, Type};
use utoipa::openapi::{Components, Content, OpenApi, Paths, Ref, RefOr, Response};

use crate::large;
use crate::wire::words;

/// What a caller must be.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// Anyone.
    Open,
    /// Somebody: by a token, or by a key.
    Known,
}

/// An answer that many calls give.
struct Shared {
    status: &'static str,
    name: &'static str,
    about: &'static str,
}

const MALFORMED: Shared = Shared {
    status: "400",
    name: "Malformed",
    about: "The request cannot be understood: `bad_host`, `invalid_query`, `invalid_json`, `invalid_field` (with `errors`)",
};
const NOT_AUTHENTICATED: Shared = Shared {
    status: "401",
    name: "NotAuthenticated",
    about: "`not_authenticated`, `token_not_valid`, `user_not_found`, `user_inactive`",
};
const NOT_ALLOWED: Shared = Shared {
    status: "403",
    name: "NotAllowed",
    about: "`account_not_active`; `permission_denied`: this call is for others, or takes no API key",
};
const TOO_MANY_CHANGES: Shared = Shared {
    status: "429",
    name: "TooManyChanges",
    about: "`too_many_changes`: the request would have changed the caller's presence (a session that opens, another activity, \
            invisible or not) beyond 10 a second in the long run and 100 at once; nothing was done. Come back after \
            `Retry-After`",
};
const BODY_TIMEOUT: Shared =
    Shared { status: "408", name: "BodyTimeout", about: "`request_timeout`: the body did not arrive in time" };
const BODY_TOO_LARGE: Shared = Shared {
    status: "413",
    name: "BodyTooLarge",
    about: "`body_too_large`: more than 16 KiB about accounts, 1 MiB else",
};
const TOO_MANY_LARGE: Shared = Shared {
    status: "429",
    name: "TooManyLarge",
    about: "`too_many_large_answers`: one user reads a few large answers at once; `too_many_changes`: see TooManyChanges",
};
const URI_TOO_LONG: Shared = Shared { status: "414", name: "UriTooLong", about: "`uri_too_long`" };
const HEADERS_TOO_LARGE: Shared = Shared { status: "431", name: "HeadersTooLarge", about: "`headers_too_large`" };
const UNAVAILABLE: Shared = Shared {
    status: "503",
    name: "Unavailable",
    about: "What was asked was not done, or may not have been kept: `store_unavailable`, `busy`, `overloaded`, `timeout`, \
            `shutting_down`, `too_many_bodies`, `too_many_connections`. Come back after `Retry-After`",
};
const SHARED: [&Shared; 10] = [
    &MALFORMED,
    &NOT_AUTHENTICATED,
    &NOT_ALLOWED,
    &TOO_MANY_CHANGES,
    &BODY_TIMEOUT,
    &BODY_TOO_LARGE,
    &TOO_MANY_LARGE,
    &URI_TOO_LONG,
    &HEADERS_TOO_LARGE,
    &UNAVAILABLE,
];

/// Adds to each call what those of its kind answer; what it says itself stays.
pub(super) fn add_answers(paths: &mut Paths, kind: Kind) {
    for (path, item) in &mut paths.paths {
        for (operation, sends) in operations(item) {
            let mut answers = vec![&MALFORMED, &URI_TOO_LONG, &HEADERS_TOO_LARGE, &UNAVAILABLE];
            if sends {
                answers.extend([&BODY_TIMEOUT, &BODY_TOO_LARGE]);
            }
            let method = if sends { Method::POST } else { Method::GET };
            if large::may_be_large(&method, path.trim_end_matches('/')) {
                answers.push(&TOO_MANY_LARGE);
            } else if kind != Kind::Open {
                answers.push(&TOO_MANY_CHANGES);
            }
            match kind {
                Kind::Open => {}
                Kind::Known => answers.extend([&NOT_AUTHENTICATED, &NOT_ALLOWED]),
            }
            for answer in answers {
                let answers = operation.responses.responses.entry(answer.status.to_owned());
                answers.or_insert_with(|| RefOr::Ref(Ref::from_response_name(answer.name)));
            }
        }
    }
}

/// The calls of a path, and whether they may have a body.
pub(super) fn operations(item: &mut PathItem) -> impl Iterator<Item = (&mut Operation, bool)> {
    let (looks, sends) = ([&mut item.get, &mut item.delete], [&mut item.post, &mut item.put, &mut item.patch]);
    let looks = looks.into_iter().flatten().map(|operation| (operation, false));
    looks.chain(sends.into_iter().flatten().map(|operation| (operation, true)))
}

/// Adds what is the same for all.
pub(super) fn complete(api: &mut OpenApi) {
    let problem = Content::new(Some(Ref::from_schema_name("Problem")));
    let components = api.components.get_or_insert_default();
    for Shared { name, about, .. } in SHARED {
        let mut answer = Response::new(*about);
        answer.content = [("application/problem+json".to_owned(), RefOr::T(problem.clone()))].into();
        components.responses.insert((*name).to_owned(), RefOr::T(answer));
    }
    components.schemas.extend(words::schemas());
    add_examples(components);
    for item in api.paths.paths.values_mut() {
        for (operation, _) in operations(item) {
            for parameter in operation.parameters.iter_mut().flatten() {
                if let RefOr::T(parameter) = parameter
                    && let Some(schema) = &mut parameter.schema
                {
                    never_null(schema);
                }
            }
        }
    }
}

/// A parameter may be left out, but there is no way to write a null.
fn never_null(schema: &mut RefOr<Schema>) {
    match schema {
        RefOr::T(Schema::Object(object)) => {
            if let SchemaType::Array(types) = &mut object.schema_type {
                types.retain(|kind| *kind != Type::Null);
                if let [only] = types.as_slice() {
                    object.schema_type = SchemaType::Type(only.clone());
                }
            }
        }
        RefOr::T(Schema::OneOf(one)) => {
            let null = SchemaType::Type(Type::Null);
            let is_null =
                |item: &RefOr<Schema>| matches!(item, RefOr::T(Schema::Object(object)) if object.schema_type == null);
            one.items.retain(|item| !is_null(item));
            if one.items.len() == 1
                && let Some(only) = one.items.pop()
            {
                *schema = only;
            }
        }
        _ => {}
    }
}

/// Gives each schema an example, made of those of its fields.
fn add_examples(components: &mut Components) {
    let schemas = serde_json::to_value(&components.schemas).unwrap_or_default();
    for (name, schema) in &mut components.schemas {
        let RefOr::T(schema) = schema else { continue };
        let examples = match schema {
            Schema::Object(object) => &mut object.examples,
            Schema::Array(array) => &mut array.examples,
            Schema::OneOf(one) => &mut one.examples,
            Schema::AllOf(all) => &mut all.examples,
            Schema::AnyOf(any) => &mut any.examples,
            _ => continue,
        };
        if examples.is_empty() {
            examples.push(example(&schemas, name, &schemas[name], &mut |_| {}));
        }
    }
}

/// An example of what `field` holds. Fields of which nothing is known are told to `unknown`.
fn example(schemas: &Value, field: &str, schema: &Value, unknown: &mut dyn FnMut(&str)) -> Value {
    let given = schema.get("example").or_else(|| schema["examples"].get(0)).or_else(|| schema["enum"].get(0));
    if let Some(given) = given {
        return given.clone();
    }
    if let Some(target) = schema["$ref"].as_str() {
        let name = target.rsplit('/').next().unwrap_or_default();
        return example(schemas, field, &schemas[name], unknown);
    }
    let options = schema["oneOf"].as_array().or_else(|| schema["anyOf"].as_array());
    if let Some(option) = options.into_iter().flatten().find(|option| option["type"] != "null") {
        return example(schemas, field, option, unknown);
    }
    let mut whole = serde_json::Map::new();
    for part in schema["allOf"].as_array().into_iter().flatten() {
        if let Value::Object(fields) = example(schemas, field, part, unknown) {
            whole.extend(fields);
        }
    }
    let kind = match &schema["type"] {
        Value::Array(kinds) => kinds.iter().filter_map(Value::as_str).find(|kind| *kind != "null").unwrap_or_default(),
        kind => kind.as_str().unwrap_or_default(),
    };
    match (kind, known(field)) {
        ("string", _) if schema["format"] == "date-time" => json!("2026-11-24T01:54:46.813742Z"),
        ("string", Some(Value::Number(number))) => json!(number.to_string()),
        ("string", Some(text @ Value::String(_))) => text,
        ("array", Some(texts @ Value::Array(_))) if schema["items"]["type"] == "string" => texts,
        ("object", Some(map @ Value::Object(_))) if schema["properties"].is_null() => map,
        ("integer" | "number", Some(number @ Value::Number(_))) => number,
        ("boolean", Some(truth @ Value::Bool(_))) => truth,
        ("boolean", _) => json!(true),
        ("integer", _) => json!(1),
        ("number", _) => json!(0.5),
        ("array", _) => json!([example(schemas, field, &schema["items"], unknown)]),
        ("string", _) => {
            unknown(field);
            json!(field)
        }
        _ => {
            for (field, schema) in schema["properties"].as_object().into_iter().flatten() {
                whole.insert(field.clone(), example(schemas, field, schema, unknown));
            }
            Value::Object(whole)
        }
    }
}

/// What is in fields of this name: one small world, in which Ada has the account 5.
fn known(field: &str) -> Option<Value> {
    Some(match field {
        "id" | "user_id" => json!(5),
        "username" => json!("ada"),
        "email" => json!("ada@example.org"),
        "password" | "new_password" => json!("a long pass phrase"),
        "old_password" => json!("an older pass phrase"),
        "first_name" => json!("Ada"),
        "last_name" => json!("Lovelace"),
        "full_name" => json!("Ada Lovelace"),
        "bio" => json!("Writes programs for engines."),
        "avatar" => json!("https://example.org/ada.png"),
        "message_count" | "report_count" | "pending" => json!(0),
        "access" | "refresh" | "token" | "refresh_token" => {
            json!("eyJhbGciOiJIUzI1NiIsInR5cCI6IkpXVCJ9.e30.c2lnbmF0dXJl")
        }
        "message" => json!("Done"),
        "next" => json!("http://localhost:8000/api/users/admin/users/?page=3"),
        "previous" => json!("http://localhost:8000/api/users/admin/users/?page=1"),
        "cursor" | "next_cursor" => json!("1795485286813742-5"),
        "next_before" => json!(41),
        "users" => json!(["5", "7"]),
        "session" => json!("9f86d081884c7d659a2feaa0c55ad015/tab-7"),
        "device" => json!("Mozilla/5.0 (X11; Linux x86_64; rv:150.0) Gecko/20100101 Firefox/150.0"),
        "address" => json!("203.0.113.9"),
        "name" => json!("billing"),
        "prefix" => json!("presently_Xb91k2"),
        "key" => json!("presently_Xb91k2mQ8vRj4nT7wZc5yLh3uKd6sGf9pEa1bNx0oVi"),
        "ticket" => json!("b7Qk2mQ8vRj4nT7wZc5yLh3uKd6sGf9p"),
        "reason" | "detail" | "because" => json!("The phone was heard 12 s ago."),
        "expires_in" => json!(600),
        "invisible" | "barred" | "is_staff" | "current" => json!(false),
        "title" => json!("Unauthorized"),
        "type" | "kind" => json!("about:blank"),
        "error" => json!("The phone was heard 12 s ago."),
        "code" => json!("token_not_valid"),
        "errors" => json!({"email": ["Enter a valid e-mail address."]}),
        "version" => json!(env!("CARGO_PKG_VERSION")),
        "node" => json!("a"),
        "cut_off" => json!("no answer from Valkey for 9 s"),
        "uptime_seconds" => json!(86_400.5),
        "online_seconds" => json!(5_025.5),
        "observed_seconds" => json!(60.0),
        "transitions_per_minute" => json!(14.0),
        "heartbeats_per_second" => json!(33.4),
        "mean_seconds" => json!(0.08),
        "p99_seconds" => json!(0.2),
        "within_a_second" => json!(1.0),
        "resident_bytes" => json!(38_400_000),
        "action" => json!("suspend"),
        _ => return None,
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn no_example_is_a_placeholder() {
        let api = crate::routes::openapi();
        let schemas = serde_json::to_value(&api.components.unwrap_or_default().schemas).unwrap();
        let mut unknown = std::collections::BTreeSet::new();
        for (name, schema) in schemas.as_object().unwrap() {
            let mut schema = schema.clone();
            schema.as_object_mut().unwrap().remove("examples");
            let mut bare = schemas.clone();
            bare.as_object_mut().unwrap().values_mut().for_each(|schema| {
                schema.as_object_mut().unwrap().remove("examples");
            });
            example(&bare, name, &schema, &mut |field| {
                unknown.insert(field.to_owned());
            });
        }
        assert!(unknown.is_empty(), "give these fields an example in `known`: {unknown:?}");
    }
}
