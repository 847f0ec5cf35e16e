//! Accounts and presence changed together.
//!
//! **Invariant:** whoever may not be present is barred in the engine before the act that forbade it is answered; both
//! sides see such acts in the same order, because [`App::acting`] is held across them.

use std::collections::BTreeSet;

use presently::EndReason;
use presently_accounts::store::AuditEntry;
use presently_accounts::{Account, AccountId, Changes, SessionEnd};

use crate::app::App;
use crate::problem::Problem;

/// The newest changes that a start looks at again: many more than can be under way at once.
const INTERRUPTED_MAX: i64 = 1000;

impl App {
    /// Changes an account and what follows from it for presence.
    pub(crate) async fn change(
        &self,
        id: AccountId,
        changes: Changes,
        audit: Option<AuditEntry>,
    ) -> Result<Account, Problem> {
        let _acting = self.acting().await;
        let (ends, spare) = (changes.end_sessions, changes.spare.clone());
        if ends && spare.is_none() && audit.is_some() {
            self.push().crowd.force_out(&id.to_string());
        }
        let account = self.accounts().update(id, changes, self.now(), audit).await?;
        // Whoever is barred has no sessions left. Ended one after the other, a heartbeat at another node might come between.
        if ends && account.may_be_present() {
            match spare {
                None => drop(self.presently().end_user(&id.to_string(), EndReason::ForcedLogout).await?),
                Some(spare) => self.end_others(&id.to_string(), &spare).await?,
            }
        }
        self.stand(&account).await?;
        Ok(account)
    }

    /// Ends the presence of every login but this one. Their tokens are void already, so that none of them comes back.
    async fn end_others(&self, user: &str, spare: &str) -> Result<(), Problem> {
        let sessions = self.presently().explain(user).map(|explained| explained.sessions).unwrap_or_default();
        let logins: BTreeSet<_> = sessions.iter().map(|session| login_of(&session.session)).collect();
        for login in logins.into_iter().filter(|login| *login != spare) {
            self.presently().end_session(user, login, EndReason::ForcedLogout).await?;
        }
        Ok(())
    }

    /// Ends one login of an account: its tokens, and its presence with all parts of it. Whether there was one.
    pub(crate) async fn end_login(
        &self,
        id: AccountId,
        login: &str,
        reason: EndReason,
        audit: Option<AuditEntry>,
    ) -> Result<bool, Problem> {
        let _acting = self.acting().await;
        let user = id.to_string();
        let sessions = self.presently().explain(&user).map(|explained| explained.sessions).unwrap_or_default();
        let is_present = sessions.iter().any(|session| login_of(&session.session) == login);
        let how = SessionEnd { by_admin: audit.is_some(), is_present };
        let ended = self.accounts().end_session(id, login, how, self.now(), audit).await?;
        if is_present {
            self.presently().end_session(&user, login, reason).await?;
        }
        Ok(ended || is_present)
    }

    /// Ends every session of an account: tokens and presence.
    pub(crate) async fn end_sessions(
        &self,
        id: AccountId,
        reason: EndReason,
        audit: Option<AuditEntry>,
    ) -> Result<(), Problem> {
        let _acting = self.acting().await;
        if reason == EndReason::ForcedLogout {
            self.push().crowd.force_out(&id.to_string());
        }
        self.accounts().end_sessions(id, self.now(), audit).await?;
        self.presently().end_user(&id.to_string(), reason).await?;
        Ok(())
    }

    /// Erases an account with its presence and history.
    pub(crate) async fn erase(&self, id: AccountId, audit: AuditEntry) -> Result<(), Problem> {
        let _acting = self.acting().await;
        self.accounts().delete(id, self.now(), Some(audit)).await?;
        self.presently().forget(&id.to_string()).await?;
        Ok(())
    }

    /// Lets the engine know whether the account may be present.
    async fn stand(&self, account: &Account) -> Result<(), Problem> {
        let user = account.id.to_string();
        let (may, barred) = (account.may_be_present(), self.is_barred(&user));
        match (may, barred) {
            (true, true) => self.presently().unbar(&user).await.map(drop)?,
            (false, false) => self.presently().bar(&user).await.map(drop)?,
            // Of several nodes, all follow the changes of accounts: the first has said it.
            (true, false) | (false, true) => {}
        }
        Ok(())
    }

    fn is_barred(&self, user: &str) -> bool {
        self.presently().explain(user).is_some_and(|explained| explained.barred)
    }

    /// Applies to presence what other processes did to accounts: what the background does four times a second, on demand.
    ///
    /// # Errors
    /// The store did not answer, in a sentence; it is tried again.
    pub async fn follow_changes(&self) -> Result<(), String> {
        let _acting = self.acting().await;
        let changed = self.accounts().follow_changes().await.map_err(|error| error.to_string())?;
        for (id, account) in changed {
            let user = id.to_string();
            let done = match &account {
                None => self.presently().forget(&user).await.map_err(Problem::from),
                Some(account) => self.take_in(account).await,
            };
            if let Err(problem) = done {
                tracing::error!(user, ?problem, "a change of an account has not reached presence");
            }
        }
        Ok(())
    }

    /// Applies what became of an account. Bars before it ends anything, for the same reason as [`Self::change`].
    async fn take_in(&self, account: &Account) -> Result<(), Problem> {
        if account.may_be_present() {
            self.end_voided(account).await?;
        }
        self.stand(account).await
    }

    /// Finishes what a crash interrupted between an account and its presence: a logout whose tokens were void already would
    /// otherwise stay to be seen until its deadline.
    pub(crate) async fn settle_interrupted(&self) -> Result<(), String> {
        let store = self.accounts().store();
        let recent = async {
            let newest = store.newest_change().await?;
            let (_, ids) = store.changes_after(newest.saturating_sub(INTERRUPTED_MAX)).await?;
            store.accounts(&ids).await
        };
        for account in recent.await.map_err(|error| error.to_string())? {
            self.end_voided(&account).await.map_err(|problem| format!("{problem:?}"))?;
        }
        Ok(())
    }

    /// Ends the presence sessions whose credentials were ended elsewhere.
    async fn end_voided(&self, account: &Account) -> Result<(), Problem> {
        let user = account.id.to_string();
        let Some(explanation) = self.presently().explain(&user) else { return Ok(()) };
        for session in explanation.sessions {
            let login = login_of(&session.session);
            let voided = match self.accounts().store().session(login).await? {
                Some(credentials) => credentials.ended_at.is_some(),
                None => account.tokens_valid_after.is_some_and(|moment| session.opened_at.0 <= moment.as_microsecond()),
            };
            if voided {
                self.presently().end_session(&user, login, EndReason::ForcedLogout).await?;
            }
        }
        Ok(())
    }
}

/// The login that a session of presence belongs to.
pub(crate) fn login_of(session: &str) -> &str {
    session.split('/').next().unwrap_or_default()
}
