//! What a newcomer sees at the start: where it is, and what to do next.

use std::io::Write as _;
use std::net::SocketAddr;

use crate::database::DatabaseUrl;
use crate::settings::{LogFormat, Settings};

/// What there is to see in a demo.
pub(crate) struct DemoShown<'a> {
    pub(crate) username: &'a str,
    pub(crate) password: &'a str,
    pub(crate) users: usize,
}

/// The admin that this start made.
pub(crate) struct FirstAdmin {
    pub(crate) username: String,
    pub(crate) password: String,
}

/// Prints what a newcomer sees of a demo.
pub(crate) fn print_demo(demo: &DemoShown<'_>, log_format: LogFormat, listening: SocketAddr) {
    say(&match log_format {
        LogFormat::Text => demo_text(demo, listening),
        LogFormat::Json => demo_json(demo, listening),
    });
}

/// Prints it. The password of a first admin is shown here and nowhere else.
pub(crate) fn print(settings: &Settings, listening: SocketAddr, admin: Option<&FirstAdmin>) {
    say(&match settings.log_format {
        LogFormat::Text => text(settings, listening, admin),
        LogFormat::Json => json(settings, listening, admin),
    });
}

fn say(text: &str) {
    let mut out = std::io::stdout();
    // Without a reader of stdout there is nobody to tell.
    let _ = out.write_all(text.as_bytes()).and_then(|()| out.flush());
}

fn base(listening: SocketAddr) -> String {
    if listening.ip().is_loopback() || listening.ip().is_unspecified() {
        format!("http://localhost:{}", listening.port())
    } else {
        format!("http://{listening}")
    }
}

fn json(settings: &Settings, listening: SocketAddr, admin: Option<&FirstAdmin>) -> String {
    let mut line = serde_json::json!({
        "level": "INFO", "message": "listening", "url": base(listening), "version": env!("CARGO_PKG_VERSION"),
    });
    if let Some(cluster) = &settings.cluster {
        line["node"] = cluster.node_name.clone().into();
    }
    if let Some(admin) = admin {
        line["admin_username"] = admin.username.clone().into();
        line["admin_password"] = admin.password.clone().into();
    }
    format!("{line}\n")
}

fn text(settings: &Settings, listening: SocketAddr, admin: Option<&FirstAdmin>) -> String {
    let base = base(listening);
    let (username, password) = admin.map_or(("admin", "YOUR-PASSWORD"), |admin| (&admin.username, &admin.password));
    let made = admin.map_or_else(String::new, |admin| {
        format!(
            "\n  The first admin was made. Its password is shown this once:\n\n    username  {}\n    password  {}\n",
            admin.username, admin.password
        )
    });
    format!(
        "\n\
         Presently {version} listens on {base}, data in {database}\n\
         {made}\n\
         \x20 Open  {base}/admin     who is online, for administrators\n\
         \x20       {base}/api/docs  everything that can be called\n\n\
         \x20 Log in, then beat:\n\n\
         TOKEN=$(curl -s {base}/api/auth/login/ -H 'Content-Type: application/json' \\\n\
         \x20 -d '{{\"username\":\"{username}\",\"password\":\"{password}\"}}' | sed -n 's/.*\"access\":\"\\([^\"]*\\)\".*/\\1/p')\n\
         curl -s -X POST {base}/api/users/heartbeat/ -H \"Authorization: Bearer $TOKEN\"\n\n\
         \x20 Who is online:\n\n\
         curl -s {base}/api/users/admin/users/online/ -H \"Authorization: Bearer $TOKEN\"\n\n\
         \x20 Stop with Ctrl-C. More:  presently --help\n\n",
        version = env!("CARGO_PKG_VERSION"),
        database = place(settings),
    )
}

/// Where what is kept is, and under which name a node of several keeps it.
fn place(settings: &Settings) -> String {
    let database = DatabaseUrl::parse(&settings.database_url).map_or_else(|_| String::new(), |url| url.name());
    match &settings.cluster {
        None => database,
        Some(cluster) => format!("{database}, as node {}", cluster.node_name),
    }
}

fn demo_json(demo: &DemoShown<'_>, listening: SocketAddr) -> String {
    let line = serde_json::json!({
        "level": "INFO", "message": "listening", "url": base(listening), "version": env!("CARGO_PKG_VERSION"),
        "demo": true, "made_up_users": demo.users,
        "admin_username": demo.username, "admin_password": demo.password,
    });
    format!("{line}\n")
}

fn demo_text(demo: &DemoShown<'_>, listening: SocketAddr) -> String {
    let base = base(listening);
    let DemoShown { username, password, users } = demo;
    let warning = if listening.ip().is_loopback() {
        ""
    } else {
        "\n  Other machines can reach it, and the password is no secret: everybody there can be its admin.\n"
    };
    format!(
        "\n\
         Presently {version} listens on {base}: A DEMO\n\n\
         \x20 {users} made-up users come, idle, go and drop. Nothing is kept: it goes when you stop it.\n\
         {warning}\n\
         \x20 Open  {base}/admin     as {username}, with the password {password}\n\
         \x20       {base}/api/docs  everything that can be called\n\n\
         \x20 Or watch it here, in another terminal:\n\n\
         TOKEN=$(curl -s {base}/api/auth/login/ -H 'Content-Type: application/json' \\\n\
         \x20 -d '{{\"username\":\"{username}\",\"password\":\"{password}\"}}' | sed -n 's/.*\"access\":\"\\([^\"]*\\)\".*/\\1/p')\n\
         curl -sN {base}/api/presence/events -H \"Authorization: Bearer $TOKEN\"\n\n\
         \x20 Stop with Ctrl-C. A server that keeps what it is told:  presently serve\n\n",
        version = env!("CARGO_PKG_VERSION"),
    )
}
