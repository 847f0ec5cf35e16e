//! `presently verify URL`: the acceptance checklist of a presence system, run from outside against a running server.
//!
//! **It leaves nothing behind**: the users it makes are removed, also when a check fails.

mod checks;
mod client;
mod live;
mod report;

use std::io::IsTerminal as _;

use clap::Args;

use super::Failure;
use crate::folder::random_text;
use client::{Client, Person};
use report::Report;

/// Users made for the list of many.
const CROWD: usize = 20;

/// Runs the checklist: login shows online, silence shows offline at the deadline, streams are not buffered, and so on.
///
/// It signs in as an admin, makes users of its own and removes them. It takes a little longer than the server's
/// inactivity timeout. Exit code 0 when every check passed.
#[derive(Args, Debug)]
pub(crate) struct Verify {
    /// Where the server is reached, for example https://presence.example.com
    url: String,
    /// The admin to sign in as
    #[arg(long, default_value = "admin")]
    admin: String,
    /// Read the admin's password from the first line of standard input
    #[arg(long)]
    password_stdin: bool,
    /// The admin's password
    #[arg(long, env = "PRESENTLY_ADMIN_PASSWORD", hide_env_values = true, hide = true)]
    admin_password: Option<String>,
    /// An origin whose pages must be let in, for example https://app.example.com
    #[arg(long)]
    origin: Option<String>,
    /// Print one JSON object at the end instead of lines as it goes
    #[arg(long)]
    json: bool,
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        let password = match &self.admin_password {
            Some(password) if !self.password_stdin => password.clone(),
            _ => super::user::existing_password(self.password_stdin)?,
        };
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        runtime.block_on(self.verify(&password))
    }

    async fn verify(self, password: &str) -> Result<(), Failure> {
        // The TLS library wants to be told once which cryptography it has.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let client = Client::new(&self.url).map_err(Failure::Usage)?;
        let mut report = Report::new(&self.url, self.json, !self.json && std::io::stderr().is_terminal());
        let admin = client
            .login(&self.admin, password)
            .await
            .map_err(|why| Failure::Failed(format!("cannot sign in as {} at {}: {why}", self.admin, self.url)))?;
        let mut people = Vec::new();
        let made = make_people(&client, &admin, &mut people).await;
        let done = match made {
            Ok(()) => checks::run(&client, &admin, &people, self.origin.as_deref(), &mut report).await,
            Err(why) => Err(why),
        };
        let removed = remove(&client, &admin, &people).await;
        if let Err(why) = done {
            report.failed("the checklist runs to its end", &why, "Look at the server's log at this time.");
        }
        if let Err(why) = removed {
            report.failed("the test users are removed", &why, "Remove the users named verify-… by hand.");
        }
        report.end()
    }
}

async fn make_people(client: &Client, admin: &Person, people: &mut Vec<Person>) -> Result<(), String> {
    let run = random_text::<4>().map_err(|error| error.to_string())?;
    let password = random_text::<12>().map_err(|error| error.to_string())?;
    for number in 0..CROWD {
        people.push(client.make(admin, &format!("verify-{run}-{number}"), &password).await?);
    }
    Ok(())
}

async fn remove(client: &Client, admin: &Person, people: &[Person]) -> Result<(), String> {
    let mut problem = Ok(());
    for person in people {
        if let Err(why) = client.remove(admin, person).await {
            problem = Err(why);
        }
    }
    problem
}
