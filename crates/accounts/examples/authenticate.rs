//! What an authentication costs: `cargo run --release -p presently-accounts --example authenticate`.
#![expect(clippy::print_stdout, clippy::disallowed_methods, reason = "it measures, and says what it measured")]

use std::hint::black_box;
use std::sync::Arc;
use std::time::{Duration, Instant};

use jiff::Timestamp;
use jsonwebtoken::{EncodingKey, Header};
use presently_accounts::memory::MemoryStore;
use presently_accounts::store::{AccountStore, CredentialSession};
use presently_accounts::{AccountStatus, Accounts, NewAccount, PasswordHash, RefreshTokens, Role, SecretKey, Settings};
use serde_json::json;

const SECRET: &str = "a secret that nobody else knows of";
const USERS: u32 = 50_000;

fn report(what: &str, start: Instant, calls: u32) {
    println!("{what:<58} {:>7.0} ns", start.elapsed().as_secs_f64() * 1e9 / f64::from(calls));
}

#[tokio::main(flavor = "current_thread")]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let now: Timestamp = "2026-11-24T01:54:46Z".parse()?;
    let end = now + Duration::from_secs(3_600);
    let store = Arc::new(MemoryStore::new());
    let accounts = Accounts::new(store.clone(), Settings::new(SecretKey::new(SECRET)?));

    let mut tokens = [Vec::new(), Vec::new()];
    for n in 0..USERS {
        let new = NewAccount {
            username: format!("user{n}"),
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
        let account = store.insert(&new, now, None).await?.id;
        let session = CredentialSession {
            id: format!("session-id-of-22-{n:05}"),
            account,
            refresh: RefreshTokens::one("x"),
            address: String::new(),
            device: String::new(),
            created_at: now,
            refreshed_at: now,
            expires_at: end,
            ended_at: None,
            ended_by_admin: false,
        };
        store.open_session(&session).await?;
        for (turn, tokens) in tokens.iter_mut().enumerate() {
            let claims = json!({
                "token_type": "access", "exp": end.as_second(), "iat": now.as_second(),
                "jti": format!("token-id-of-22-{turn}-{n:05}"), "user_id": account.0, "sid": session.id,
            });
            let key = EncodingKey::from_secret(SECRET.as_bytes());
            tokens.push(jsonwebtoken::encode(&Header::default(), &claims, &key)?);
        }
    }
    let [first, second] = tokens;
    println!("{USERS} users, tokens of {} bytes", first[0].len());

    let start = Instant::now();
    for token in &first {
        black_box(accounts.authenticate(token, now).await?);
    }
    report("miss: signature, account and session from the store", start, USERS);

    let start = Instant::now();
    for token in &second {
        black_box(accounts.authenticate_cached(token, now).ok_or("a miss")??);
    }
    report("miss: signature; account and session known", start, USERS);

    // In a server the token has just arrived; here it comes from far memory, which is no part of an authentication.
    let start = Instant::now();
    for _ in 0..10 {
        for token in &first {
            black_box(token.bytes().fold(0_u8, |sum, byte| sum ^ byte));
        }
    }
    report("(of the next line: fetching another token each time)", start, 10 * USERS);

    let start = Instant::now();
    for _ in 0..10 {
        for token in &first {
            black_box(accounts.authenticate_cached(token, now).ok_or("a miss")??);
        }
    }
    report("hit, a different user each time", start, 10 * USERS);

    let start = Instant::now();
    for _ in 0..1_000_000 {
        black_box(accounts.authenticate_cached(black_box(&first[0]), now).ok_or("a miss")??);
    }
    report("hit, the same user", start, 1_000_000);

    let as_of = accounts.authenticate(&first[0], now).await?.as_of;
    let start = Instant::now();
    for _ in 0..10_000_000 {
        black_box(accounts.still_admits(black_box(as_of)));
    }
    report("still_admits", start, 10_000_000);

    let forged = format!("{}A", &first[0][..first[0].len() - 1]);
    let start = Instant::now();
    for _ in 0..100_000 {
        black_box(accounts.authenticate_cached(black_box(&forged), now));
    }
    report("a forged token", start, 100_000);
    Ok(())
}
