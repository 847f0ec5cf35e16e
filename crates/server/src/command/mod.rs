//! What the program does, a file per command.

pub(crate) mod demo;
pub(crate) mod key;
pub(crate) mod serve;
pub(crate) mod user;
pub(crate) mod verify;

use crate::app::StartError;
use crate::settings::BadSettings;

/// Why a command did not succeed: one sentence.
#[derive(Debug)]
pub(crate) enum Failure {
    /// Exit code 1.
    Failed(String),
    /// Exit code 2.
    Usage(String),
}

impl From<BadSettings> for Failure {
    fn from(error: BadSettings) -> Self {
        Self::Usage(error.to_string())
    }
}

impl From<StartError> for Failure {
    fn from(error: StartError) -> Self {
        match error {
            StartError::Settings(error) => error.into(),
            StartError::Failed(sentence) => Self::Failed(sentence),
        }
    }
}
