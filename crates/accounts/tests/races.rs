//! **Once a call that takes rights away has returned, nobody has them, and who had them is noticed.** Hammered with a store whose
//! answers arrive late, so that old readings and revocations cross.

mod common;

use std::sync::atomic::{AtomicBool, AtomicU64, Ordering::SeqCst};
use std::sync::{Arc, OnceLock};

use common::hooked::{Call, Hooked};
use common::*;
use presently_accounts::store::CredentialSession;
use presently_accounts::{AccountId, AccountStatus, Accounts, Caller, Changes, RefreshTokens, Role};
use serde_json::json;

const ROUNDS: u64 = 40;
const READERS: usize = 3;
const READ_AFTERWARDS: u64 = 4;

/// Pseudo-random numbers, so that a round waits otherwise than the one before.
fn next(state: &AtomicU64) -> u64 {
    let mut x = state.fetch_add(0x9e37_79b9_7f4a_7c15, SeqCst);
    x = (x ^ (x >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    (x ^ (x >> 27)) >> 33
}

async fn dawdle(turns: u64) {
    for _ in 0..turns {
        tokio::task::yield_now().await;
    }
}

/// A service whose store reads at once and answers late.
fn service_with_late_answers() -> Accounts {
    let random = Arc::new(AtomicU64::new(7));
    service_over(Arc::new(Hooked::new(move |call, _| {
        let is_reading = matches!(call, Call::After("account" | "session" | "accounts"));
        let turns = if is_reading { next(&random) % 6 } else { 0 };
        Box::pin(async move {
            dawdle(turns).await;
            Ok(())
        })
    })))
}

#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Takes {
    Logout,
    LogoutOfForeign,
    EndSessions,
    EndSessionsOfForeign,
    Suspension,
    Deactivation,
    Erasure,
    Role,
    SecondUse,
    AnotherProcess,
}

/// Whether the caller still has what was taken away.
fn has_it(takes: Takes, caller: &Caller) -> bool {
    takes != Takes::Role || caller.admission.is_admin
}

async fn take_away(takes: Takes, accounts: &Accounts, caller: &Caller, refresh: &str) {
    let (id, now) = (caller.account, at(10));
    let change = async |changes| drop(accounts.update(id, changes, now, None).await.expect("it is changed"));
    match takes {
        Takes::Logout | Takes::LogoutOfForeign => drop(accounts.logout(caller, None, now).await.expect("it is ended")),
        Takes::EndSessions | Takes::EndSessionsOfForeign => {
            accounts.end_sessions(id, now, None).await.expect("they are ended");
        }
        Takes::Suspension => change(status(AccountStatus::Suspended)).await,
        Takes::Deactivation => change(is_active(false)).await,
        Takes::Erasure => accounts.delete(id, now, None).await.expect("it is erased"),
        Takes::Role => change(Changes { role: Some(Role::User), ..Changes::default() }).await,
        Takes::SecondUse => drop(accounts.refresh(refresh, now).await.expect_err("it was used")),
        Takes::AnotherProcess => {
            let changes = Changes { end_sessions: true, ..status(AccountStatus::Suspended) };
            accounts.store().update(id, &changes, now, None).await.expect("it is changed");
            accounts.follow_changes().await.expect("the store answers");
        }
    }
}

/// An access token and a refresh token of a session that was opened in the store alone: nothing is cached yet.
async fn tokens(takes: Takes, accounts: &Accounts, id: AccountId, round: u64) -> (String, String) {
    let sid = format!("session-{round}");
    if matches!(takes, Takes::LogoutOfForeign | Takes::EndSessionsOfForeign) {
        return (foreign(id, &sid, 1), String::new());
    }
    let row = CredentialSession {
        id: sid.clone(),
        account: id,
        refresh: RefreshTokens::one("good"),
        address: String::new(),
        device: String::new(),
        created_at: at(0),
        refreshed_at: at(0),
        expires_at: at(WEEK),
        ended_at: None,
        ended_by_admin: false,
    };
    assert_eq!(accounts.store().open_session(&row).await, Ok(true));
    let token = |kind, jti| {
        let claims =
            json!({"token_type": kind, "exp": START + HOUR, "iat": START, "jti": jti, "user_id": id.0, "sid": sid});
        signed(&claims)
    };
    (token("access", "a"), token("refresh", "used"))
}

/// What the readers of a round have in common.
#[derive(Default)]
struct Round {
    is_taken: AtomicBool,
    admitted: AtomicU64,
}

/// Authenticates until it was taken away, and then a few times more.
async fn read(takes: Takes, accounts: Accounts, token: String, round: Arc<Round>) {
    let mut afterwards = 0;
    while afterwards < READ_AFTERWARDS {
        let taken_before = round.is_taken.load(SeqCst);
        afterwards += u64::from(taken_before);
        let answer = match accounts.authenticate_cached(&token, at(5)) {
            Some(answer) => answer,
            None => accounts.authenticate(&token, at(5)).await,
        };
        if let Ok(caller) = answer
            && has_it(takes, &caller)
        {
            assert!(!taken_before, "{takes:?}: admitted after it was taken away");
            dawdle(round.admitted.fetch_add(1, SeqCst) % 3).await;
            if round.is_taken.load(SeqCst) {
                assert!(!accounts.still_admits(caller.as_of), "{takes:?}: acted after it was taken away, unnoticed");
            }
        }
        tokio::task::yield_now().await;
    }
}

/// Alice, an admin who is present, and her tokens; in every other round nothing of her is cached.
async fn alice(takes: Takes, accounts: &Accounts, round: u64) -> (Caller, String, String) {
    let alice = account(accounts, &format!("alice{round}")).await.id;
    let admin = Changes { role: Some(Role::Admin), ..Changes::default() };
    // There is another one: the last admin stays one.
    let boss = account(accounts, &format!("boss{round}")).await.id;
    for id in [alice, boss] {
        accounts.store().update(id, &admin, at(0), None).await.expect("it is changed");
    }
    accounts.follow_changes().await.expect("the store answers");
    let (access, refresh) = tokens(takes, accounts, alice, round).await;
    let caller = accounts.authenticate(&access, at(4)).await.expect("it admits");
    if round.is_multiple_of(2) {
        accounts.store().update(alice, &Changes::default(), at(0), None).await.expect("it is changed");
        accounts.follow_changes().await.expect("the store answers");
    }
    (caller, access, refresh)
}

async fn hammer(takes: Takes) {
    let accounts = service_with_late_answers();
    accounts.follow_changes().await.expect("the store answers");
    let random = AtomicU64::new(11);
    for number in 0..ROUNDS {
        let (caller, access, refresh) = alice(takes, &accounts, number).await;
        let round = Arc::new(Round::default());
        let readers: Vec<_> =
            (0..READERS).map(|_| tokio::spawn(read(takes, accounts.clone(), access.clone(), round.clone()))).collect();
        let admitted = next(&random) % 8;
        while round.admitted.load(SeqCst) < admitted {
            tokio::task::yield_now().await;
        }
        take_away(takes, &accounts, &caller, &refresh).await;
        round.is_taken.store(true, SeqCst);
        for reader in readers {
            reader.await.expect("the promise is kept");
        }
    }
}

/// An authentication asks the store; between the answer and its arrival it is taken away, all of it. What comes of that is noticed,
/// and is not found by the next.
async fn cross(takes: Takes, reading: &'static str) {
    let service: Arc<OnceLock<(Accounts, Caller, String)>> = Arc::new(OnceLock::new());
    let (armed, crossed) = (Arc::new(AtomicBool::new(false)), Arc::new(AtomicBool::new(false)));
    let store = {
        let (service, armed, crossed) = (service.clone(), armed.clone(), crossed.clone());
        Hooked::new(move |call, _| {
            let now = call == Call::After(reading) && armed.swap(false, SeqCst);
            let (service, crossed) = (service.clone(), crossed.clone());
            Box::pin(async move {
                if now {
                    let (accounts, caller, refresh) = service.get().expect("it is there");
                    take_away(takes, accounts, caller, refresh).await;
                    crossed.store(true, SeqCst);
                }
                Ok(())
            })
        })
    };
    let accounts = service_over(Arc::new(store));
    accounts.follow_changes().await.expect("the store answers");
    let (caller, access, refresh) = alice(takes, &accounts, 0).await;
    assert!(service.set((accounts.clone(), caller, refresh)).is_ok());
    armed.store(true, SeqCst);
    let answer = accounts.authenticate(&access, at(5)).await;
    assert!(crossed.load(SeqCst), "{takes:?} crosses the reading of the {reading}");
    if let Ok(caller) = answer {
        assert!(!has_it(takes, &caller) || !accounts.still_admits(caller.as_of), "{takes:?}, {reading}: unnoticed");
    }
    for _ in 0..2 {
        let answer = match accounts.authenticate_cached(&access, at(6)) {
            Some(answer) => answer,
            None => accounts.authenticate(&access, at(6)).await,
        };
        assert!(!answer.is_ok_and(|caller| has_it(takes, &caller)), "{takes:?}, {reading}: the old reading was kept");
    }
}

macro_rules! hammered {
    ($($name:ident: $takes:ident;)*) => {
        $(
            #[tokio::test(flavor = "multi_thread", worker_threads = 4)]
            async fn $name() {
                cross(Takes::$takes, "account").await;
                cross(Takes::$takes, "session").await;
                hammer(Takes::$takes).await;
            }
        )*
    };
}

hammered! {
    a_logout_is_never_outlived: Logout;
    a_logout_of_a_foreign_token_is_never_outlived: LogoutOfForeign;
    the_end_of_all_sessions_is_never_outlived: EndSessions;
    the_end_of_all_sessions_is_never_outlived_by_foreign_tokens: EndSessionsOfForeign;
    a_suspension_is_never_outlived: Suspension;
    a_deactivation_is_never_outlived: Deactivation;
    an_erasure_is_never_outlived: Erasure;
    a_loss_of_a_role_is_never_outlived: Role;
    a_second_use_of_a_refresh_token_is_never_outlived: SecondUse;
    a_change_by_another_process_is_never_outlived: AnotherProcess;
}
