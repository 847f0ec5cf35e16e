//! Encrypted, as far as the address says.

use presently::store::Store as _;
use presently_sql::PostgresStores;
use presently_sql::postgres::{OpenError, OpenOptions};
use presently_testkit::Postgres;
use sqlx::Row as _;

use super::{open, other_program};

#[tokio::test]
async fn verify_full_takes_the_right_authority_and_name_and_no_other() {
    let server = Postgres::start_with_tls();
    let address = server.database();
    let by_name = address.replace("127.0.0.1", "localhost");
    let authority = format!("sslrootcert={}", server.authority().display());

    let trusted = format!("{by_name}?sslmode=verify-full&{authority}");
    let stores = open(&trusted).await;
    stores.probe().await.expect("it can be written");
    let encrypted = sqlx::query("SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()")
        .fetch_one(&mut other_program(&trusted).await)
        .await
        .expect("one row");
    assert!(encrypted.get::<bool, _>(0));

    for (why, url) in [
        ("the system does not know the authority", format!("{by_name}?sslmode=verify-full")),
        ("the certificate has another name", format!("{address}?sslmode=verify-full&{authority}")),
    ] {
        let refused = PostgresStores::open(&url, OpenOptions::default()).await.expect_err(why);
        assert!(matches!(&refused, OpenError::OutOfReach { .. }), "{why}: {refused}");
    }
    open(&format!("{address}?sslmode=verify-ca&{authority}")).await;
    open(&format!("{address}?sslmode=require")).await;
    open(&format!("{address}?sslmode=disable")).await;
}
