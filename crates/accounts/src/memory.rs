//! A store that forgets at exit: for tests and for trying things out. **It keeps every promise of [`AccountStore`] but durability.**

mod keys;

use std::cmp::Reverse;
use std::collections::{BTreeMap, HashMap};

use async_trait::async_trait;
use jiff::Timestamp;
use parking_lot::Mutex;

use crate::store::{AccountStore, AuditEntry, CredentialSession, Live, Ordering, Page, PageQuery, Rotation, Trade};
use crate::{Account, AccountId, ApiKey, Changes, NewAccount, PasswordHash, StoreError, fold_case, username_look};

const CHANGES_MAX: usize = 10_000;
const SESSIONS_MAX: usize = 1_000;

/// An [`AccountStore`] in memory. It has no presence of its own: pages know what [`PageQuery::live`] says.
#[derive(Debug, Default)]
pub struct MemoryStore {
    state: Mutex<State>,
}

#[derive(Debug, Default)]
struct State {
    accounts: BTreeMap<AccountId, Account>,
    ids_by_name: HashMap<String, AccountId>,
    ids_by_look: HashMap<String, AccountId>,
    last_id: i64,
    sessions: HashMap<String, CredentialSession>,
    audit: Vec<AuditEntry>,
    keys: Vec<ApiKey>,
    last_change: i64,
    /// The newest change of each account; the erased ones stay, so that nobody misses them.
    changes: HashMap<AccountId, i64>,
}

impl MemoryStore {
    /// An empty store.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }
}

impl State {
    fn changed(&mut self, id: AccountId) {
        self.last_change += 1;
        self.changes.insert(id, self.last_change);
    }

    fn end_sessions_of(&mut self, id: AccountId, spare: Option<&str>, now: Timestamp) {
        let ends = |session: &&mut CredentialSession| session.account == id && spare != Some(session.id.as_str());
        for session in self.sessions.values_mut().filter(ends) {
            session.ended_at.get_or_insert(now);
        }
    }

    fn refuse_taken_email(&self, email: &str, of: Option<AccountId>) -> Result<(), StoreError> {
        let key = fold_case(email);
        let has_it = |account: &Account| Some(account.id) != of && fold_case(&account.email) == key;
        if !key.is_empty() && self.accounts.values().any(has_it) { Err(StoreError::EmailTaken) } else { Ok(()) }
    }

    /// Refuses to go on when this is an active admin and there is no other.
    fn refuse_last_admin(&self, id: AccountId) -> Result<(), StoreError> {
        let is_admin = self.accounts.get(&id).is_some_and(Account::is_active_admin);
        let others = self.accounts.values().any(|account| account.id != id && account.is_active_admin());
        if is_admin && !others { Err(StoreError::LastAdmin) } else { Ok(()) }
    }

    fn log(&mut self, audit: Option<&AuditEntry>) {
        self.audit.extend(audit.cloned());
    }
}

#[async_trait]
impl AccountStore for MemoryStore {
    async fn account(&self, id: AccountId) -> Result<Option<Account>, StoreError> {
        Ok(self.state.lock().accounts.get(&id).cloned())
    }

    async fn accounts(&self, ids: &[AccountId]) -> Result<Vec<Account>, StoreError> {
        let state = self.state.lock();
        let wanted: std::collections::BTreeSet<_> = ids.iter().collect();
        Ok(wanted.into_iter().filter_map(|id| state.accounts.get(id)).cloned().collect())
    }

    async fn account_ids(&self) -> Result<Vec<AccountId>, StoreError> {
        Ok(self.state.lock().accounts.keys().copied().collect())
    }

    async fn accounts_before(
        &self,
        before: Option<(Timestamp, AccountId)>,
        limit: u32,
    ) -> Result<Vec<Account>, StoreError> {
        let mut found: Vec<Account> = self.state.lock().accounts.values().cloned().collect();
        found.retain(|account| before.is_none_or(|before| (account.created_at, account.id) < before));
        found.sort_by_key(|account| Reverse((account.created_at, account.id)));
        found.truncate(limit as usize);
        Ok(found)
    }

    async fn account_named(&self, username: &str) -> Result<Option<Account>, StoreError> {
        let state = self.state.lock();
        Ok(state.ids_by_name.get(&fold_case(username)).and_then(|id| state.accounts.get(id)).cloned())
    }

    async fn page(&self, query: &PageQuery) -> Result<Page, StoreError> {
        let live: HashMap<AccountId, &Live> = query.live.iter().map(|live| (live.account, live)).collect();
        let mut found: Vec<Account> =
            self.state.lock().accounts.values().filter(|account| matches(account, query, &live)).cloned().collect();
        let status = |account: &Account| live.get(&account.id).map_or("offline", |live| live.online_status);
        match query.ordering {
            Ordering::CreatedAt => found.sort_by_key(|account| (account.created_at, account.id)),
            Ordering::Username => found.sort_by_cached_key(|account| (fold_case(&account.username), account.id)),
            Ordering::LastSeen => {
                found.sort_by_key(|account| (live.get(&account.id).and_then(|live| live.last_seen_us), account.id));
            }
            Ordering::OnlineStatus => found.sort_by_key(|account| {
                let rank = ["online", "away"].iter().position(|word| *word == status(account));
                (Reverse(rank.unwrap_or(2)), account.id)
            }),
        }
        if query.descending {
            found.reverse();
        }
        let count = found.len() as u64;
        let offset = usize::try_from(query.offset).unwrap_or(usize::MAX);
        let limit = if query.limit == 0 { usize::MAX } else { usize::try_from(query.limit).unwrap_or(usize::MAX) };
        Ok(Page { count, accounts: found.into_iter().skip(offset).take(limit).collect() })
    }

    async fn old_hash_after(&self, after: &str) -> Result<Option<PasswordHash>, StoreError> {
        let state = self.state.lock();
        let hashes = state.accounts.values().map(|account| account.password.0.as_str());
        let old = hashes.filter(|hash| !hash.starts_with(PasswordHash::TODAY) && *hash > after);
        Ok(old.min().map(|hash| PasswordHash(hash.to_owned())))
    }

    async fn admin_count(&self) -> Result<u64, StoreError> {
        let state = self.state.lock();
        Ok(state.accounts.values().filter(|account| account.is_active_admin()).count() as u64)
    }

    async fn barred(&self) -> Result<Vec<AccountId>, StoreError> {
        let state = self.state.lock();
        Ok(state.accounts.values().filter(|account| !account.may_be_present()).map(|account| account.id).collect())
    }

    async fn insert(
        &self,
        account: &NewAccount,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError> {
        let mut state = self.state.lock();
        let name = fold_case(&account.username);
        let look = username_look(&account.username);
        if state.ids_by_name.contains_key(&name) || state.ids_by_look.contains_key(&look) {
            return Err(StoreError::UsernameTaken);
        }
        state.refuse_taken_email(&account.email, None)?;
        state.last_id += 1;
        let id = AccountId(state.last_id);
        let account = account.clone().made(id, now);
        state.ids_by_name.insert(name, id);
        state.ids_by_look.insert(look, id);
        state.accounts.insert(id, account.clone());
        state.changed(id);
        if let Some(audit) = audit {
            state.log(Some(&AuditEntry { target: audit.target.or(Some(id)), ..audit.clone() }));
        }
        Ok(account)
    }

    async fn update(
        &self,
        id: AccountId,
        changes: &Changes,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<Account, StoreError> {
        let mut state = self.state.lock();
        let old = state.accounts.get(&id).cloned().ok_or(StoreError::NotFound)?;
        let (old_name, old_email) = (fold_case(&old.username), fold_case(&old.email));
        let old_look = username_look(&old.username);
        let account = old.changed(changes.clone(), now)?;
        let name = fold_case(&account.username);
        if name != old_name && state.ids_by_name.contains_key(&name) {
            return Err(StoreError::UsernameTaken);
        }
        let look = username_look(&account.username);
        if state.ids_by_look.get(&look).is_some_and(|other| *other != id) {
            return Err(StoreError::UsernameTaken);
        }
        if fold_case(&account.email) != old_email {
            state.refuse_taken_email(&account.email, Some(id))?;
        }
        if !account.is_active_admin() {
            state.refuse_last_admin(id)?;
        }
        state.ids_by_name.remove(&old_name);
        state.ids_by_name.insert(name, id);
        state.ids_by_look.remove(&old_look);
        state.ids_by_look.insert(look, id);
        state.accounts.insert(id, account.clone());
        if changes.end_sessions {
            state.end_sessions_of(id, changes.spare.as_deref(), now);
        }
        state.changed(id);
        state.log(audit);
        Ok(account)
    }

    async fn replace_password(
        &self,
        id: AccountId,
        old: &PasswordHash,
        new: &PasswordHash,
    ) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        let Some(account) = state.accounts.get_mut(&id).filter(|account| account.password == *old) else {
            return Ok(false);
        };
        account.password = new.clone();
        Ok(true)
    }

    async fn delete(&self, id: AccountId, _now: Timestamp, audit: Option<&AuditEntry>) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        state.refuse_last_admin(id)?;
        let account = state.accounts.remove(&id).ok_or(StoreError::NotFound)?;
        state.ids_by_name.remove(&fold_case(&account.username));
        state.ids_by_look.remove(&username_look(&account.username));
        state.sessions.retain(|_, session| session.account != id);
        state.changed(id);
        state.log(audit);
        Ok(())
    }

    async fn audit(&self, entry: &AuditEntry) -> Result<(), StoreError> {
        self.state.lock().log(Some(entry));
        Ok(())
    }

    async fn audit_page(&self, before_id: Option<i64>, limit: u32) -> Result<Vec<(i64, AuditEntry)>, StoreError> {
        let state = self.state.lock();
        let numbered = (1_i64..).zip(state.audit.iter().cloned()).collect::<Vec<_>>().into_iter().rev();
        Ok(numbered.filter(|(id, _)| before_id.is_none_or(|before| *id < before)).take(limit as usize).collect())
    }

    async fn open_session(&self, session: &CredentialSession) -> Result<bool, StoreError> {
        let mut state = self.state.lock();
        if !state.accounts.get(&session.account).is_some_and(Account::may_be_present) {
            return Ok(false);
        }
        state.sessions.insert(session.id.clone(), session.clone());
        Ok(true)
    }

    async fn session(&self, id: &str) -> Result<Option<CredentialSession>, StoreError> {
        Ok(self.state.lock().sessions.get(id).cloned())
    }

    async fn sessions(&self, account: AccountId, now: Timestamp) -> Result<Vec<CredentialSession>, StoreError> {
        let state = self.state.lock();
        let mut live: Vec<_> =
            state.sessions.values().filter(|s| s.account == account && s.is_live(now)).cloned().collect();
        live.sort_by(|a, b| (a.created_at, &a.id).cmp(&(b.created_at, &b.id)));
        live.truncate(SESSIONS_MAX);
        Ok(live)
    }

    async fn rotate(&self, id: &str, trade: &Trade, now: Timestamp) -> Result<Rotation, StoreError> {
        let mut state = self.state.lock();
        let Some(session) = state.sessions.get_mut(id) else { return Ok(Rotation::Gone) };
        let (outcome, account) = (session.trade(trade, now), session.account);
        if outcome == Rotation::Reused {
            state.changed(account);
        }
        Ok(outcome)
    }

    async fn end_session(
        &self,
        session: &CredentialSession,
        now: Timestamp,
        audit: Option<&AuditEntry>,
    ) -> Result<(), StoreError> {
        let mut state = self.state.lock();
        let foreign = session.refresh.is_none() && state.accounts.contains_key(&session.account);
        match state.sessions.get_mut(&session.id) {
            Some(row) if row.account == session.account => {
                if row.ended_at.is_none() {
                    (row.ended_at, row.ended_by_admin) = (Some(now), session.ended_by_admin);
                }
            }
            Some(_) => return Ok(()),
            None if foreign => {
                let row = CredentialSession { ended_at: Some(now), ..session.clone() };
                state.sessions.insert(row.id.clone(), row);
            }
            None => return Ok(()),
        }
        state.changed(session.account);
        state.log(audit);
        Ok(())
    }

    async fn prune_sessions(&self, now: Timestamp, limit: u32) -> Result<u64, StoreError> {
        let mut state = self.state.lock();
        let expired = state.sessions.values().filter(|session| session.expires_at < now);
        let going: Vec<String> = expired.take(limit as usize).map(|session| session.id.clone()).collect();
        for id in &going {
            state.sessions.remove(id);
        }
        Ok(going.len() as u64)
    }

    async fn newest_change(&self) -> Result<i64, StoreError> {
        Ok(self.state.lock().last_change)
    }

    async fn changes_after(&self, after: i64) -> Result<(i64, Vec<AccountId>), StoreError> {
        let state = self.state.lock();
        let mut changes: Vec<(i64, AccountId)> =
            state.changes.iter().filter(|(_, number)| **number > after).map(|(id, number)| (*number, *id)).collect();
        changes.sort_unstable();
        changes.truncate(CHANGES_MAX);
        let newest = if changes.len() == CHANGES_MAX { changes.last().map(|(number, _)| *number) } else { None };
        Ok((newest.unwrap_or(state.last_change.max(after)), changes.into_iter().map(|(_, id)| id).collect()))
    }
}

fn matches(account: &Account, query: &PageQuery, live: &HashMap<AccountId, &Live>) -> bool {
    let found = query.search.as_deref().is_none_or(|text| {
        let text = fold_case(text);
        [&account.username, &account.email, &account.first_name, &account.last_name]
            .into_iter()
            .any(|field| fold_case(field).contains(&text))
    });
    let status = live.get(&account.id).map_or("offline", |live| live.online_status);
    found
        && query.status.is_none_or(|wanted| account.status == wanted)
        && query.is_active.is_none_or(|wanted| account.is_active == wanted)
        && query.role.is_none_or(|wanted| account.role == wanted)
        && query.online_status.is_none_or(|wanted| status == wanted)
}
