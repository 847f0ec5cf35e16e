//! What handlers take from a request: bodies, paths and queries, each refused in the one shape.

use std::str::FromStr;

use axum::body::Body;
use axum::extract::{FromRequest, FromRequestParts, RawPathParams};
use http::Request;
use http::request::Parts;
use presently::UserId;
use presently_accounts::AccountId;
use serde::de::DeserializeOwned;

use crate::app::App;
use crate::bodies;
use crate::problem::Problem;
use crate::wire::USER_BYTES_MAX;

/// A JSON object. No body at all, or an empty one, is `{}`.
#[derive(Debug)]
pub(crate) struct Json<T>(pub(crate) T);

impl<T: DeserializeOwned> FromRequest<App> for Json<T> {
    type Rejection = Problem;

    async fn from_request(request: Request<Body>, app: &App) -> Result<Self, Problem> {
        let bytes_max = bodies::bytes_max(request.uri().path());
        let bytes = bodies::read(app.bodies(), request.into_body(), bytes_max).await?;
        parse(&bytes).map(Self)
    }
}

/// A JSON object as `T`; nothing, or blanks alone, is `{}`.
pub(crate) fn parse<T: DeserializeOwned>(bytes: &[u8]) -> Result<T, Problem> {
    let text = bytes.trim_ascii();
    let text = if text.is_empty() { b"{}" } else { text };
    if text.first() != Some(&b'{') {
        // Derived types would also read themselves from an array.
        return Err(match serde_json::from_slice::<serde::de::IgnoredAny>(text) {
            Ok(_) => Problem::bad_request("invalid_json", "The body must be a JSON object."),
            Err(error) => invalid_json(&error),
        });
    }
    let mut json = serde_json::Deserializer::from_slice(text);
    let value = serde_path_to_error::deserialize(&mut json).map_err(|error| {
        let field = error.path().to_string();
        let inner = error.into_inner();
        if inner.is_data() && field != "." { Problem::field(&field, sentence(&inner)) } else { invalid_json(&inner) }
    })?;
    json.end().map_err(|error| invalid_json(&error))?;
    Ok(value)
}

fn invalid_json(error: &serde_json::Error) -> Problem {
    Problem::bad_request("invalid_json", format!("The body is not valid JSON: {error}."))
}

/// What serde says of a value, without its position.
fn sentence(error: &serde_json::Error) -> String {
    let text = error.to_string();
    let text = text.rsplit_once(" at line ").map_or(text.as_str(), |(text, _)| text);
    format!("{}.", capitalised(text))
}

fn capitalised(text: &str) -> String {
    let mut letters = text.chars();
    letters.next().map_or_else(String::new, |first| first.to_uppercase().chain(letters).collect())
}

/// Body of a call that takes none: any JSON object will do.
#[derive(serde::Deserialize, Debug)]
pub(crate) struct Nothing {}

/// The account in the path, as a number.
#[derive(Debug, Clone, Copy)]
pub(crate) struct AccountPath(pub(crate) AccountId);

impl<S: Send + Sync> FromRequestParts<S> for AccountPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::user_not_found())?;
        params
            .iter()
            .find(|(name, _)| *name == "id")
            .and_then(|(_, value)| number(value))
            .map(|id| Self(AccountId(id)))
            .ok_or_else(Problem::user_not_found)
    }
}

/// The session in the path.
#[derive(Debug, Clone)]
pub(crate) struct SessionPath(pub(crate) String);

impl<S: Send + Sync> FromRequestParts<S> for SessionPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| Problem::session_not_found())?;
        let named = |wanted: &str| params.iter().find(|(name, _)| *name == wanted).map(|(_, value)| value.to_owned());
        named("session").or_else(|| named("id")).map(Self).ok_or_else(Problem::session_not_found)
    }
}

/// The user in the path, as a name.
#[derive(Debug, Clone)]
pub(crate) struct UserPath(pub(crate) UserId);

impl<S: Send + Sync> FromRequestParts<S> for UserPath {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, state: &S) -> Result<Self, Problem> {
        let bad = || Problem::field("user_id", "Must be 1 to 128 bytes of UTF-8.");
        let params = RawPathParams::from_request_parts(parts, state).await.map_err(|_| bad())?;
        let value = params.iter().find(|(name, _)| *name == "user_id").map(|(_, value)| value);
        let fits = |value: &&str| (1..=USER_BYTES_MAX).contains(&value.len());
        value.filter(fits).map(|value| Self(UserId::from(value))).ok_or_else(bad)
    }
}

/// Digits alone: `+5` and ` 5` name nobody.
fn number(text: &str) -> Option<i64> {
    text.bytes().all(|byte| byte.is_ascii_digit()).then(|| text.parse().ok()).flatten()
}

/// The query string, by name; of a name given twice the last one counts.
#[derive(Debug, Default)]
pub(crate) struct Params(Vec<(String, String)>);

impl<S: Sync> FromRequestParts<S> for Params {
    type Rejection = Problem;

    async fn from_request_parts(parts: &mut Parts, _: &S) -> Result<Self, Problem> {
        Self::of(&parts.uri)
    }
}

impl Params {
    /// The query string of an address.
    pub(crate) fn of(uri: &http::Uri) -> Result<Self, Problem> {
        axum::extract::Query::<Vec<(String, String)>>::try_from_uri(uri)
            .map(|query| Self(query.0))
            .map_err(|_| Problem::bad_request("invalid_query", "The query string cannot be read."))
    }

    /// The value of `name`; an empty one counts as absent.
    pub(crate) fn text(&self, name: &str) -> Option<&str> {
        self.0
            .iter()
            .rev()
            .find(|(key, _)| key == name)
            .map(|(_, value)| value.as_str())
            .filter(|text| !text.is_empty())
    }

    /// The value of `name` as one of the words that `parse` knows.
    pub(crate) fn word<T>(
        &self,
        name: &str,
        parse: impl Fn(&str) -> Option<T>,
        words: &str,
    ) -> Result<Option<T>, Problem> {
        self.text(name)
            .map(|text| {
                parse(text)
                    .ok_or_else(|| Problem::field(name, format!("Must be one of {words}.")).with_code("invalid_filter"))
            })
            .transpose()
    }

    /// The value of `name` as a number from `least` to `most`.
    pub(crate) fn within<N: FromStr + PartialOrd + std::fmt::Display>(
        &self,
        name: &str,
        least: N,
        most: N,
    ) -> Result<Option<N>, Problem> {
        self.text(name)
            .map(|text| match text.parse::<N>() {
                Ok(number) if number >= least && number <= most => Ok(number),
                _ => Err(Problem::field(name, format!("Must be a number from {least} to {most}."))),
            })
            .transpose()
    }
}

#[cfg(test)]
mod tests {
    use http::StatusCode;

    use super::*;

    #[derive(serde::Deserialize, Debug)]
    struct Sample {
        #[serde(default)]
        name: Option<String>,
    }

    fn refusal(body: &[u8]) -> Problem {
        parse::<Sample>(body).unwrap_err()
    }

    #[test]
    fn nothing_is_an_empty_object() {
        for body in [&b""[..], b"{}", b"  \n", b" { } "] {
            assert!(parse::<Sample>(body).unwrap().name.is_none());
        }
    }

    #[test]
    fn what_is_no_object_is_refused() {
        for body in [&b"[]"[..], b"null", b"5", b"\"x\"", b"{", b"{}x", b"\xff", b"{\"name\":\"\\ud800\"}"] {
            assert_eq!(refusal(body).status(), StatusCode::BAD_REQUEST, "{body:?}");
        }
    }

    #[test]
    fn a_wrong_type_names_its_field() {
        let text = format!("{:?}", refusal(b"{\"name\": 5}"));
        assert!(text.contains("\"Invalid type: integer `5`, expected a string.\""), "{text}");
        assert!(text.contains("\"name\""), "{text}");
    }

    #[test]
    fn ids_are_digits() {
        assert_eq!(number("5"), Some(5));
        for text in ["", "+5", "-5", " 5", "5x", "99999999999999999999"] {
            assert_eq!(number(text), None, "{text}");
        }
    }
}
