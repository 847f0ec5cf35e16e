//! `presently demo`: alive at once, marked everywhere, gone without a trace, and never near real data.

use std::fs;
use std::net::TcpListener;
use std::os::unix::fs::PermissionsExt;
use std::process::Command;

use presently_testkit::process::{Place, Ran, Server, finish, micros};
use presently_testkit::{eventually, ms};
use serde_json::{Value, json};
use tokio::io::{AsyncReadExt, AsyncWriteExt};
use tokio::net::TcpStream;
use tokio::time::sleep;

const ADMIN: [&str; 2] = ["admin", "demo-demo-demo"];

/// Arguments, a variable, and what the refusal names.
type Refused = (&'static [&'static str], Option<(&'static str, &'static str)>, &'static str);

async fn admin(demo: &Server) -> String {
    let (status, told) = demo.try_login(ADMIN[0], ADMIN[1]).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["user"]["role"], "admin");
    told["tokens"]["access"].as_str().unwrap().to_owned()
}

/// Who is shown how.
async fn everybody(demo: &Server, token: &str) -> Vec<(i64, String)> {
    let (status, told) = demo.get("/api/users/all-users/", token).await;
    assert_eq!(status, 200, "{told}");
    let users = told["users"].as_array().unwrap().iter();
    users.map(|user| (user["id"].as_i64().unwrap(), user["online_status"].as_str().unwrap().to_owned())).collect()
}

/// Three made-up users who are online.
async fn three_online(demo: &Server, token: &str) -> [i64; 3] {
    let me = demo.get("/api/auth/profile/", token).await.1["id"].as_i64().unwrap();
    let all = everybody(demo, token).await;
    let mut online = all.into_iter().filter(|(id, status)| *id != me && status == "online").map(|(id, _)| id);
    std::array::from_fn(|_| online.next().expect("somebody is online"))
}

/// Runs a demo that must not start, on a free port.
async fn run(place: &Place, args: &[&str], variable: Option<(&str, &str)>) -> Ran {
    let mut command = place.demo_command(&[&["--listen", "127.0.0.1:0"], args].concat());
    command.envs(variable);
    finish(command, "").await
}

#[tokio::test]
async fn it_is_alive_from_the_first_second() {
    let place = Place::new();
    let demo = place.demo(&[]).await;
    let token = admin(&demo).await;
    let (_, counts) = demo.get("/api/presence/count", &token).await;
    assert!(counts["online"].as_u64().unwrap() > 10 && counts["away"].as_u64().unwrap() > 0, "{counts}");
    let mut before = everybody(&demo, &token).await;
    assert_eq!(before.len(), 301, "the made-up users and the admin");
    for change in 1..=3 {
        eventually(ms(15_000), &format!("change {change} is seen"), async || {
            let now = everybody(&demo, &token).await;
            std::mem::replace(&mut before, now.clone()) != now
        })
        .await;
    }
}

#[tokio::test]
async fn who_is_present_stays_by_beating_and_not_by_chance() {
    let place = Place::new();
    let demo = place.demo(&["--inactivity-timeout", "2s", "--heartbeat-interval", "500ms"]).await;
    let token = admin(&demo).await;
    sleep(ms(5_000)).await;
    let (_, counts) = demo.get("/api/presence/count", &token).await;
    assert!(counts["online"].as_u64().unwrap() > 10, "two timeouts later they are still there: {counts}");
}

#[tokio::test]
async fn there_was_a_day_before_it() {
    let place = Place::new();
    let demo = place.demo(&["--users", "20"]).await;
    let token = admin(&demo).await;
    let mut seen = Vec::new();
    for (id, _) in everybody(&demo, &token).await {
        let (status, told) = demo.get(&format!("/api/presence/{id}/history"), &token).await;
        assert_eq!(status, 200, "{told}");
        seen.extend(told["transitions"].as_array().unwrap().iter().map(|row| micros(row["at"].as_str().unwrap())));
    }
    seen.sort_unstable();
    let hours = (seen[seen.len() - 1] - seen[0]) / 3_600_000_000;
    assert!(seen.len() > 100 && hours >= 20, "{} transitions in {hours} hours", seen.len());
}

#[tokio::test]
async fn an_act_of_the_admin_holds_for_made_up_users_too() {
    let place = Place::new();
    let demo = place.demo(&["--inactivity-timeout", "3s", "--heartbeat-interval", "500ms"]).await;
    let token = admin(&demo).await;
    let [suspended, erased, thrown_out] = three_online(&demo, &token).await;
    let path = |id: i64, act: &str| format!("/api/users/admin/users/{id}/{act}");
    assert_eq!(demo.post(&path(suspended, "suspend/"), &token, json!({})).await.0, 200);
    assert_eq!(demo.post(&path(thrown_out, "force-logout/"), &token, json!({})).await.0, 200);
    assert_eq!(demo.send("DELETE", &path(erased, ""), &token, None).await.unwrap().0, 204);
    let (_, sessions) = demo.get(&path(thrown_out, "sessions/"), &token).await;
    assert_eq!(sessions["count"], 0, "{sessions}");
    for _ in 0..20 {
        sleep(ms(100)).await;
        for id in [suspended, erased] {
            let (_, shown) = demo.get(&format!("/api/presence/{id}"), &token).await;
            assert_eq!(shown["status"], "offline", "{shown}");
        }
    }
    let (_, history) = demo.get(&format!("/api/presence/{erased}/history"), &token).await;
    assert_eq!(history["transitions"], json!([]), "nothing of them came back");
}

#[tokio::test]
async fn nobody_signs_in_but_the_admin() {
    let place = Place::new();
    let demo = place.demo(&["--users", "10"]).await;
    let token = admin(&demo).await;
    let (_, told) = demo.get("/api/users/admin/users/", &token).await;
    assert_eq!(told["count"], 11);
    for user in told["results"].as_array().unwrap() {
        let (name, email) = (user["username"].as_str().unwrap(), user["email"].as_str().unwrap());
        assert!(email.ends_with("@example.com"), "{email}");
        for password in ["demo-demo-demo", "!made up for the demo", "password"] {
            let (status, _) = demo.try_login(name, password).await;
            assert_eq!(status == 200, [name, password] == ADMIN, "{name} {password}");
        }
    }
}

#[tokio::test]
async fn it_says_everywhere_that_it_is_a_demo_and_a_server_says_it_nowhere() {
    let place = Place::new();
    let (demo, server) = (place.demo(&["--users", "10"]).await, place.serve(&[]).await);
    let http = presently_testkit::client().no_proxy().build().unwrap();
    for (running, is_demo) in [(&demo, true), (&server, false)] {
        let marked =
            |headers: &reqwest::header::HeaderMap| headers.get("x-presently-demo").is_some_and(|v| v == "true");
        let url = |path: &str| format!("http://{}{path}", running.address());
        for path in ["/healthz", "/readyz", "/metrics", "/api/docs", "/api/openapi.json", "/nowhere", "/api/presence/1"]
        {
            let answer = http.get(url(path)).send().await.unwrap();
            assert_eq!(marked(answer.headers()), is_demo, "{path}");
        }
        let beat = http.post(url("/api/users/heartbeat/")).send().await.unwrap();
        assert_eq!((beat.status().as_u16(), marked(beat.headers())), (401, is_demo));
        let mut stream = TcpStream::connect(running.address()).await.unwrap();
        stream.write_all(b"this is no HTTP\r\n\r\n").await.unwrap();
        let mut refusal = String::new();
        stream.read_to_string(&mut refusal).await.unwrap();
        assert_eq!(refusal.contains("x-presently-demo: true"), is_demo, "{refusal}");

        let expected = if is_demo { json!(true) } else { Value::Null };
        for path in ["/healthz", "/readyz"] {
            assert_eq!(running.get(path, "").await.1["demo"], expected, "{path}");
        }
        let info = running.get("/api/openapi.json", "").await.1["info"].clone();
        assert_eq!(info["title"] == "Presently (demo)", is_demo, "{info}");
        assert_eq!(info["description"].as_str().unwrap().contains("This is a demo"), is_demo, "{info}");
        let docs = running.get("/api/docs", "").await.1;
        assert_eq!(docs.as_str().unwrap().contains("<h1>Presently (demo) API</h1>"), is_demo);
        assert_eq!(running.stdout().lines().any(|line| line.contains("this is a demo")), is_demo);
    }
    let printed = demo.stdout();
    for line in ["A DEMO", "/admin     as admin, with the password demo-demo-demo", "/api/docs", "Nothing is kept"] {
        assert!(printed.contains(line), "{line}: {printed}");
    }
}

#[tokio::test]
async fn in_json_every_line_is_an_object_and_the_banner_says_demo() {
    let place = Place::new();
    let mut demo = place.demo(&["--users", "10", "--log-format", "json"]).await;
    demo.stop().await;
    let lines: Vec<Value> = demo.stdout().lines().map(|line| serde_json::from_str(line).unwrap()).collect();
    let banner = lines.iter().find(|line| line["message"] == "listening").unwrap();
    assert_eq!((&banner["demo"], &banner["admin_password"]), (&json!(true), &json!(ADMIN[1])), "{banner}");
}

#[tokio::test]
async fn its_folder_is_private_and_goes_with_it_and_others_stay() {
    for signal in ["TERM", "INT", "HUP"] {
        let place = Place::new();
        // One that a killed demo left behind, or somebody else's.
        let other = place.temporary().join("presently-demo-other");
        fs::create_dir_all(&other).unwrap();
        let mut demo = place.demo(&["--users", "10"]).await;
        let folders = place.temporaries();
        let own = folders.iter().find(|folder| **folder != other).unwrap();
        assert_eq!(folders.len(), 2, "{folders:?}");
        assert_eq!(fs::metadata(own).unwrap().permissions().mode() & 0o777, 0o700);
        assert!(!place.data().exists(), "no data folder is made");
        let token = admin(&demo).await;
        demo.beat(&token).await;
        let status = demo.end_by(signal).await;
        assert_eq!((status.code(), demo.stderr().as_str()), (Some(0), ""), "SIG{signal}: {}", demo.stdout());
        assert_eq!(place.temporaries(), [other], "SIG{signal}");
    }
}

#[tokio::test]
async fn a_port_in_use_is_one_line_and_leaves_no_folder() {
    let place = Place::new();
    let listener = TcpListener::bind("127.0.0.1:0").unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let ran = finish(place.demo_command(&["--listen", &address]), "").await;
    assert!(ran.failed().contains(&address), "{ran:?}");
    assert!(place.temporaries().is_empty());
    assert!(!ran.stdout.contains("password"), "{ran:?}");
}

#[tokio::test]
async fn a_place_where_no_folder_can_be_made_is_one_line() {
    let place = Place::new();
    let mut command = place.demo_command(&["--listen", "127.0.0.1:0"]);
    command.env("TMPDIR", place.path().join("nowhere"));
    assert!(finish(command, "").await.failed().contains("nowhere"));
}

#[tokio::test]
async fn it_refuses_whatever_names_real_data() {
    let place = Place::new();
    fs::write(place.path().join("real.toml"), "database_url = \"sqlite:./real/presently.db\"\n").unwrap();
    fs::write(place.path().join("cluster.toml"), "valkey_url = \"redis://localhost\"\n").unwrap();
    let refused: [Refused; 8] = [
        (&["--database-url", "sqlite:./data/presently.db"], None, "--database-url"),
        (&["--valkey-url", "redis://localhost"], None, "--valkey-url"),
        (&[], Some(("PRESENTLY_DATABASE_URL", "sqlite:./real.db")), "PRESENTLY_DATABASE_URL"),
        (&[], Some(("PRESENTLY_VALKEY_URL", "redis://localhost")), "PRESENTLY_VALKEY_URL"),
        (&["--config", "real.toml"], None, "real.toml"),
        (&["--config", "cluster.toml"], None, "cluster.toml"),
        (&[], Some(("PRESENTLY_CONFIG", "real.toml")), "real.toml"),
        (&["--secret-key", "the secret of a real server"], None, "--secret-key"),
    ];
    for (args, variable, named) in refused {
        let ran = run(&place, args, variable).await;
        assert!(ran.misused().contains(named), "{ran:?}");
        if named != "--secret-key" {
            assert_eq!(ran.stderr.lines().count(), 1, "{ran:?}");
            assert!(ran.stderr.contains("never touches real data"), "{ran:?}");
            assert!(ran.stderr.contains("presently serve"), "what to do instead: {ran:?}");
        }
        assert!(ran.stdout.is_empty(), "{ran:?}");
    }
    fs::rename(place.path().join("real.toml"), place.path().join("presently.toml")).unwrap();
    assert!(run(&place, &[], None).await.misused().contains("presently.toml"));
    assert!(place.temporaries().is_empty(), "nothing was made");
    assert!(!place.data().exists() && !place.path().join("real").exists(), "nothing was touched");
}

#[tokio::test]
async fn an_empty_variable_names_nothing_and_a_real_secret_is_not_used() {
    let place = Place::new();
    fs::create_dir(place.temporary()).unwrap();
    let secret = "the secret of a real server, long enough";
    let change = |command: &mut Command| {
        let listen = command.get_args().nth(2).unwrap().to_owned();
        *command = place.demo_command(&["--users", "10"]);
        command.args(["--listen".as_ref(), listen.as_os_str()]);
        command.env("PRESENTLY_DATABASE_URL", "").env("PRESENTLY_SECRET_KEY", secret);
        command.stdout(fs::File::create(place.path().join("stdout-0")).unwrap());
    };
    let demo = place.serve_as(change, &[]).await;
    let token = admin(&demo).await;
    let key = jsonwebtoken::DecodingKey::from_secret(secret.as_bytes());
    let validation = jsonwebtoken::Validation::new(jsonwebtoken::Algorithm::HS256);
    assert!(jsonwebtoken::decode::<Value>(&token, &key, &validation).is_err());
}

#[tokio::test]
async fn numbers_of_users_have_bounds_and_timings_may_not_contradict() {
    let place = Place::new();
    for args in [["--users", "9"], ["--users", "5001"], ["--users", "many"], ["--inactivity-timeout", "9s"]] {
        run(&place, &args, None).await.misused();
    }
    assert!(place.temporaries().is_empty());
}

#[tokio::test]
async fn the_help_teaches_it() {
    let place = Place::new();
    let program = place.run(&["--help"]).await;
    assert!(program.succeeded().contains("presently demo"), "{program:?}");
    let demo = place.run(&["demo", "--help"]).await;
    for word in ["--listen", "--users", "300", "5000", "20s", "demo-demo-demo", "Nothing is kept", "presently serve"] {
        assert!(demo.succeeded().contains(word), "{word}: {demo:?}");
    }
    assert!(!demo.stdout.contains("--database-url <"), "{demo:?}");
}
