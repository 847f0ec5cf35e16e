//! Opening a database.

use std::time::Duration;

use presently::store::Store as _;
use presently_accounts::store::AccountStore as _;
use presently_accounts::{Changes, StoreError};
use presently_sql::PostgresStores;
use presently_sql::postgres::{OpenError, OpenOptions, name_of};
use presently_testkit::Postgres;
use sqlx::Executor as _;
use tokio::task::JoinSet;
use tokio::time::Instant;

use super::{account, now, open, other_program};

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn eight_nodes_that_start_at_once_make_one_schema_and_one_secret() {
    let url = Postgres::shared().database();
    let mut starting = JoinSet::new();
    for node in 0..8 {
        let url = url.clone();
        starting.spawn(async move {
            let options = OpenOptions { connections_max: 2, ..OpenOptions::default() };
            let stores = PostgresStores::open(&url, options).await.expect("the database opens");
            stores.probe().await.expect("it can be written");
            stores.secret("secret-key", &format!("secret of {node}")).await.expect("a secret")
        });
    }
    let secrets = starting.join_all().await;
    assert!(secrets.iter().all(|secret| secret == &secrets[0]), "{secrets:?}");
    let made: i64 = sqlx::query_scalar("SELECT count(*) FROM presently_schema")
        .fetch_one(&mut other_program(&url).await)
        .await
        .expect("one row");
    assert_eq!(made, 6, "each migration, made once");
}

#[tokio::test]
async fn a_database_of_another_program_is_left_alone() {
    let url = Postgres::shared().database();
    other_program(&url).await.execute("CREATE TABLE users (id INT)").await.expect("a table");
    let refused = PostgresStores::open(&url, OpenOptions::default()).await.expect_err("refused");
    assert!(matches!(&refused, OpenError::NotADatabase { why, .. } if why.contains("users")), "{refused}");
}

#[tokio::test]
async fn a_database_of_a_newer_version_is_left_alone() {
    let url = Postgres::shared().database();
    open(&url).await.close().await;
    let newer = "INSERT INTO presently_schema (version) VALUES (99)";
    other_program(&url).await.execute(newer).await.expect("a row");
    let refused = PostgresStores::open(&url, OpenOptions::default()).await.expect_err("refused");
    assert!(matches!(refused, OpenError::TooNew { found: 99, known: 7, .. }), "{refused}");
}

#[tokio::test]
async fn older_accounts_keep_their_names_and_no_new_one_looks_like_theirs() {
    let url = Postgres::shared().database();
    let mut before = other_program(&url).await;
    for migration in [
        "CREATE TABLE presently_schema (version BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT now())",
        include_str!("../../migrations/postgres/0001_first.sql"),
        include_str!("../../migrations/postgres/0002_tickets.sql"),
        include_str!("../../migrations/postgres/0003_sessions_of_all.sql"),
        "INSERT INTO presently_schema (version) VALUES (1), (2), (3)",
        "INSERT INTO users (username, username_key, email, password_hash, first_name, last_name, bio, role, status, \
             is_active, is_staff, email_verified, is_approved, created_at, updated_at, search_key) \
         SELECT name, name, '', '!', '', '', '', 'user', 'active', TRUE, FALSE, FALSE, TRUE, 0, 0, name \
         FROM (VALUES ('paypal'), ('paypa1'), ('bob')) AS old (name)",
    ] {
        sqlx::raw_sql(migration).execute(&mut before).await.expect("as the program before wrote it");
    }
    let stores = open(&url).await;
    for name in ["paypal", "paypa1", "bob"] {
        assert!(stores.account_named(name).await.expect("it answers").is_some(), "{name}");
    }
    let looks = "SELECT username FROM users WHERE username_look IS NOT NULL ORDER BY id";
    let looks: Vec<String> = sqlx::query_scalar(looks).fetch_all(&mut before).await.expect("rows");
    assert_eq!(looks, ["paypal", "bob"], "of those that look alike the oldest has it");
}

#[tokio::test]
async fn of_accounts_with_one_address_from_before_the_oldest_has_it() {
    let url = Postgres::shared().database();
    let mut before = other_program(&url).await;
    for migration in [
        "CREATE TABLE presently_schema (version BIGINT PRIMARY KEY, at TIMESTAMPTZ NOT NULL DEFAULT now())",
        include_str!("../../migrations/postgres/0001_first.sql"),
        include_str!("../../migrations/postgres/0002_tickets.sql"),
        include_str!("../../migrations/postgres/0003_sessions_of_all.sql"),
        "INSERT INTO presently_schema (version) VALUES (1), (2), (3)",
        r"INSERT INTO users (username, username_key, email, password_hash, first_name, last_name, bio, role, status,
              is_active, is_staff, email_verified, is_approved, created_at, updated_at, search_key)
          SELECT name, name, email, '$', '', '', '', 'user', 'active', TRUE, FALSE, FALSE, TRUE, 0, 0,
              name || E'\n' || key || E'\n\n'
          FROM (VALUES ('a', 'Büro@example.org', 'büro@example.org'), ('b', 'BÜRO@EXAMPLE.ORG', 'büro@example.org'),
              ('c', '', ''), ('d', '', '')) AS old (name, email, key)",
    ] {
        sqlx::raw_sql(migration).execute(&mut before).await.expect("as the program before wrote it");
    }
    let stores = open(&url).await;
    let named = async |name| stores.account_named(name).await.expect("it answers").expect("it is there");
    let (first, second, third) = (named("a").await, named("b").await, named("c").await);
    let to = |email: &str| Changes { email: Some(email.to_owned()), bio: Some("x".to_owned()), ..Changes::default() };
    let refused = stores.update(third.id, &to("bÜro@example.org"), now(), None).await;
    assert_eq!(refused, Err(StoreError::EmailTaken));
    let kept = stores.update(second.id, &to("BÜRO@EXAMPLE.ORG"), now(), None).await.expect("it stays as it was");
    assert_eq!((kept.email, kept.bio), (second.email, "x".to_owned()));
    stores.update(second.id, &to(""), now(), None).await.expect("it is given up");
    assert_eq!(stores.update(second.id, &to(&first.email), now(), None).await, Err(StoreError::EmailTaken));
}

#[tokio::test]
async fn what_waiting_does_not_mend_is_refused_at_once_and_no_sentence_has_the_password() {
    let server = Postgres::shared();
    let url = server.database();
    let began = Instant::now();
    let wrong = [
        url.replace(server.password(), "wrong"),
        url.replace("/d", "/no-such-database"),
        format!("{url}?sslmode=sideways"),
        format!("{url}?pasword={}", server.password()),
        format!("{url}?sslmode=require"),
        format!("mysql://x:{}@localhost/x", server.password()),
    ];
    for wrong in wrong {
        let refused = PostgresStores::open(&wrong, OpenOptions::default()).await.expect_err("refused");
        let told = format!("{refused} {refused:?}");
        assert!(!told.contains(server.password()) && !told.contains("wrong"), "{told}");
    }
    assert!(began.elapsed() < Duration::from_secs(5), "it took {:?}", began.elapsed());
    assert_eq!(
        name_of(&url).expect("an address"),
        format!("127.0.0.1:{}/{}", server.port(), url.rsplit('/').next().unwrap_or(""))
    );
}

#[tokio::test]
async fn a_server_that_is_not_there_is_waited_for_as_long_as_chosen() {
    let options = OpenOptions { start_timeout: Duration::from_millis(300), ..OpenOptions::default() };
    let began = Instant::now();
    let refused = PostgresStores::open("postgres://x@127.0.0.1:1/x", options).await.expect_err("refused");
    assert!(matches!(refused, OpenError::OutOfReach { .. }), "{refused}");
    assert!(began.elapsed() >= Duration::from_millis(300) && began.elapsed() < Duration::from_secs(5));
}

#[tokio::test]
async fn a_socket_will_do() {
    let stores = open(&Postgres::shared().database_by_socket()).await;
    stores.insert(&account("Ada"), now(), None).await.expect("inserts");
    assert!(stores.account_named("ADA").await.expect("answers").is_some());
}
