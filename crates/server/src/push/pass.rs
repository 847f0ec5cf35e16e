//! Whether a connection may still be there. **A pass is looked at before anything is sent and after every wake.**

use std::sync::Arc;
use std::time::Duration;

use presently::{Activity, Viewer};
use presently_accounts::{AccountStatus, ApiKey, AuthError, Caller};

use super::viewer;
use crate::app::App;
use crate::identify;
use crate::problem::Problem;

/// How often rights that change in the middle of evidence are looked at again.
const LOOKS_MAX: usize = 4;

/// Why a connection ends.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Ended {
    /// The token's time is over.
    Expired,
    /// The token was revoked.
    Revoked,
    /// An administrator ended the session.
    ByAdmin,
    /// The account is suspended, banned or deactivated.
    NotActive,
    /// The account may see more or less than before.
    RightsChanged,
    /// Whether it may go on cannot be found out.
    Unknown,
    /// The server stops.
    Stopping,
}

/// On whose credentials an event stream stands.
pub(crate) enum Holder {
    /// A signed-in user's.
    User(Pass),
    /// An application's.
    Application(KeyPass),
}

impl Holder {
    /// Through whose eyes the stream looks.
    pub(crate) fn viewer(&self) -> Viewer {
        match self {
            Self::User(pass) => pass.viewer(),
            Self::Application(_) => Viewer::Anybody,
        }
    }

    /// In whose name the stream counts towards the limit of each.
    pub(crate) fn name(&self) -> Arc<str> {
        match self {
            Self::User(pass) => Arc::clone(&pass.caller.user),
            Self::Application(pass) => format!("app-{}", pass.key.id).into(),
        }
    }

    /// How long the credentials last.
    pub(crate) fn expires_in(&self, app: &App) -> Duration {
        match self {
            Self::User(pass) => pass.expires_in(app),
            Self::Application(_) => Duration::MAX,
        }
    }

    /// Whether they still admit.
    pub(crate) async fn check(&mut self, app: &App) -> Result<(), Ended> {
        match self {
            Self::User(pass) => pass.check(app).await,
            Self::Application(pass) => pass.check(app).await,
        }
    }
}

/// An API key that a stream stands on.
pub(crate) struct KeyPass {
    credential: Box<str>,
    key: Arc<ApiKey>,
    as_of: u64,
}

impl KeyPass {
    /// A key that was good after `as_of`.
    pub(crate) fn new(credential: &str, key: Arc<ApiKey>, as_of: u64) -> Self {
        Self { credential: credential.into(), key, as_of }
    }

    async fn check(&mut self, app: &App) -> Result<(), Ended> {
        if app.accounts().still_admits(self.as_of) {
            return Ok(());
        }
        let as_of = app.accounts().as_of();
        match app.accounts().authenticate_key(&self.credential).await {
            Ok(_) => {
                self.as_of = as_of;
                Ok(())
            }
            Err(AuthError::Store(_)) => Err(Ended::Unknown),
            Err(error) => {
                app.metrics().refusals().key(&error, app.now());
                Err(Ended::Revoked)
            }
        }
    }
}

/// On whose credentials a connection stands.
pub(crate) struct Pass {
    credential: Box<str>,
    pub(crate) caller: Arc<Caller>,
}

impl Pass {
    pub(crate) fn new(credential: &str, caller: Arc<Caller>) -> Self {
        Self { credential: credential.into(), caller }
    }

    /// Through whose eyes the connection looks.
    pub(crate) fn viewer(&self) -> Viewer {
        viewer(&self.caller)
    }

    /// How long the credentials last.
    pub(crate) fn expires_in(&self, app: &App) -> Duration {
        let micros = self.caller.expires_at.saturating_mul(1_000_000).saturating_sub(app.clock().now().wall.0);
        Duration::from_micros(u64::try_from(micros).unwrap_or(0))
    }

    /// Whether they still admit. Costs next to nothing while nobody's rights change.
    pub(crate) async fn check(&mut self, app: &App) -> Result<(), Ended> {
        if self.expires_in(app).is_zero() {
            return Err(Ended::Expired);
        }
        if app.accounts().still_admits(self.caller.as_of) {
            return Ok(());
        }
        Box::pin(self.renew(app)).await
    }

    /// Asks anew.
    async fn renew(&mut self, app: &App) -> Result<(), Ended> {
        match identify::authenticate(app, &self.credential).await {
            Err(problem) => Err(self.why(app, &problem).await),
            Ok(caller) if caller.admission.status != AccountStatus::Active => Err(Ended::NotActive),
            Ok(caller) if caller.admission.is_admin != self.caller.admission.is_admin => Err(Ended::RightsChanged),
            Ok(caller) => {
                self.caller = Arc::new(caller);
                Ok(())
            }
        }
    }

    /// A voided token does not say by what.
    async fn why(&self, app: &App, problem: &Problem) -> Ended {
        if problem.status().is_server_error() {
            return Ended::Unknown;
        }
        match app.accounts().store().account(self.caller.account).await {
            Err(_) => Ended::Unknown,
            // However the nodes hear of it, an erased account is one whose tokens are good for nothing.
            Ok(None) => Ended::Revoked,
            Ok(Some(account)) if !account.may_be_present() => Ended::NotActive,
            Ok(_) if app.push().crowd.was_forced_out(&self.caller.user) => Ended::ByAdmin,
            Ok(_) => match app.accounts().store().session(&self.caller.session).await {
                Ok(Some(session)) if session.ended_by_admin => Ended::ByAdmin,
                Ok(_) => Ended::Revoked,
                Err(_) => Ended::Unknown,
            },
        }
    }

    /// Takes evidence of a session of its own; returns why it was not taken when the user changes something too often.
    pub(crate) async fn heard(
        &mut self,
        app: &App,
        session: &str,
        activity: Option<Activity>,
    ) -> Result<Option<Problem>, Ended> {
        for _ in 0..LOOKS_MAX {
            let as_of = self.caller.as_of;
            let still = || app.accounts().still_admits(as_of);
            match app.presently().paced(&self.caller.user, session, activity, still) {
                // What is on its way comes to nothing only when the session ended elsewhere, which ends the pass too.
                Ok(hearing) => {
                    hearing.kept().await;
                    return Ok(None);
                }
                Err(error @ presently::Error::TooManyChanges { .. }) => return Ok(Some(error.into())),
                Err(presently::Error::Stale) => self.check(app).await?,
                Err(presently::Error::Barred) => return Err(Ended::NotActive),
                Err(error) => {
                    // Presence is full or stopping: the connection is good all the same.
                    tracing::debug!(%error, "evidence of a socket was not taken");
                    return Ok(None);
                }
            }
        }
        Err(Ended::Unknown)
    }
}
