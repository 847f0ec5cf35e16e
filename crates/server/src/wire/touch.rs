//! Evidence that an application reports, on the wire.

use std::fmt;
use std::marker::PhantomData;

use serde::de::value::MapAccessDeserializer;
use serde::de::{Error, IgnoredAny, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};
use utoipa::ToSchema;

use super::words;

/// Users in one call.
pub(crate) const TOUCHED_MAX: usize = 10_000;

/// Who was heard.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Touch {
    /// Up to 10,000.
    #[serde(default, deserialize_with = "touched")]
    #[schema(required, value_type = Vec<Touched>)]
    pub(crate) users: Option<Vec<Touched>>,
}

/// Somebody who was heard.
#[derive(Deserialize, ToSchema)]
pub(crate) struct Touched {
    /// The account's number as text, or any name that the application has for its user: 1 to 128 bytes without control characters.
    #[schema(required, example = "5")]
    pub(crate) user_id: Option<String>,
    /// Which of the user's tabs, devices or connections was heard, as the application calls it: 1 to 64 bytes of printable
    /// characters without `/`. Each lives and ends by itself.
    #[schema(example = "socket-7")]
    pub(crate) session: Option<String>,
    /// `active` (also when absent) or `idle`.
    #[schema(value_type = Option<words::Seen>)]
    pub(crate) activity: Option<String>,
}

/// What became of it.
#[derive(Serialize, ToSchema)]
#[schema(as = TouchAnswer)]
pub(crate) struct TouchBody {
    /// How many were taken.
    pub(crate) accepted: usize,
    /// Which were not, in the order sent.
    pub(crate) rejected: Vec<NotTaken>,
}

/// Evidence that was not taken.
#[derive(Serialize, ToSchema)]
pub(crate) struct NotTaken {
    pub(crate) user_id: String,
    /// `account_not_active`: the account is suspended, banned, pending or deactivated. `overloaded`: there is no room for another user
    /// now; try again.
    #[schema(example = "account_not_active")]
    pub(crate) code: &'static str,
}

fn touched<'de, D: Deserializer<'de>>(from: D) -> Result<Option<Vec<Touched>>, D::Error> {
    let users = Option::<UpTo<TOUCHED_MAX, Object<Touched>>>::deserialize(from)?;
    Ok(users.map(|users| users.0.into_iter().map(|user| user.0).collect()))
}

/// A list that is not read beyond its limit: a body of a megabyte has room for a third of a million empty objects.
struct UpTo<const MAX: usize, T>(Vec<T>);

impl<'de, const MAX: usize, T: Deserialize<'de>> Deserialize<'de> for UpTo<MAX, T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_seq(UpToVisitor(PhantomData))
    }
}

struct UpToVisitor<const MAX: usize, T>(PhantomData<T>);

impl<'de, const MAX: usize, T: Deserialize<'de>> Visitor<'de> for UpToVisitor<MAX, T> {
    type Value = UpTo<MAX, T>;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(to, "a list of at most {MAX}")
    }

    fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Self::Value, A::Error> {
        let mut read = Vec::new();
        while read.len() < MAX {
            match list.next_element()? {
                Some(element) => read.push(element),
                None => return Ok(UpTo(read)),
            }
        }
        match list.next_element::<IgnoredAny>()? {
            Some(_) => Err(A::Error::custom(format_args!("there are more than {MAX}; nothing was taken"))),
            None => Ok(UpTo(read)),
        }
    }
}

/// An object: derived types would also read themselves from an array.
struct Object<T>(T);

impl<'de, T: Deserialize<'de>> Deserialize<'de> for Object<T> {
    fn deserialize<D: Deserializer<'de>>(from: D) -> Result<Self, D::Error> {
        from.deserialize_map(ObjectVisitor(PhantomData)).map(Self)
    }
}

struct ObjectVisitor<T>(PhantomData<T>);

impl<'de, T: Deserialize<'de>> Visitor<'de> for ObjectVisitor<T> {
    type Value = T;

    fn expecting(&self, to: &mut fmt::Formatter<'_>) -> fmt::Result {
        to.write_str("an object")
    }

    fn visit_map<A: MapAccess<'de>>(self, map: A) -> Result<T, A::Error> {
        T::deserialize(MapAccessDeserializer::new(map))
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::extract::parse;

    fn refusal(body: &str) -> String {
        format!("{:?}", parse::<Touch>(body.as_bytes()).map(|touch| touch.users.map(|users| users.len())).unwrap_err())
    }

    #[test]
    fn a_list_is_read_up_to_its_limit() {
        let body = |n: usize| format!("{{\"users\":[{}]}}", vec!["{}"; n].join(","));
        for n in [0, 1, TOUCHED_MAX] {
            assert_eq!(parse::<Touch>(body(n).as_bytes()).unwrap().users.unwrap().len(), n);
        }
        for n in [TOUCHED_MAX + 1, 300_000] {
            let text = refusal(&body(n));
            assert!(
                text.contains("errors: {\"users\": [\"There are more than 10000; nothing was taken.\"]}"),
                "{text}"
            );
        }
    }

    #[test]
    fn a_wrong_type_names_where_it_is() {
        for (body, place) in [
            (r#"{"users": 5}"#, "users"),
            (r#"{"users": {}}"#, "users"),
            (r#"{"users": [{}, "5"]}"#, "users[1]"),
            (r#"{"users": [["5", null, null]]}"#, "users[0]"),
            (r#"{"users": [{}, {}, {"user_id": 5}]}"#, "users[2].user_id"),
            (r#"{"users": [{"session": []}]}"#, "users[0].session"),
            (r#"{"users": [{"activity": true}]}"#, "users[0].activity"),
        ] {
            let place = format!("errors: {{\"{place}\": [");
            assert!(refusal(body).contains(&place), "{body}: {}", refusal(body));
        }
    }
}
