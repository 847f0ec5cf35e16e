//! A database of before usernames had looks.

use presently_accounts::store::AccountStore;
use presently_accounts::{AccountStatus, NewAccount, PasswordHash, Role, StoreError};
use presently_sql::{OpenOptions, SqliteStores};
use sqlx::Connection as _;

fn draft(username: &str) -> NewAccount {
    NewAccount {
        username: username.to_owned(),
        email: String::new(),
        password: PasswordHash("!".to_owned()),
        first_name: String::new(),
        last_name: String::new(),
        role: Role::User,
        status: AccountStatus::Active,
        is_staff: false,
        email_verified: false,
        is_approved: true,
    }
}

#[tokio::test]
async fn older_accounts_keep_their_names_and_no_new_one_looks_like_theirs() {
    let folder = tempfile::tempdir().expect("a folder");
    let path = folder.path().join("presently.db");
    let open = || SqliteStores::open(path.clone(), OpenOptions::default());
    let stores = open().await.expect("it opens");
    let now = jiff::Timestamp::UNIX_EPOCH;
    for name in ["paypal", "carol", "bob"] {
        stores.insert(&draft(name), now, None).await.expect("it is made");
    }
    stores.close().await;
    let mut before = sqlx::SqliteConnection::connect(&format!("sqlite:{}", path.display())).await.expect("it opens");
    let to_before = "DROP INDEX users_username_look; DROP INDEX users_old_hashes; \
         ALTER TABLE users DROP COLUMN username_look; \
         UPDATE users SET username = 'paypa1', username_key = 'paypa1' WHERE username = 'carol'; PRAGMA user_version = 4";
    sqlx::raw_sql(to_before).execute(&mut before).await.expect("it is as before");
    before.close().await.expect("it closes");

    let stores = open().await.expect("it is migrated");
    for name in ["paypal", "paypa1", "bob"] {
        assert!(stores.account_named(name).await.expect("it answers").is_some(), "{name}");
    }
    for name in ["paypaI", "b0b"] {
        assert_eq!(stores.insert(&draft(name), now, None).await, Err(StoreError::UsernameTaken), "{name}");
    }
    stores.insert(&draft("rob"), now, None).await.expect("it looks like nobody");
    stores.close().await;
}
