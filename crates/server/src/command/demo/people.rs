//! The made-up users and their past, written into an empty data folder before the server opens it. **None of them can
//! sign in**: their password hash is one that no password has. The admin alone has a password, and it is public.

use std::path::Path;
use std::sync::Arc;

use futures_util::stream::{self, StreamExt as _, TryStreamExt as _};
use jiff::Timestamp;
use presently::store::{Batch, Store};
use presently::{SessionRow, UserId};
use presently_accounts::store::{AccountStore, AuditEntry, CredentialSession};
use presently_accounts::{
    Account, AccountId, AccountStatus, Accounts, Draft, NewAccount, PasswordHash, RefreshTokens, Role, SecretKey,
    Settings as AccountSettings,
};
use presently_sql::{OpenOptions, SqliteStores};

use super::chance::Chance;
use super::names::{Name, device, names};
use super::past::{Past, past};
use crate::folder::random_text;
use crate::settings::Settings;

/// The demo's one admin, and the password that everybody may know.
pub(crate) const ADMIN: &str = "admin";
pub(crate) const ADMIN_PASSWORD: &str = "demo-demo-demo";
/// A password that nobody has.
const UNUSABLE: &str = "!made up for the demo";
/// Writes at once: the store makes one transaction of all that wait.
const WRITES_AT_ONCE: usize = 512;
/// Users whose past is one transaction.
const PASTS_AT_ONCE: usize = 100;
/// When the first made-up user joined, in hours.
const OLDEST_HOURS: i64 = 400 * 24;

type Error = Box<dyn std::error::Error + Send + Sync>;

/// One made-up user, as the demo moves them.
#[derive(Debug)]
pub(super) struct Person {
    pub(super) account: AccountId,
    pub(super) user: UserId,
    /// The login that they begin with.
    pub(super) login: Option<(Arc<str>, presently::Activity)>,
    pub(super) device: &'static str,
    pub(super) address: String,
}

/// Makes the database: an admin, so many users, and their day. `now` is wall time.
pub(super) async fn make(
    database: &Path,
    settings: &Settings,
    users: usize,
    now: presently::Timestamp,
    chance: &mut Chance,
) -> Result<Vec<Person>, Error> {
    let stores = SqliteStores::open(database, OpenOptions::default()).await?;
    let made = fill(&stores, settings, users, now, chance).await;
    stores.close().await;
    made
}

async fn fill(
    stores: &SqliteStores,
    settings: &Settings,
    users: usize,
    now: presently::Timestamp,
    chance: &mut Chance,
) -> Result<Vec<Person>, Error> {
    let moment = Timestamp::from_microsecond(now.0)?;
    let admin = admin(stores, moment).await?;
    let accounts = accounts(stores, &names(chance, users), moment).await?;
    for account in &accounts {
        note(stores, &admin, account, moment).await?;
    }
    let policy = settings.policy()?;
    let (mut people, mut logins) = (Vec::with_capacity(users), Vec::new());
    for accounts in accounts.chunks(PASTS_AT_ONCE) {
        let mut batch = Batch::default();
        for account in accounts {
            let user: UserId = account.id.to_string().into();
            let (device, address) = device(chance);
            let mut person =
                Person { account: account.id, user: user.clone(), login: None, device, address: address.clone() };
            if account.status != AccountStatus::Pending {
                let Past { transitions, presence, present } =
                    past(&user, account.may_be_present(), now, policy, chance);
                if let Some((since, activity)) = present {
                    let session = random_text::<16>()?;
                    batch.sessions.push(SessionRow {
                        number: u64::try_from(account.id.0)?,
                        user,
                        session: session.as_str().into(),
                        activity,
                        opened_at: since,
                        last_evidence: presence.last_seen.unwrap_or(since),
                    });
                    person.login = Some((session.as_str().into(), activity));
                    let since = Timestamp::from_microsecond(since.0)?;
                    logins.push(login(account.id, session, device, address, since, settings));
                }
                batch.transitions.extend(transitions);
                batch.presences.push(presence);
            }
            if account.may_be_present() {
                people.push(person);
            }
        }
        stores.commit(&batch).await?;
    }
    let opened = stream::iter(&logins).map(|login| stores.open_session(login)).buffered(WRITES_AT_ONCE);
    opened.try_for_each(|_| async { Ok(()) }).await?;
    Ok(people)
}

/// The credentials of a login, as if its tokens had been issued then.
pub(super) fn login(
    account: AccountId,
    id: String,
    device: &str,
    address: String,
    since: Timestamp,
    settings: &Settings,
) -> CredentialSession {
    CredentialSession {
        // Nobody has the token of this number.
        refresh: RefreshTokens::one(format!("demo-{id}")),
        id,
        account,
        address,
        device: device.to_owned(),
        created_at: since,
        refreshed_at: since,
        expires_at: since.saturating_add(settings.refresh_token_lifetime).unwrap_or(Timestamp::MAX),
        ended_at: None,
        ended_by_admin: false,
    }
}

async fn admin(stores: &SqliteStores, now: Timestamp) -> Result<Account, Error> {
    let store: Arc<dyn AccountStore> = Arc::new(stores.clone());
    // No token is made here: any key does.
    let accounts = Accounts::new(store, AccountSettings::new(SecretKey::random()));
    let draft = Draft {
        username: ADMIN.to_owned(),
        email: format!("{ADMIN}@example.com"),
        password: ADMIN_PASSWORD.to_owned(),
        first_name: "Demo".to_owned(),
        last_name: "Admin".to_owned(),
        role: Role::Admin,
        is_staff: true,
        ..Draft::default()
    };
    Ok(accounts.create(draft, now, None).await?)
}

/// A few who moderate, wait, were suspended or were banned, so that there is something of everything.
const fn standing(place: usize) -> (Role, AccountStatus) {
    match place {
        place if place % 60 == 5 => (Role::Moderator, AccountStatus::Active),
        place if place % 75 == 74 => (Role::User, AccountStatus::Pending),
        place if place % 75 == 37 => (Role::User, AccountStatus::Suspended),
        place if place % 100 == 50 => (Role::User, AccountStatus::Banned),
        _ => (Role::User, AccountStatus::Active),
    }
}

async fn accounts(stores: &SqliteStores, names: &[Name], now: Timestamp) -> Result<Vec<Account>, Error> {
    let count = i64::try_from(names.len())?.max(1);
    let made = names.iter().zip(0_i64..).map(|(name, place)| {
        let (role, status) = standing(usize::try_from(place).unwrap_or_default());
        let joined = now - jiff::SignedDuration::from_hours(48 + (OLDEST_HOURS - 48) * (count - place) / count);
        let account = NewAccount {
            username: name.username.clone(),
            email: name.email.clone(),
            password: PasswordHash(UNUSABLE.to_owned()),
            first_name: name.first.to_owned(),
            last_name: name.last.to_owned(),
            role,
            status,
            is_staff: false,
            email_verified: status != AccountStatus::Pending,
            is_approved: status != AccountStatus::Pending,
        };
        async move { stores.insert(&account, joined, None).await }
    });
    Ok(stream::iter(made).buffered(WRITES_AT_ONCE).try_collect().await?)
}

/// The line of the audit log that belongs to this account's state.
async fn note(stores: &SqliteStores, admin: &Account, account: &Account, now: Timestamp) -> Result<(), Error> {
    let action = match account.status {
        AccountStatus::Active | AccountStatus::Pending => return Ok(()),
        AccountStatus::Suspended => "suspend",
        AccountStatus::Banned => "ban",
    };
    let entry = AuditEntry {
        actor: Some(admin.id),
        action: action.to_owned(),
        target: Some(account.id),
        detail: "Made up for the demo.".to_owned(),
        at: now - jiff::SignedDuration::from_hours(25),
    };
    Ok(stores.audit(&entry).await?)
}
