//! The first start makes what is needed.

use std::fs;
use std::os::unix::fs::PermissionsExt;

use presently_testkit::process::{Place, Server, finish};
use serde_json::Value;

#[tokio::test]
async fn an_admin_is_made_and_its_password_is_printed_once() {
    let place = Place::new();
    let mut server = place.serve(&[]).await;
    let password = printed_password(&server);
    let (status, told) = server.try_login("admin", &password).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["user"]["role"], "admin");
    let token = told["tokens"]["access"].as_str().unwrap().to_owned();
    assert_eq!(server.get("/api/users/admin/users/", &token).await.0, 200);
    server.stop().await;

    let server = place.serve(&[]).await;
    assert!(!server.stdout().contains(&password));
    assert!(!server.stdout().contains("  password  "), "{}", server.stdout());
    assert_eq!(server.try_login("admin", &password).await.0, 200, "it is still the password");
    assert_eq!(server.get("/api/users/admin/users/", &token).await.0, 200, "the secret is still the secret");
}

#[tokio::test]
async fn presently_alone_serves() {
    let place = Place::new();
    let server = place
        .serve_as(
            |command| {
                let program = command.get_program().to_owned();
                let listen = command.get_args().nth(2).unwrap().to_owned();
                let folder = command.get_current_dir().unwrap().to_owned();
                *command = std::process::Command::new(program);
                command.current_dir(folder).env("PRESENTLY_LISTEN", listen);
                command.stdout(fs::File::create(place.path().join("stdout-0")).unwrap());
            },
            &[],
        )
        .await;
    let password = printed_password(&server);
    assert_eq!(server.try_login("admin", &password).await.0, 200);
    assert!(place.data().join("presently.db").exists(), "data in ./data");
}

#[tokio::test]
async fn everything_in_the_data_folder_is_for_its_owner_alone() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let password = printed_password(&server);
    server.try_login("admin", &password).await;
    let mut secrets = 0;
    for entry in fs::read_dir(place.data()).unwrap() {
        let entry = entry.unwrap();
        let mode = entry.metadata().unwrap().permissions().mode() & 0o777;
        let name = entry.file_name().into_string().unwrap();
        assert_eq!(mode & 0o077, 0, "{name} is {mode:o}");
        if name.contains("secret") {
            secrets += 1;
            assert_eq!(mode, 0o600, "{name}");
            assert!(fs::read(entry.path()).unwrap().len() >= 32, "{name} is long enough");
        }
        let bytes = fs::read(entry.path()).unwrap();
        let found = bytes.windows(password.len()).any(|window| window == password.as_bytes());
        assert!(!found, "no password is in {name}");
    }
    assert_eq!(secrets, 1);
}

#[tokio::test]
async fn where_an_admin_is_none_is_made() {
    let place = Place::new();
    place.user("boss", &["--role", "admin"]).await;
    let server = place.serve(&[]).await;
    assert!(!server.stdout().contains("  password  "), "{}", server.stdout());
    let (_, token) = server.login("boss").await;
    let (_, page) = server.get("/api/users/admin/users/", &token).await;
    assert_eq!(page["count"], 1);
}

#[tokio::test]
async fn where_only_ordinary_users_are_an_admin_is_made() {
    let place = Place::new();
    place.user("admin", &[]).await;
    let server = place.serve(&[]).await;
    let password = printed_password(&server);
    let username = printed(&server, "username");
    assert_ne!(username, "admin", "that name is taken");
    let (status, told) = server.try_login(&username, &password).await;
    assert_eq!(status, 200, "{told}");
    assert_eq!(told["user"]["role"], "admin");
}

#[tokio::test]
async fn in_json_the_password_is_in_a_line_of_json() {
    let place = Place::new();
    let server = place.serve(&["--log-format", "json"]).await;
    let mut password = None;
    for line in server.stdout().lines() {
        let line: Value = serde_json::from_str(line).unwrap_or_else(|error| panic!("{line}: {error}"));
        password = line["admin_password"].as_str().map(ToOwned::to_owned).or(password);
    }
    assert_eq!(server.try_login("admin", &password.unwrap()).await.0, 200);
}

#[tokio::test]
async fn the_panel_and_the_docs_are_named_where_they_are() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let (_, port) = server.address().rsplit_once(':').unwrap();
    let named = format!(
        "\n  Open  http://localhost:{port}/admin     who is online, for administrators\n\
         \x20       http://localhost:{port}/api/docs  everything that can be called\n"
    );
    assert!(server.stdout().contains(&named), "{}", server.stdout());
    for path in ["/admin", "/api/docs"] {
        assert_eq!(server.get(path, "").await.0, 200, "{path} is there");
    }
}

#[tokio::test]
async fn the_printed_commands_work_as_printed() {
    let place = Place::new();
    let server = place.serve(&[]).await;
    let out = server.stdout();
    let commands = out.lines().skip_while(|line| !line.starts_with("TOKEN="));
    let commands: Vec<_> = commands
        .filter(|line| line.starts_with("TOKEN=") || line.starts_with("curl ") || line.contains("sed -n"))
        .collect();
    let mut shell = std::process::Command::new("sh");
    shell.args(["-euc", &commands.join("\n")]);
    let ran = finish(shell, "").await;
    let told = ran.succeeded();
    assert!(told.contains("Heartbeat recorded") && told.contains("\"username\":\"admin\""), "{commands:?}: {told}");
}

#[tokio::test]
async fn two_folders_have_two_secrets_and_two_passwords() {
    let (one, two) = (Place::new(), Place::new());
    let (first, second) = tokio::join!(one.serve(&[]), two.serve(&[]));
    let password = printed_password(&first);
    assert_ne!(password, printed_password(&second));
    let (_, told) = first.try_login("admin", &password).await;
    let token = told["tokens"]["access"].as_str().unwrap();
    assert_eq!(second.get("/api/auth/profile/", token).await.0, 401);
}

fn printed_password(server: &Server) -> String {
    printed(server, "password")
}

/// What stands after a word on the lines that tell of the first admin.
fn printed(server: &Server, word: &str) -> String {
    let out = server.stdout();
    let mut told = out.lines().filter_map(|line| line.trim().strip_prefix(word)).map(str::trim);
    let told = told.find(|value| !value.is_empty() && !value.contains(' '));
    told.unwrap_or_else(|| panic!("{word} is printed: {out}")).to_owned()
}
