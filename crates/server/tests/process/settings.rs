//! Settings: flags first, then the environment, then the file; and those that are refused with exit code 2.

use std::fs;

use presently_testkit::process::{Place, Ran, Server};
use presently_testkit::{PASSWORD, eventually, ms};
use serde_json::{Value, json};

#[tokio::test]
async fn settings_that_contradict_each_other_are_refused() {
    for args in [
        &["--inactivity-timeout", "50s"][..],
        &["--inactivity-timeout", "30s", "--heartbeat-interval", "20s"],
        &["--heartbeat-interval", "61s"],
        &["--heartbeat-interval", "0s"],
        &["--inactivity-timeout", "0s", "--heartbeat-interval", "0s"],
        &["--inactivity-timeout", "100d"],
        &["--reconnect-grace", "200s"],
        &["--access-token-lifetime", "0s"],
        &["--access-token-lifetime", "30d"],
    ] {
        let ran = serve(args, &[]).await;
        ran.misused();
        assert_eq!(ran.stdout, "", "{args:?}");
    }
    let ran = serve(&["--inactivity-timeout", "50s"], &[]).await;
    let why = ran.misused();
    assert!(why.contains("inactivity_timeout") && why.contains("heartbeat_interval"), "{why}");
}

#[tokio::test]
async fn settings_that_are_none_are_refused() {
    for args in [
        &["--listen", "nonsense"][..],
        &["--listen", "127.0.0.1"],
        &["--listen", "127.0.0.1:99999"],
        &["--database-url", "mysql://x"],
        &["--database-url", ""],
        &["--secret-key", "short"],
        &["--secret-key", ""],
        &["--secret-key", "0123456789abcdef0123456789abcde"],
        &["--secret-key", "aaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaaa"],
        &["--inactivity-timeout", "soon"],
        &["--inactivity-timeout", "-5s"],
        &["--heartbeat-interval", ""],
        &["--registration", "maybe"],
        &["--cors-origins", "localhost"],
        &["--cors-origins", "http://a.example/path"],
        &["--trusted-proxies", "somewhere"],
        &["--trusted-proxies", "10.0.0.0/99"],
        &["--log-format", "xml"],
        &["--no-such-flag"],
        &["--config", "no-such-file.toml"],
        &["extra"],
    ] {
        serve(args, &[]).await.misused();
    }
    let place = Place::new();
    place.run(&["no-such-command"]).await.misused();
    place.run(&["user", "no-such-command"]).await.misused();
    place.run(&["user", "create"]).await.misused();
}

#[tokio::test]
async fn the_environment_is_held_to_the_same() {
    for (name, value) in [
        ("PRESENTLY_LISTEN", "nonsense"),
        ("PRESENTLY_DATABASE_URL", "mysql://x"),
        ("PRESENTLY_SECRET_KEY", "short"),
        ("PRESENTLY_INACTIVITY_TIMEOUT", "50s"),
        ("PRESENTLY_HEARTBEAT_INTERVAL", "100s"),
        ("PRESENTLY_RECONNECT_GRACE", "soon"),
        ("PRESENTLY_ACCESS_TOKEN_LIFETIME", "soon"),
        ("PRESENTLY_REGISTRATION", "maybe"),
        ("PRESENTLY_CORS_ORIGINS", "nowhere"),
        ("PRESENTLY_TRUSTED_PROXIES", "nobody"),
        ("PRESENTLY_LOG_FORMAT", "xml"),
    ] {
        let ran = serve(&[], &[(name, value)]).await;
        ran.misused();
    }
}

#[tokio::test]
async fn a_misspelt_variable_is_named_at_the_start_without_its_value() {
    let place = Place::new();
    let server = place.serve_in(("PRESENTLY_INACTIVTY_TIMEOUT", "no secret, but who knows"), &[]).await;
    let printed = server.stdout();
    let warning = printed.lines().find(|line| line.contains("WARN")).unwrap_or_else(|| panic!("{printed}"));
    assert!(warning.contains("PRESENTLY_INACTIVTY_TIMEOUT"), "{warning}");
    assert!(warning.contains("PRESENTLY_INACTIVITY_TIMEOUT"), "{warning}");
    assert!(!printed.contains("who knows"), "{printed}");
    drop(server);
    let server = place.serve_in(("PRESENTLY_LOG", "info"), &[]).await;
    assert!(!server.stdout().contains("WARN"), "{}", server.stdout());
}

#[tokio::test]
async fn a_file_is_held_to_the_same() {
    for file in [
        "inactivity_timeout = \"50s\"",
        "no_such_setting = 1",
        "listen = 5",
        "this is no TOML",
        "[section]\nlisten = \"127.0.0.1:0\"",
    ] {
        let place = Place::new();
        fs::write(place.path().join("presently.toml"), file).unwrap();
        place.run(&[]).await.misused();
    }
}

#[tokio::test]
async fn no_setting_prints_the_secret() {
    let secret = "short-but-secret";
    let place = Place::new();
    let mut command = place.command(&["serve", "--listen", "nonsense", "--secret-key", secret]);
    command.env("PRESENTLY_SECRET_KEY", secret);
    let ran = presently_testkit::process::finish(command, "").await;
    assert!(!ran.stderr.contains(secret), "{ran:?}");
    let mut command = place.command(&["serve", "--help"]);
    command.env("PRESENTLY_SECRET_KEY", secret);
    let ran = presently_testkit::process::finish(command, "").await;
    assert!(!ran.stdout.contains(secret), "{ran:?}");
}

#[tokio::test]
async fn flags_win_over_the_environment_and_that_over_the_file() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let lifetime = async |server: &Server| {
        let (_, token) = server.login("alice").await;
        let claims = claims(&token);
        claims["exp"].as_i64().unwrap() - claims["iat"].as_i64().unwrap()
    };
    let server = place.serve(&[]).await;
    assert_eq!(lifetime(&server).await, 3_600, "the default");
    drop(server);
    fs::write(place.path().join("presently.toml"), "access_token_lifetime = \"100s\"\n").unwrap();
    let server = place.serve(&[]).await;
    assert_eq!(lifetime(&server).await, 100, "the file");
    drop(server);
    let variable = ("PRESENTLY_ACCESS_TOKEN_LIFETIME", "200s");
    let server = place.serve_in(variable, &[]).await;
    assert_eq!(lifetime(&server).await, 200, "the environment");
    drop(server);
    let server = place.serve_in(variable, &["--access-token-lifetime", "5m"]).await;
    assert_eq!(lifetime(&server).await, 300, "the flag");
}

#[tokio::test]
async fn a_file_elsewhere_is_found_by_its_flag() {
    let place = Place::new();
    fs::create_dir(place.path().join("etc")).unwrap();
    let file = "registration = \"open\"\ncors_origins = [\"http://localhost:5173\"]\ndatabase_url = \"sqlite:elsewhere/p.db\"\n";
    fs::write(place.path().join("etc/p.toml"), file).unwrap();
    let server = place.serve(&["--config", "etc/p.toml"]).await;
    let body = json!({"username": "alice", "password": PASSWORD});
    assert_eq!(server.post("/api/auth/register/", "", body).await.0, 201);
    assert!(place.path().join("elsewhere/p.db").exists());
    assert!(!place.data().exists());
    let listed = place.run(&["user", "list", "--config", "etc/p.toml"]).await;
    assert!(listed.succeeded().contains("alice"));
}

#[tokio::test]
async fn every_variable_is_read() {
    let place = Place::new();
    let env = |command: &mut std::process::Command| {
        command
            .env("PRESENTLY_DATABASE_URL", "sqlite:./store/my.db")
            .env("PRESENTLY_SECRET_KEY", "a secret from the environment, long enough")
            .env("PRESENTLY_INACTIVITY_TIMEOUT", "2s")
            .env("PRESENTLY_HEARTBEAT_INTERVAL", "1")
            .env("PRESENTLY_RECONNECT_GRACE", "500ms")
            .env("PRESENTLY_ACCESS_TOKEN_LIFETIME", "90s")
            .env("PRESENTLY_REGISTRATION", "open")
            .env("PRESENTLY_CORS_ORIGINS", "http://localhost:5173")
            .env("PRESENTLY_TRUSTED_PROXIES", "127.0.0.1")
            .env("PRESENTLY_LOG_FORMAT", "json");
    };
    let server = place.serve_as(env, &[]).await;
    assert!(place.path().join("store/my.db").exists());
    assert!(server.stdout().starts_with('{'), "{}", server.stdout());
    let body = json!({"username": "alice", "password": PASSWORD});
    let (status, told) = server.post("/api/auth/register/", "", body).await;
    assert_eq!(status, 201, "{told}");
    let token = told["tokens"]["access"].as_str().unwrap();
    let told = claims(token);
    assert_eq!(told["exp"].as_i64().unwrap() - told["iat"].as_i64().unwrap(), 90);
    let key = jsonwebtoken::EncodingKey::from_secret(b"a secret from the environment, long enough");
    let mut foreign = told.clone();
    foreign.as_object_mut().unwrap().remove("sid");
    foreign["jti"] = json!("made elsewhere");
    let foreign = jsonwebtoken::encode(&jsonwebtoken::Header::default(), &foreign, &key).unwrap();
    assert_eq!(server.beat(&foreign).await["online_status"], "online");
}

#[tokio::test]
async fn an_access_token_lives_as_long_as_it_is_told_to() {
    let place = Place::new();
    place.user("alice", &[]).await;
    let server = place.serve(&["--access-token-lifetime", "2s"]).await;
    let (_, token) = server.login("alice").await;
    server.beat(&token).await;
    eventually(ms(3_100), "the token is over", async || {
        let (status, told) = server.post("/api/users/heartbeat/", &token, json!({})).await;
        status == 401 && told["code"] == "token_not_valid"
    })
    .await;
}

#[tokio::test]
async fn help_and_version_are_answers() {
    let place = Place::new();
    for args in
        [&["--help"][..], &["serve", "--help"], &["user", "--help"], &["user", "create", "--help"], &["--version"]]
    {
        assert!(!place.run(args).await.succeeded().is_empty());
    }
    let ran = place.run(&["serve", "--help"]).await;
    let flags = [
        "--listen",
        "--database-url",
        "--secret-key",
        "--inactivity-timeout",
        "--heartbeat-interval",
        "--reconnect-grace",
        "--access-token-lifetime",
        "--registration",
        "--cors-origins",
        "--trusted-proxies",
        "--log-format",
    ];
    for flag in flags {
        assert!(ran.stdout.contains(flag), "{flag} in {}", ran.stdout);
    }
    assert!(!place.data().exists(), "asking makes nothing");
}

/// Starts a server that is not expected to.
async fn serve(args: &[&str], env: &[(&str, &str)]) -> Ran {
    let place = Place::new();
    let mut command = place.command(&[&["serve"], args].concat());
    if !args.contains(&"--listen") {
        command.env("PRESENTLY_LISTEN", "127.0.0.1:0");
    }
    command.envs(env.iter().copied());
    let ran = presently_testkit::process::finish(command, "").await;
    assert!(!place.data().join("presently.db").exists(), "no database was made for {args:?} {env:?}");
    ran
}

fn claims(token: &str) -> Value {
    jsonwebtoken::dangerous::insecure_decode::<Value>(token).unwrap().claims
}
