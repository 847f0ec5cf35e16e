//! What is refused is counted and said, and nothing secret is in the log, whatever its level.

use futures_util::{SinkExt as _, StreamExt as _};
use presently_testkit::process::{Place, Server};
use presently_testkit::{PASSWORD, client};
use serde_json::{Value, json};
use tokio_tungstenite::tungstenite::Message;

/// The value of a counter at `/metrics`; all its labels together.
async fn counted(server: &Server, name: &str) -> u64 {
    let (_, text) = server.get("/metrics", "").await;
    let text = text.as_str().unwrap();
    let samples = text.lines().filter(|line| line.starts_with(name)).map(|line| line.rsplit_once(' ').unwrap().1);
    let values: Vec<u64> = samples.map(|value| value.parse().unwrap()).collect();
    assert!(!values.is_empty(), "{name} is exported");
    values.iter().sum()
}

#[tokio::test]
async fn each_refusal_moves_its_counter_and_leaves_a_line() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let mut server = place.serve(&[]).await;
    let (id, _) = server.login("boss").await;
    let names = ["presently_logins_refused_total", "presently_tokens_refused_total", "presently_keys_refused_total"];
    for name in names {
        assert_eq!(counted(&server, name).await, 0, "{name}");
    }
    let typed = "hunter2-typed-into-the-wrong-field";
    assert_eq!(server.try_login("boss", "wrong password").await.0, 401);
    assert_eq!(server.try_login(typed, "wrong password").await.0, 401);
    let invented = format!("presently_{}", "A".repeat(49));
    for (path, credential, body) in [
        ("/api/presence/query", "no.good.token", json!({"users": []})),
        ("/api/auth/verify/", "", json!({"token": "no.good.token"})),
        ("/api/auth/refresh/", "", json!({"refresh": "no.good.token"})),
        ("/api/presence/query", invented.as_str(), json!({"users": []})),
    ] {
        assert_eq!(server.post(path, credential, body).await.0, 401, "{path}");
    }
    assert_eq!(counted(&server, names[0]).await, 2);
    assert_eq!(counted(&server, names[1]).await, 3);
    assert_eq!(counted(&server, names[2]).await, 1);
    while server.try_login("boss", "wrong password").await.0 == 401 {}
    assert_eq!(counted(&server, "presently_logins_refused_total{reason=\"too_many_attempts\"}").await, 1);
    assert_eq!(counted(&server, "presently_too_many_requests_total").await, 1);
    server.stop().await;
    let logged = server.stdout();
    let has = |all: &[&str]| logged.lines().any(|line| all.iter().all(|text| line.contains(text)));
    assert!(has(&["login failed", "wrong password", &format!("account={id}")]), "{logged}");
    assert!(has(&["login failed", "unknown name"]), "{logged}");
    for line in ["token refused", "API key refused", "too many requests"] {
        assert!(has(&[line]), "{line}: {logged}");
    }
    for secret in [typed, "127.0.0.1:", "no.good.token", &invented] {
        let lines = logged.lines().filter(|line| line.contains("refused") || line.contains("failed"));
        assert!(lines.clone().all(|line| !line.contains(secret)), "{secret}: {logged}");
    }
}

/// The value of a cookie that was set.
fn cookie(response: &reqwest::Response, name: &str) -> String {
    let values = response.headers().get_all("set-cookie").iter().map(|value| value.to_str().unwrap());
    let pairs = values.filter_map(|value| value.split(';').next().unwrap().split_once('='));
    pairs.into_iter().find(|(key, _)| key.ends_with(name)).unwrap().1.to_owned()
}

#[tokio::test]
async fn nothing_secret_is_logged_whatever_is_done_and_however_much_is_logged() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let mut server = place.serve_in(("PRESENTLY_LOG", "trace"), &["--registration", "open"]).await;
    let mut secrets: Vec<String> = vec![PASSWORD.to_owned(), "$argon2".to_owned()];
    let secret_key = std::fs::read_to_string(place.data().join("secret-key")).unwrap();
    secrets.push(secret_key.trim().to_owned());
    let mut keep = |value: &Value| {
        let text = value.as_str().unwrap_or_else(|| panic!("{value} is text")).to_owned();
        secrets.push(text.clone());
        text
    };
    let (_, told) = server.try_login("boss", PASSWORD).await;
    let (access, refresh) = (keep(&told["tokens"]["access"]), keep(&told["tokens"]["refresh"]));
    for wrong in ["a wrong password", "another wrong password"] {
        server.try_login("boss", &keep(&json!(wrong))).await;
    }
    server.try_login(&keep(&json!("a password typed as a name")), "a wrong password").await;
    server.beat(&access).await;

    // Accounts, and passwords of others.
    let made = keep(&json!("the password of somebody new"));
    let body = json!({"username": "new", "password": made, "email": "new@example.org"});
    assert_eq!(server.post("/api/users/admin/users/", &access, body).await.0, 201);
    let own = keep(&json!("the password of who registered"));
    let body = json!({"username": "walk-in", "password": own});
    let (status, told) = server.post("/api/auth/register/", "", body).await;
    assert_eq!(status, 201, "{told}");
    keep(&told["tokens"]["access"]);
    let refused = json!({"username": "boss", "password": keep(&json!("a password that goes nowhere"))});
    server.post("/api/auth/register/", "", refused).await;
    server.post("/api/auth/login/", "", json!({"username": 5, "password": made})).await;

    // Keys, good and invented.
    let (status, told) = server.post("/api/users/admin/api-keys/", &access, json!({"name": "billing"})).await;
    assert_eq!(status, 201, "{told}");
    let key = keep(&told["key"]);
    let invented = keep(&json!(format!("presently_{}", "Z".repeat(49))));
    for key in [&key, &invented] {
        server.post("/api/presence/query", key, json!({"users": ["1"]})).await;
        server.post("/api/presence/touch", key, json!({"users": [{"user_id": "1"}]})).await;
    }

    // Tickets, streams and sockets.
    let address = server.address().to_owned();
    let http = client().no_proxy().build().unwrap();
    let mut tickets = Vec::new();
    for _ in 0..3 {
        let (_, told) = server.post("/api/presence/tickets", &access, json!({})).await;
        tickets.push(keep(&told["ticket"]));
    }
    let events = format!("http://{address}/api/presence/events?users=1&ticket=");
    drop(http.get(format!("{events}{}", tickets[0])).send().await.unwrap());
    assert_eq!(http.get(format!("{events}{}", tickets[0])).send().await.unwrap().status(), 401, "used");
    for request in
        [format!("ws://{address}/api/presence/ws?ticket={}", tickets[1]), format!("ws://{address}/api/presence/ws")]
    {
        let (mut socket, _) = tokio_tungstenite::connect_async(request).await.unwrap();
        let auth = json!({"type": "auth", "token": access}).to_string();
        socket.send(Message::text(auth)).await.unwrap();
        let _ = socket.next().await;
        let _ = socket.close(None).await;
    }
    let (mut socket, _) = tokio_tungstenite::connect_async(format!("ws://{address}/api/presence/ws")).await.unwrap();
    socket.send(Message::text(json!({"type": "auth", "token": invented}).to_string())).await.unwrap();
    let _ = socket.next().await;

    // Cookies of the panel.
    let panel = |method: reqwest::Method, path: &str| {
        http.request(method, format!("http://{address}{path}")).header("x-presently-panel", "1")
    };
    let sign_in =
        panel(reqwest::Method::POST, "/admin/session").json(&json!({"username": "boss", "password": PASSWORD}));
    let signed_in = sign_in.send().await.unwrap();
    assert_eq!(signed_in.status(), 200);
    let (session, renewal) = (cookie(&signed_in, "presently_session"), cookie(&signed_in, "presently_refresh"));
    let cookies = format!("presently_session={session}; presently_refresh={renewal}");
    secrets.extend([session, renewal]);
    for (method, path) in [
        (reqwest::Method::GET, "/api/auth/profile/"),
        (reqwest::Method::POST, "/admin/session/refresh"),
        (reqwest::Method::DELETE, "/admin/session"),
    ] {
        panel(method, path).header("cookie", &cookies).send().await.unwrap();
    }
    panel(reqwest::Method::GET, "/api/auth/profile/").header("x-api-key", &key).send().await.unwrap();

    // The end of tokens.
    for path in ["/api/auth/verify/", "/api/auth/verify/"] {
        server.post(path, "", json!({"token": access})).await;
    }
    let (_, told) = server.post("/api/auth/refresh/", "", json!({"refresh": refresh})).await;
    secrets.extend(["access", "refresh"].map(|kind| told[kind].as_str().unwrap().to_owned()));
    server.post("/api/auth/refresh/", "", json!({"refresh": refresh})).await;
    server.post("/api/auth/logout/", &access, json!({"refresh_token": refresh})).await;
    server.stop().await;
    let logged = server.stdout();
    assert!(logged.contains("TRACE"), "everything is logged");
    for secret in &secrets {
        let line = logged.lines().find(|line| line.contains(secret.as_str()));
        assert!(line.is_none(), "{secret} is logged: {line:?}");
    }
}
