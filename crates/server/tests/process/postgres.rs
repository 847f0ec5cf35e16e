//! The program on PostgreSQL: the same commands, and a database that goes away.

use presently_testkit::Postgres;
use serde_json::{Value, json};
use tokio::task::block_in_place;
use tokio::time::sleep;

use crate::harness::{PASSWORD, Place, client, eventually, ms};

#[tokio::test]
async fn servers_and_commands_on_one_database_share_the_secret_and_need_no_folder() {
    let postgres = Postgres::shared();
    let url = postgres.database();
    let place = Place::on(url.clone());
    place.user("alice", &["--role", "admin"]).await;
    let mut server = place.serve(&[]).await;
    let (id, token) = server.login("alice").await;
    server.beat(&token).await;
    let key = place.run(&["key", "create", "billing"]).await;
    assert_eq!(key.code, Some(0), "{key:?}");
    let (status, told) =
        server.post("/api/presence/touch", key.stdout.trim(), json!({"users": [{"user_id": "x"}]})).await;
    assert_eq!((status, &told["accepted"]), (200, &json!(1)), "{told}");
    assert!(place.run(&["user", "list"]).await.succeeded().contains("alice"));
    assert!(!place.data().exists(), "no folder is made");
    let second = place.run(&["serve", "--listen", "127.0.0.1:0"]).await;
    assert_eq!((second.code, second.stderr.contains("another presently")), (Some(1), true), "{second:?}");
    assert!(server.end_by("TERM").await.success());
    let printed = server.stdout() + &server.stderr();
    assert!(printed.contains(&format!("127.0.0.1:{}", postgres.port())), "{printed}");
    assert!(!printed.contains(postgres.password()), "{printed}");

    let elsewhere = Place::on(url);
    let server = elsewhere.serve(&[]).await;
    assert_eq!(server.shown(&token, id).await.0, "online", "a token made by another server is good, and nobody left");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn while_the_database_is_down_logins_say_so_presence_goes_on_and_nothing_acknowledged_is_lost() {
    let postgres = Postgres::start(&[]);
    let place = Place::on(postgres.database());
    place.user("alice", &["--role", "admin"]).await;
    place.user("bob", &[]).await;
    place.user("carol", &[]).await;
    let mut server = place.serve(&["--inactivity-timeout", "20s", "--heartbeat-interval", "1s"]).await;
    let (_, alice) = server.login("alice").await;
    let (bob_id, bob) = server.login("bob").await;
    server.beat(&bob).await;

    block_in_place(|| postgres.stop());
    for _ in 0..20 {
        let told = server.beat(&bob).await;
        assert_eq!(told["online_status"], "online");
        let (status, told) = server.get(&format!("/api/presence/{bob_id}"), &alice).await;
        assert_eq!((status, &told["status"]), (200, &json!("online")), "{told}");
        sleep(ms(50)).await;
    }
    let http = client().no_proxy().build().unwrap();
    for path in ["/api/auth/login/", "/readyz"] {
        let login = json!({"username": "carol", "password": PASSWORD});
        let url = format!("http://{}{path}", server.address());
        let request = if path == "/readyz" { http.get(&url) } else { http.post(&url).json(&login) };
        let answer = request.send().await.unwrap();
        assert_eq!(answer.status(), 503, "{path}");
        assert!(answer.headers().contains_key("retry-after"), "{path}");
    }
    assert_eq!(server.get("/healthz", "").await.0, 200);

    block_in_place(|| postgres.start_again());
    eventually(ms(15_000), "carol can sign in", async || server.try_login("carol", PASSWORD).await.0 == 200).await;
    eventually(ms(15_000), "it is ready", async || server.get("/readyz", "").await.0 == 200).await;
    let seen = server.beat(&bob).await["last_seen"].clone();
    assert!(server.end_by("TERM").await.success());
    let printed = server.stdout() + &server.stderr();
    assert!(!printed.contains(postgres.password()), "{printed}");

    let server = place.serve(&["--inactivity-timeout", "20s", "--heartbeat-interval", "1s"]).await;
    let (status, last_seen) = server.shown(&alice, bob_id).await;
    assert_eq!((status.as_str(), last_seen.map(Value::from)), ("online", Some(seen)), "as it was acknowledged");
}

#[tokio::test]
async fn an_address_that_does_not_do_is_a_bad_setting() {
    let url = "postgres://x:y@localhost/z?sslmode=sideways";
    Place::new().run(&["serve", "--database-url", url]).await.misused();
}
