//! What is remembered of tokens, accounts and sessions. **Once [`Cache::revoke`] has returned, nothing read before it is found here.**
//!
//! A verified token is kept under a keyed 128-bit hash of its text, never as text. An account's entry carries a number of its own,
//! its life; a session's entry names the life under which the session was found live. So one removal voids an account with all of
//! its sessions, and no index of them is needed. A token remembers that life as well, which spares the look at its session.
//!
//! The epoch counts revocations. Who reads it before looking anything up can tell later whether anything was taken away since.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use jiff::Timestamp;
use parking_lot::Mutex;
use quick_cache::sync::Cache as Bounded;
use siphasher::sip128::SipHasher13;

use crate::key_cache::KeyCache;
use crate::store::API_KEYS;
use crate::token::{Claims, random_bytes};
use crate::{Account, AccountId, Admission, ApiKey};

const TOKENS_MAX: usize = 262_144;
const SESSIONS_MAX: usize = 1_048_576;
const ACCOUNTS_MAX: usize = 1_048_576;
/// The life of a reading that was not kept: nothing is remembered under it.
const UNKEPT: u64 = u64::MAX;

/// What is known of an account.
#[derive(Clone)]
pub(crate) struct Known {
    /// Which reading of the account this is, from 1 on.
    life: u64,
    /// The account's number in digits.
    pub(crate) user: Arc<str>,
    pub(crate) is_active: bool,
    pub(crate) admission: Admission,
    /// Foreign tokens issued in this second or before are void.
    tokens_valid_after: Option<i64>,
}

impl Known {
    fn new(account: &Account, life: u64) -> Self {
        Self {
            life,
            user: account.id.to_string().into(),
            is_active: account.is_active,
            admission: Admission { is_admin: account.is_admin(), status: account.status },
            tokens_valid_after: account.tokens_valid_after.map(|at| at.as_microsecond().div_euclid(1_000_000)),
        }
    }

    /// Whether the account voided the token by its time of issue. Those with a `sid` stand and fall with their session instead.
    pub(crate) fn voids(&self, claims: &Claims) -> bool {
        claims.foreign && self.tokens_valid_after.is_some_and(|after| claims.issued_at <= after)
    }
}

/// A session that was found live.
#[derive(Clone, Copy)]
struct LiveSession {
    account: AccountId,
    life: u64,
    foreign: bool,
}

pub(crate) struct Cache {
    key: [u8; 16],
    tokens: Bounded<u128, Arc<Claims>>,
    sessions: Bounded<Arc<str>, LiveSession>,
    accounts: Bounded<AccountId, Known>,
    keys: KeyCache,
    epoch: AtomicU64,
    lives: AtomicU64,
    /// Held while an account is put in or taken out: between looking at the epoch and keeping an account, no revocation fits.
    changing: Mutex<()>,
}

impl Cache {
    pub(crate) fn new() -> Self {
        Self {
            key: random_bytes(),
            tokens: Bounded::new(TOKENS_MAX),
            sessions: Bounded::new(SESSIONS_MAX),
            accounts: Bounded::new(ACCOUNTS_MAX),
            keys: KeyCache::new(),
            epoch: AtomicU64::new(0),
            lives: AtomicU64::new(0),
            changing: Mutex::new(()),
        }
    }

    pub(crate) fn epoch(&self) -> u64 {
        self.epoch.load(Ordering::SeqCst)
    }

    /// What the token says, when it was read before; else `read` reads it. Good signatures only are remembered.
    pub(crate) fn token(
        &self,
        token: &str,
        now: Timestamp,
        read: impl FnOnce() -> Option<Claims>,
    ) -> Option<Arc<Claims>> {
        // SipHash is a keyed pseudo-random function: without the key, which never leaves this process, nobody can make a token that
        // falls on another one's hash.
        let hash = SipHasher13::new_with_key(&self.key).hash(token.as_bytes()).as_u128();
        if let Some(claims) = self.tokens.get(&hash) {
            return Some(claims);
        }
        let claims = Arc::new(read()?);
        if claims.is_current(now) {
            self.tokens.insert(hash, claims.clone());
        }
        Some(claims)
    }

    pub(crate) fn account(&self, id: AccountId) -> Option<Known> {
        self.accounts.get(&id)
    }

    /// Keeps an account that was read after `as_of`, unless something was revoked since; returns what is known of it in any case.
    pub(crate) fn keep_account(&self, account: &Account, as_of: u64) -> Known {
        let _changing = self.changing.lock();
        if self.epoch() != as_of {
            return Known::new(account, UNKEPT);
        }
        let life = self.lives.fetch_add(1, Ordering::Relaxed) + 1;
        let known = Known::new(account, life);
        self.accounts.insert(account.id, known.clone());
        known
    }

    /// Whether the token's session is known to be live, under the life of `known`.
    pub(crate) fn is_live(&self, claims: &Claims, known: &Known) -> bool {
        if claims.live_in.load(Ordering::Relaxed) == known.life {
            return true;
        }
        let is_live = self.sessions.get(&*claims.session).is_some_and(|session| {
            session.life == known.life && session.account == claims.account && session.foreign == claims.foreign
        });
        if is_live {
            claims.live_in.store(known.life, Ordering::Relaxed);
        }
        is_live
    }

    /// Remembers a session that was found live when `known` had been looked up already: should it end after that, the life of `known`
    /// ends with it.
    pub(crate) fn keep_session(&self, session: &Arc<str>, account: AccountId, foreign: bool, known: &Known) {
        if known.life != UNKEPT {
            self.sessions.insert(session.clone(), LiveSession { account, life: known.life, foreign });
        }
    }

    pub(crate) fn keys(&self) -> &KeyCache {
        &self.keys
    }

    /// Keeps an API key that was read after `as_of`, unless something was revoked since.
    pub(crate) fn keep_key(&self, key: ApiKey, as_of: u64) -> Arc<ApiKey> {
        let key = Arc::new(key);
        let _changing = self.changing.lock();
        if self.epoch() == as_of {
            self.keys.keep(&key);
        }
        key
    }

    /// Forgets accounts with all their sessions (or, under their number, the API keys). The epoch moves before, so that no older reading is kept any more, and after, so
    /// that whoever found something here until now is noticed.
    pub(crate) fn revoke(&self, ids: &[AccountId]) {
        self.change(|| {
            for id in ids {
                self.accounts.remove(id);
                if *id == API_KEYS {
                    self.keys.clear();
                }
            }
        });
    }

    /// Forgets everything but what tokens say.
    pub(crate) fn revoke_all(&self) {
        self.change(|| {
            self.accounts.clear();
            self.keys.clear();
            self.sessions.clear();
        });
    }

    fn change(&self, forget: impl FnOnce()) {
        self.epoch.fetch_add(1, Ordering::SeqCst);
        {
            let _changing = self.changing.lock();
            forget();
        }
        self.epoch.fetch_add(1, Ordering::SeqCst);
    }

    /// Drops tokens that have expired.
    pub(crate) fn tidy(&self, now: Timestamp) {
        self.tokens.retain(|_, claims| claims.is_current(now));
    }

    /// Revokes when it is dropped: after the store was asked, whatever came of it, and when the asker went away meanwhile.
    pub(crate) fn revocation(&self, id: AccountId) -> Revocation<'_> {
        Revocation { cache: self, id }
    }
}

pub(crate) struct Revocation<'a> {
    cache: &'a Cache,
    id: AccountId,
}

impl Drop for Revocation<'_> {
    fn drop(&mut self) {
        self.cache.revoke(&[self.id]);
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, AtomicI64};

    use super::*;
    use crate::memory::MemoryStore;
    use crate::store::AccountStore;
    use crate::{AccountStatus, NewAccount, PasswordHash, Role};

    const NUMBERS: i64 = 1_000;

    async fn an_account() -> Account {
        let new = NewAccount {
            username: "alice".to_owned(),
            email: String::new(),
            password: PasswordHash(String::new()),
            first_name: String::new(),
            last_name: String::new(),
            role: Role::User,
            status: AccountStatus::Active,
            is_staff: false,
            email_verified: false,
            is_approved: true,
        };
        MemoryStore::new().insert(&new, Timestamp::UNIX_EPOCH, None).await.expect("an account is made")
    }

    /// Three threads read a number from where it is kept and put it into the cache, two look it up, and one changes it, over and over.
    #[tokio::test]
    async fn what_was_read_before_a_revocation_is_never_found_after_it() {
        let account = an_account().await;
        let id = account.id;
        let cache = Cache::new();
        let (kept, revoked) = (AtomicI64::new(0), AtomicI64::new(0));
        let stop = AtomicBool::new(false);
        let number = |known: &Known| known.tokens_valid_after.unwrap_or(0);
        let moment = |number| Timestamp::from_second(number).expect("a small number");
        let found = AtomicU64::new(0);
        std::thread::scope(|scope| {
            for _ in 0..3 {
                scope.spawn(|| {
                    for turn in 0_u32.. {
                        if stop.load(Ordering::SeqCst) {
                            break;
                        }
                        let as_of = cache.epoch();
                        let read = moment(kept.load(Ordering::SeqCst));
                        if turn % 8 == 0 {
                            std::thread::yield_now();
                        }
                        cache.keep_account(&Account { tokens_valid_after: Some(read), ..account.clone() }, as_of);
                    }
                });
            }
            for _ in 0..2 {
                scope.spawn(|| {
                    while !stop.load(Ordering::SeqCst) {
                        let before = revoked.load(Ordering::SeqCst);
                        let as_of = cache.epoch();
                        let Some(known) = cache.account(id) else { continue };
                        let is_older = number(&known) < revoked.load(Ordering::SeqCst);
                        let is_noticed = cache.epoch() != as_of;
                        if number(&known) < before || (is_older && !is_noticed) {
                            stop.store(true, Ordering::SeqCst);
                            panic!("{} was found after {before} was revoked, noticed: {is_noticed}", number(&known));
                        }
                        found.fetch_add(1, Ordering::SeqCst);
                    }
                });
            }
            for next in 1..=NUMBERS {
                // What is found decides when it goes on: an old number that was kept after all stays long enough to be seen.
                let until = found.load(Ordering::SeqCst) + 2;
                while found.load(Ordering::SeqCst) < until && !stop.load(Ordering::SeqCst) {
                    std::thread::yield_now();
                }
                if stop.load(Ordering::SeqCst) {
                    break;
                }
                kept.store(next, Ordering::SeqCst);
                cache.revoke(&[id]);
                revoked.store(next, Ordering::SeqCst);
            }
            stop.store(true, Ordering::SeqCst);
        });
    }
}
