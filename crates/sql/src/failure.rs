//! What went wrong, in the words of the ports. No driver type leaves this crate.

use presently::store::StoreError;
use presently_accounts::StoreError as AccountStoreError;

/// Why something was not done. Nothing of it was kept.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) enum Failure {
    /// Locked, overloaded or out of reach.
    Unavailable(String),
    /// The connection broke: in the middle of a commit nobody knows what became of it.
    Lost(String),
    /// No room, or no permission to write.
    Unwritable(String),
    /// What is kept makes no sense.
    Damaged(String),
    /// The schema forbids what was asked: the caller's fault.
    Refused(String),
    /// The accounts' own rules forbid it.
    Rule(AccountStoreError),
}

impl Failure {
    /// Whether it is about this operation alone, so that others in its transaction may live.
    pub(crate) const fn is_own(&self) -> bool {
        matches!(self, Self::Refused(_) | Self::Rule(_))
    }

    /// A value that cannot be what was written.
    pub(crate) fn nonsense(what: impl std::fmt::Display) -> Self {
        Self::Damaged(what.to_string())
    }
}

/// SQLite's primary result codes, as far as they are told apart.
pub(crate) mod code {
    pub(crate) const ERROR: i32 = 1;
    pub(crate) const PERM: i32 = 3;
    pub(crate) const BUSY: i32 = 5;
    pub(crate) const LOCKED: i32 = 6;
    pub(crate) const READONLY: i32 = 8;
    pub(crate) const IOERR: i32 = 10;
    pub(crate) const CORRUPT: i32 = 11;
    pub(crate) const FULL: i32 = 13;
    pub(crate) const CANTOPEN: i32 = 14;
    pub(crate) const TOOBIG: i32 = 18;
    pub(crate) const CONSTRAINT: i32 = 19;
    pub(crate) const MISMATCH: i32 = 20;
    pub(crate) const AUTH: i32 = 23;
    pub(crate) const NOTADB: i32 = 26;
}

/// The primary result code of an error that SQLite gave.
pub(crate) fn primary_code(error: &sqlx::Error) -> Option<i32> {
    let code = error.as_database_error()?.code()?;
    code.parse::<i32>().ok().map(|extended| extended & 0xff)
}

/// One line about an error.
pub(crate) fn sentence(error: &sqlx::Error) -> String {
    match error.as_database_error() {
        Some(database) => match database.code() {
            Some(code) => format!("{} (SQLite {code})", database.message()),
            None => database.message().to_owned(),
        },
        None => error.to_string().replace('\n', " "),
    }
}

impl From<sqlx::Error> for Failure {
    fn from(error: sqlx::Error) -> Self {
        if let Some(taken) = taken(&error) {
            return Self::Rule(taken);
        }
        if let Some(failure) = crate::postgres::failure_of(&error) {
            return failure;
        }
        use code::*;
        let sentence = sentence(&error);
        match primary_code(&error) {
            Some(BUSY | LOCKED) => Self::Unavailable(sentence),
            Some(FULL | READONLY | IOERR | PERM | CANTOPEN | AUTH) => Self::Unwritable(sentence),
            // ERROR is "no such table" and its like: somebody changed the schema.
            Some(CORRUPT | NOTADB | ERROR) => Self::Damaged(sentence),
            Some(CONSTRAINT | MISMATCH | TOOBIG) => Self::Refused(sentence),
            Some(_) => Self::Unavailable(sentence),
            None => match error {
                sqlx::Error::PoolTimedOut => Self::Unavailable("every connection is busy".to_owned()),
                sqlx::Error::PoolClosed => Self::Unavailable("the database is closed".to_owned()),
                sqlx::Error::ColumnDecode { .. } | sqlx::Error::Decode(_) => Self::Damaged(sentence),
                sqlx::Error::Io(_) | sqlx::Error::Tls(_) | sqlx::Error::Protocol(_) => Self::Lost(sentence),
                _ => Self::Unavailable(sentence),
            },
        }
    }
}

/// Which name another account has, when that is why.
fn taken(error: &sqlx::Error) -> Option<AccountStoreError> {
    let error = error.as_database_error().filter(|error| error.is_unique_violation())?;
    // PostgreSQL names the index, SQLite the column in its sentence.
    let what = error.constraint().unwrap_or_else(|| error.message());
    let names = [
        ("email_key", AccountStoreError::EmailTaken),
        ("username_key", AccountStoreError::UsernameTaken),
        ("username_look", AccountStoreError::UsernameTaken),
    ];
    names.into_iter().find_map(|(name, taken)| what.contains(name).then_some(taken))
}

impl From<Failure> for StoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(why) | Failure::Lost(why) => Self::Unavailable(why),
            Failure::Unwritable(why) => Self::Unwritable(why),
            Failure::Damaged(why) | Failure::Refused(why) => Self::Damaged(why),
            Failure::Rule(rule) => Self::Damaged(rule.to_string()),
        }
    }
}

impl From<Failure> for AccountStoreError {
    fn from(failure: Failure) -> Self {
        match failure {
            Failure::Unavailable(why) | Failure::Lost(why) => Self::Unavailable(why),
            Failure::Unwritable(why) => Self::Unavailable(format!("it cannot be written: {why}")),
            Failure::Damaged(why) => Self::Unavailable(format!("it is damaged: {why}")),
            Failure::Refused(why) => Self::Unavailable(format!("the database refused it: {why}")),
            Failure::Rule(rule) => rule,
        }
    }
}

impl Failure {
    /// What happened, without its kind.
    pub(crate) fn sentence(&self) -> String {
        match self {
            Self::Unavailable(why)
            | Self::Lost(why)
            | Self::Unwritable(why)
            | Self::Damaged(why)
            | Self::Refused(why) => why.clone(),
            Self::Rule(rule) => rule.to_string(),
        }
    }
}
