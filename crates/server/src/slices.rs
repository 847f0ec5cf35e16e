//! Answers as long as what they list. **A slice is read when the reader has taken the one before**: what such an answer holds of
//! memory does not grow with its length.

use std::io;

use axum::body::Body;
use axum::response::{IntoResponse as _, Response};
use bytes::Bytes;
use futures_util::stream;
use http::HeaderValue;
use http::header::CONTENT_TYPE;
use serde::Serialize;

use crate::problem::Problem;

/// Lines of one slice: some ten thousand bytes, a few milliseconds of the store.
pub(crate) const SLICE: usize = 250;

/// What is listed, slice by slice.
pub(crate) trait Slices: Send + 'static {
    /// One line.
    type Line: Serialize + Send;

    /// The next few lines; none at the end.
    fn next(&mut self) -> impl Future<Output = Result<Vec<Self::Line>, Problem>> + Send;
}

/// `{"<name>":[…],"count":…<more>}`. What fails before anything is sent is an answer of its own; later the connection breaks off, so
/// that nobody takes a part for the whole.
pub(crate) async fn answer<S: Slices>(
    name: &'static str,
    mut slices: S,
    more: &'static str,
) -> Result<Response, Problem> {
    let first = slices.next().await?;
    let begun = format!("{{\"{name}\":[");
    let writing = Writing { slices, lines: Some(first), text: begun, count: 0, more };
    let body = Body::from_stream(stream::unfold(Some(writing), |writing| async {
        let mut writing = writing?;
        match writing.write().await {
            Ok(Some(text)) => Some((Ok(text), Some(writing))),
            Ok(None) => None,
            Err(problem) => {
                tracing::warn!(?problem, "a list breaks off");
                Some((Err(io::Error::other(problem.detail().to_owned())), None))
            }
        }
    }));
    Ok(([(CONTENT_TYPE, HeaderValue::from_static("application/json"))], body).into_response())
}

struct Writing<S: Slices> {
    slices: S,
    /// Those to be written next; `None` after the end.
    lines: Option<Vec<S::Line>>,
    text: String,
    count: u64,
    more: &'static str,
}

impl<S: Slices> Writing<S> {
    /// What is sent next; `None` after the end.
    async fn write(&mut self) -> Result<Option<Bytes>, Problem> {
        use std::fmt::Write as _;
        let Some(lines) = self.lines.take() else { return Ok(None) };
        let lines = if lines.is_empty() && self.count > 0 { self.slices.next().await? } else { lines };
        let mut text = std::mem::take(&mut self.text);
        if lines.is_empty() {
            // Writing to a string does not fail.
            let _ = write!(text, "],\"count\":{}{}}}", self.count, self.more);
            return Ok(Some(text.into()));
        }
        for line in &lines {
            if self.count > 0 {
                text.push(',');
            }
            text.push_str(&serde_json::to_string(line).map_err(Problem::internal)?);
            self.count += 1;
        }
        self.lines = Some(Vec::new());
        Ok(Some(text.into()))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// Numbers up to one, a few at a time.
    struct Numbers(u32, u32);

    impl Slices for Numbers {
        type Line = u32;

        async fn next(&mut self) -> Result<Vec<u32>, Problem> {
            let slice: Vec<_> = (self.0..self.1).take(3).collect();
            self.0 += slice.len() as u32;
            Ok(slice)
        }
    }

    #[tokio::test]
    async fn slices_become_one_answer() {
        for (length, expected) in [
            (0, r#"{"all":[],"count":0}"#),
            (3, r#"{"all":[0,1,2],"count":3}"#),
            (7, r#"{"all":[0,1,2,3,4,5,6],"count":7}"#),
        ] {
            let answer = answer("all", Numbers(0, length), "").await.ok().unwrap();
            let body = http_body_util::BodyExt::collect(answer.into_body()).await.ok().unwrap().to_bytes();
            assert_eq!(body, expected.as_bytes());
        }
    }

    struct Failing(u32);

    impl Slices for Failing {
        type Line = u32;

        async fn next(&mut self) -> Result<Vec<u32>, Problem> {
            self.0 = self.0.checked_sub(1).ok_or_else(|| Problem::internal("no more"))?;
            Ok(vec![self.0])
        }
    }

    #[tokio::test]
    async fn what_fails_first_is_an_answer_and_what_fails_later_breaks_off() {
        assert!(answer("all", Failing(0), "").await.is_err());
        let answer = answer("all", Failing(2), "").await.ok().unwrap();
        assert!(http_body_util::BodyExt::collect(answer.into_body()).await.is_err());
    }
}
