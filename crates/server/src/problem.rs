//! The one shape of errors (RFC 9457), and the sentences behind the codes.
//!
//! **Every answer of 400 and above has this shape**, whoever made it: a handler, the router, or a panic.

use std::borrow::Cow;
use std::collections::BTreeMap;
use std::time::Duration;

use axum::body::Body;
use axum::response::{IntoResponse, Response};
use http::header::{CONTENT_LENGTH, CONTENT_TYPE, RETRY_AFTER, WWW_AUTHENTICATE};
use http::{HeaderValue, StatusCode};
use presently_accounts::{AuthError, LoginError, PasswordError, ServiceError, StoreError as AccountStoreError};
use serde::Serialize;
use serde_json::{Map, Value};

/// An answer that says no, and why.
#[derive(Debug, Clone)]
pub struct Problem(Box<Parts>);

#[derive(Debug, Clone)]
struct Parts {
    status: StatusCode,
    code: &'static str,
    detail: Cow<'static, str>,
    errors: BTreeMap<String, Vec<String>>,
    extra: Map<String, Value>,
    retry_after: Option<Duration>,
    cause: Option<String>,
}

/// The wire shape of a [`Problem`], for the OpenAPI document.
#[derive(Serialize, utoipa::ToSchema)]
#[schema(as = Problem)]
pub(crate) struct ProblemBody<'a> {
    /// Always `about:blank`: `code` tells more.
    #[serde(rename = "type")]
    kind: &'static str,
    /// The status in words.
    title: &'a str,
    /// The HTTP status.
    status: u16,
    /// A sentence for a person.
    detail: &'a str,
    /// A stable word for a program.
    code: &'a str,
    /// The same text as `detail`.
    error: &'a str,
    /// Sentences by field.
    #[serde(skip_serializing_if = "BTreeMap::is_empty")]
    errors: &'a BTreeMap<String, Vec<String>>,
    #[serde(flatten)]
    #[schema(ignore)]
    extra: &'a Map<String, Value>,
}

/// What went wrong inside, for the log line of the request; never sent.
#[derive(Clone, Debug)]
pub(crate) struct Cause(pub(crate) String);

impl Problem {
    /// The code of a password that was changed between two looks at it.
    pub(crate) const PASSWORD_CHANGED: &'static str = "password_changed";

    /// A problem of this status, code and sentence.
    pub fn new(status: StatusCode, code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self(Box::new(Parts {
            status,
            code,
            detail: detail.into(),
            errors: BTreeMap::new(),
            extra: Map::new(),
            retry_after: None,
            cause: None,
        }))
    }

    pub(crate) fn bad_request(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        Self::new(StatusCode::BAD_REQUEST, code, detail)
    }

    /// A 400 about one field.
    pub(crate) fn field(field: &str, sentence: impl Into<String>) -> Self {
        let sentence = sentence.into();
        Self::fields([(field.to_owned(), vec![sentence])].into())
    }

    /// A 400 about these fields. Front ends show its sentence to people: of one field it is the field's own.
    fn fields(errors: BTreeMap<String, Vec<String>>) -> Self {
        let named = |(field, sentences): (&String, &Vec<String>)| format!("{field}: {}", sentences.join(" "));
        let detail = match errors.values().next() {
            Some(sentences) if errors.len() == 1 => sentences.join(" "),
            _ => errors.iter().map(named).collect::<Vec<_>>().join(" "),
        };
        let mut problem = Self::bad_request("invalid_field", detail);
        problem.0.errors = errors;
        problem
    }

    /// Refuses fields that are missing or empty, all of them at once.
    pub(crate) fn if_blank<'a>(fields: impl IntoIterator<Item = (&'a str, &'a str)>) -> Result<(), Self> {
        let required = || vec!["This field is required.".to_owned()];
        let blank = fields.into_iter().filter(|(_, value)| value.is_empty());
        let errors: BTreeMap<_, _> = blank.map(|(field, _)| (field.to_owned(), required())).collect();
        if errors.is_empty() { Ok(()) } else { Err(Self::fields(errors)) }
    }

    pub(crate) fn with_code(mut self, code: &'static str) -> Self {
        self.0.code = code;
        self
    }

    pub(crate) fn with_detail(mut self, detail: impl Into<Cow<'static, str>>) -> Self {
        self.0.detail = detail.into();
        self
    }

    pub(crate) fn with(mut self, key: &str, value: impl Into<Value>) -> Self {
        self.0.extra.insert(key.to_owned(), value.into());
        self
    }

    pub(crate) fn with_error(mut self, field: &str, sentence: &str) -> Self {
        self.0.errors.entry(field.to_owned()).or_default().push(sentence.to_owned());
        self
    }

    pub(crate) fn not_authenticated() -> Self {
        Self::new(
            StatusCode::UNAUTHORIZED,
            "not_authenticated",
            "Authentication credentials were not provided. Send Authorization: Bearer <token>.",
        )
    }

    pub(crate) fn token_not_valid() -> Self {
        Self::new(StatusCode::UNAUTHORIZED, "token_not_valid", "The token is invalid, expired or revoked.")
    }

    pub(crate) fn account_not_active() -> Self {
        Self::new(StatusCode::FORBIDDEN, "account_not_active", "This account is not active.")
            .with("online_status", "offline")
    }

    pub(crate) fn permission_denied() -> Self {
        Self::new(StatusCode::FORBIDDEN, "permission_denied", "You do not have permission to do this.")
    }

    pub(crate) fn user_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "user_not_found", "There is no such user.")
    }

    pub(crate) fn last_admin() -> Self {
        Self::new(
            StatusCode::CONFLICT,
            "last_admin",
            "This is the last active administrator; make somebody else one first. Nothing was changed.",
        )
    }

    pub(crate) fn session_not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "session_not_found", "There is no such session, or it has ended.")
    }

    pub(crate) fn not_found() -> Self {
        Self::new(StatusCode::NOT_FOUND, "not_found", "There is nothing at this address.")
    }

    /// A 503: what was asked was not done (or not kept); `cause` goes to the log.
    pub(crate) fn unavailable(code: &'static str, detail: impl Into<Cow<'static, str>>, cause: impl ToString) -> Self {
        let mut problem = Self::new(StatusCode::SERVICE_UNAVAILABLE, code, detail);
        problem.0.retry_after = Some(Duration::from_secs(2));
        problem.0.cause = Some(cause.to_string());
        problem
    }

    pub(crate) fn internal(cause: impl ToString) -> Self {
        let mut problem =
            Self::new(StatusCode::INTERNAL_SERVER_ERROR, "internal_error", "Something went wrong here; it was logged.");
        problem.0.cause = Some(cause.to_string());
        problem
    }

    /// The problem for an answer that somebody else made with a status alone.
    pub(crate) fn of_status(status: StatusCode) -> Self {
        let (code, detail) = match status {
            StatusCode::NOT_FOUND => return Self::not_found(),
            StatusCode::METHOD_NOT_ALLOWED => {
                ("method_not_allowed", "This address does not take this method; Allow lists those it takes.")
            }
            StatusCode::PAYLOAD_TOO_LARGE => ("body_too_large", "The body is too large."),
            StatusCode::REQUEST_TIMEOUT => ("request_timeout", "The request did not arrive in time."),
            StatusCode::UNAUTHORIZED => return Self::not_authenticated(),
            StatusCode::FORBIDDEN => return Self::permission_denied(),
            status if status.is_server_error() => return Self::internal("an answer without a cause"),
            _ => ("bad_request", "The request cannot be understood."),
        };
        Self::new(status, code, detail)
    }

    /// A 429: come back a little later.
    pub(crate) fn too_many(code: &'static str, detail: impl Into<Cow<'static, str>>) -> Self {
        let mut problem = Self::new(StatusCode::TOO_MANY_REQUESTS, code, detail);
        problem.0.retry_after = Some(Duration::from_secs(2));
        problem
    }

    /// The stable word.
    pub(crate) fn code(&self) -> &'static str {
        self.0.code
    }

    /// The sentence.
    pub(crate) fn detail(&self) -> &str {
        &self.0.detail
    }

    /// Whether the caller is told to come again with other credentials.
    pub(crate) fn status(&self) -> StatusCode {
        self.0.status
    }
}

impl Problem {
    /// The bytes on the wire.
    pub(crate) fn body(&self) -> Vec<u8> {
        let body = ProblemBody {
            kind: "about:blank",
            title: self.0.status.canonical_reason().unwrap_or("Error"),
            status: self.0.status.as_u16(),
            detail: &self.0.detail,
            code: self.0.code,
            error: &self.0.detail,
            errors: &self.0.errors,
            extra: &self.0.extra,
        };
        serde_json::to_vec(&body).unwrap_or_default()
    }
}

impl IntoResponse for Problem {
    fn into_response(self) -> Response {
        let mut response = Response::new(Body::from(self.body()));
        *response.status_mut() = self.0.status;
        let headers = response.headers_mut();
        headers.insert(CONTENT_TYPE, HeaderValue::from_static("application/problem+json"));
        if self.0.status == StatusCode::UNAUTHORIZED {
            headers.insert(WWW_AUTHENTICATE, HeaderValue::from_static("Bearer"));
        }
        if let Some(wait) = self.0.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        if let Some(cause) = self.0.cause {
            response.extensions_mut().insert(Cause(cause));
        }
        response
    }
}

/// Gives `response` the one shape if it is an error of another.
pub(crate) fn in_one_shape(response: Response) -> Response {
    let status = response.status();
    if !status.is_client_error() && !status.is_server_error() {
        return response;
    }
    let shaped = response
        .headers()
        .get(CONTENT_TYPE)
        .is_some_and(|kind| kind.as_bytes().starts_with(b"application/problem+json"));
    if shaped {
        return response;
    }
    // What others put there stays: Allow, and what a page of another origin needs to read the answer.
    let (mut parts, _) = response.into_parts();
    let (shape, body) = Problem::of_status(status).into_response().into_parts();
    parts.headers.remove(CONTENT_LENGTH);
    parts.headers.extend(shape.headers);
    parts.extensions.extend(shape.extensions);
    Response::from_parts(parts, body)
}

impl From<AccountStoreError> for Problem {
    fn from(error: AccountStoreError) -> Self {
        match error {
            AccountStoreError::NotFound => Self::user_not_found(),
            AccountStoreError::NotPending(status) => Self::new(
                StatusCode::CONFLICT,
                "not_pending",
                format!(
                    "This account is {}, not pending: activate it instead, if it should be active.",
                    status.as_str()
                ),
            ),
            AccountStoreError::LastAdmin => Self::last_admin(),
            AccountStoreError::UsernameTaken => Self::field("username", "A user with that username already exists."),
            AccountStoreError::EmailTaken => Self::field("email", "A user with that email address already exists."),
            AccountStoreError::PasswordChanged => Self::new(
                StatusCode::CONFLICT,
                Self::PASSWORD_CHANGED,
                "The password was changed at this moment; nothing was changed by this call. Try again.",
            ),
            AccountStoreError::Unavailable(cause) => Self::unavailable(
                "store_unavailable",
                "The store cannot be reached or written; nothing was changed. Try again.",
                cause,
            ),
        }
    }
}

impl From<AuthError> for Problem {
    fn from(error: AuthError) -> Self {
        match error {
            AuthError::TokenNotValid => Self::token_not_valid(),
            AuthError::UserNotFound => {
                Self::new(StatusCode::UNAUTHORIZED, "user_not_found", "The user of this token does not exist any more.")
            }
            AuthError::UserInactive => {
                Self::new(StatusCode::UNAUTHORIZED, "user_inactive", "The user of this token is deactivated.")
                    .with("online_status", "offline")
            }
            AuthError::Store(error) => error.into(),
        }
    }
}

impl From<LoginError> for Problem {
    fn from(error: LoginError) -> Self {
        match error {
            LoginError::InvalidCredentials => {
                Self::new(StatusCode::UNAUTHORIZED, "invalid_credentials", "Invalid username or password.")
            }
            LoginError::NotActive(status) => {
                use presently_accounts::AccountStatus as S;
                let (code, detail) = match status {
                    S::Suspended => ("account_suspended", "This account is suspended."),
                    S::Banned => ("account_banned", "This account is banned."),
                    S::Pending => ("account_pending", "This account waits for approval."),
                    S::Active => ("account_not_active", "This account is not active."),
                };
                Self::new(StatusCode::FORBIDDEN, code, detail)
            }
            LoginError::Throttled { retry_after } => {
                let mut problem = Self::new(
                    StatusCode::TOO_MANY_REQUESTS,
                    "too_many_attempts",
                    "Too many failed attempts for this account, or from this address. Try again later.",
                );
                problem.0.retry_after = Some(retry_after);
                problem
            }
            LoginError::Busy => Self::busy(),
            LoginError::Store(error) => error.into(),
        }
    }
}

impl Problem {
    fn busy() -> Self {
        Self::unavailable(
            "busy",
            "Too many passwords are being checked at once. Try again.",
            "password hashing is full",
        )
    }
}

impl From<ServiceError> for Problem {
    fn from(error: ServiceError) -> Self {
        match error {
            ServiceError::Invalid(fields) => {
                Self::fields(fields.into_iter().map(|(field, sentences)| (field.to_owned(), sentences)).collect())
            }
            ServiceError::TooManyRegistrations { retry_after } => {
                let detail = "Too many accounts were registered from this address. Try again later.";
                let mut problem = Self::too_many("too_many_registrations", detail);
                problem.0.retry_after = Some(retry_after);
                problem
            }
            ServiceError::Busy => Self::busy(),
            ServiceError::Store(error) => error.into(),
        }
    }
}

impl From<PasswordError> for Problem {
    fn from(error: PasswordError) -> Self {
        match error {
            PasswordError::Invalid(fields) => ServiceError::Invalid(fields).into(),
            PasswordError::Throttled { retry_after } => LoginError::Throttled { retry_after }.into(),
            PasswordError::Busy => Self::busy(),
            PasswordError::Store(error) => error.into(),
        }
    }
}

impl From<presently::WatchError> for Problem {
    fn from(error: presently::WatchError) -> Self {
        use presently::WatchError as E;
        match error {
            E::TooMany => {
                Self::bad_request("too_many_users", "At most 10,000 users can be watched at once; nothing has changed.")
            }
            E::Forbidden => Self::permission_denied(),
            E::Store(error) => presently::Error::Store(error).into(),
            E::Closed => presently::Error::Closed.into(),
        }
    }
}

impl From<presently::Error> for Problem {
    fn from(error: presently::Error) -> Self {
        use presently::Error as E;
        match error {
            E::Barred => Self::account_not_active(),
            E::BadName => Self::field("session", "Must be 1 to 64 printable characters."),
            E::Stale | E::Ended => Self::token_not_valid(),
            E::Full => Self::unavailable("overloaded", "Too much is waiting to be kept. Try again.", "pending is full"),
            E::TooManyChanges { retry_after } => {
                let detail = "Sessions that open, activities that change and being invisible or not: at most 10 changes a second \
                              in the long run, 100 at once. Nothing has changed. Try again later.";
                let mut problem = Self::too_many("too_many_changes", detail);
                problem.0.retry_after = Some(retry_after);
                problem
            }
            E::Closed => Self::unavailable("shutting_down", "The server is shutting down.", "shutting down"),
            E::Store(error) => Self::unavailable(
                "store_unavailable",
                "The store did not confirm; the change may hold and will be kept when the store is back. Try again.",
                error,
            ),
        }
    }
}

#[cfg(test)]
mod tests {
    use http::header::ALLOW;

    use super::*;

    #[test]
    fn of_one_field_the_sentence_is_the_fields_own_and_of_several_each_is_named() {
        let one = Problem::field("email", "Enter a valid email address.");
        assert_eq!(one.detail(), "Enter a valid email address.");
        let fields = [("email", vec!["Too long.".to_owned()]), ("bio", vec!["Too long.".to_owned(), "No.".to_owned()])];
        let several = Problem::from(ServiceError::Invalid(fields.into()));
        assert_eq!(several.detail(), "bio: Too long. No. email: Too long.");
    }

    #[test]
    fn an_error_without_the_shape_gets_it_and_keeps_allow() {
        let mut response = Response::new(Body::empty());
        *response.status_mut() = StatusCode::METHOD_NOT_ALLOWED;
        response.headers_mut().insert(ALLOW, HeaderValue::from_static("GET"));
        let response = in_one_shape(response);
        assert_eq!(response.headers()[CONTENT_TYPE], "application/problem+json");
        assert_eq!(response.headers()[ALLOW], "GET");
    }
}
