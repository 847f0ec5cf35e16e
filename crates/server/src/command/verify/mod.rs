//! `presently verify URL`: the acceptance checklist of a presence system, run from outside against a running server.
//!
//! **It leaves nothing behind**: the users it makes are removed, also when a check fails or somebody stops it.

mod checks;
mod client;
mod live;
mod report;

use std::future::poll_fn;
use std::pin::{Pin, pin};
use std::task::Poll;

use clap::Args;
use tokio::signal::unix::SignalKind;

use super::{Failure, serve};
use crate::folder::random_text;
use client::{Client, Person};
use report::Report;

/// Users made for the list of many.
const CROWD: usize = 20;
/// What ends the checklist in order; a second one ends it at once.
const STOPS: [SignalKind; 3] = [SignalKind::interrupt(), SignalKind::terminate(), SignalKind::hangup()];

/// Runs the checklist: login shows online, silence shows offline at the deadline, streams are not buffered, and so on.
///
/// It signs in as an admin, makes 20 test accounts of its own and removes them at the end, also after Ctrl-C. It takes a
/// little longer than the server's inactivity timeout. Exit code 0 when every check passed.
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

/// Why the checklist did not come to its end.
enum Cut {
    /// A call that all further checks need failed.
    Failed(String),
    Interrupted,
}

impl From<String> for Cut {
    fn from(why: String) -> Self {
        Self::Failed(why)
    }
}

impl Verify {
    pub(crate) fn run(self) -> Result<(), Failure> {
        // The TLS library wants to be told once which cryptography it has.
        let _ = rustls::crypto::ring::default_provider().install_default();
        let runtime = tokio::runtime::Builder::new_current_thread()
            .enable_all()
            .build()
            .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
        // Before anybody types a password for a server that is not there. By a client of its own: typing may take long, and
        // the connection would have ended meanwhile.
        let client = Client::new(&self.url).map_err(Failure::Usage)?;
        runtime.block_on(client.answers()).map_err(|why| Failure::Failed(format!("{}: {why}", self.url)))?;
        let run = random_text::<4>().map_err(|error| Failure::Failed(error.to_string()))?;
        let prefix = format!("verify-{run}-");
        let report = Report::new(&self.url, self.json);
        report.announce(&format!(
            "Makes {CROWD} test accounts named {prefix}… at {}, and removes them at the end, also after Ctrl-C.\n\
             Takes a little longer than the server's inactivity timeout.\n",
            self.url
        ));
        // The signals are taken after that: Ctrl-C at the question ends the program.
        let password = match &self.admin_password {
            Some(password) if !self.password_stdin => password.clone(),
            _ => super::user::existing_password(self.password_stdin)?,
        };
        runtime.block_on(self.verify(&prefix, &password, report))
    }

    async fn verify(self, prefix: &str, password: &str, mut report: Report) -> Result<(), Failure> {
        let mut stop = pin!(serve::stop(&STOPS)?);
        let client = Client::new(&self.url).map_err(Failure::Usage)?;
        let admin = client
            .login(&self.admin, password)
            .await
            .map_err(|why| Failure::Failed(format!("cannot sign in as {} at {}: {why}", self.admin, self.url)))?;
        let done = self.checks(&client, &admin, prefix, stop.as_mut(), &mut report).await;
        if matches!(done, Err(Cut::Interrupted)) {
            report.announce("Stopped: the test accounts are removed; once more, and it ends at once.\n");
        }
        let again = serve::stop(&STOPS)?;
        let removed = tokio::select! {
            removed = self.remove_all(&client, &admin, prefix) => removed,
            () = again => {
                return Err(Failure::Failed(format!("stopped at once; remove the users named {prefix}… by hand")));
            }
        };
        match done {
            Ok(()) => {}
            Err(Cut::Failed(why)) => {
                report.failed("the checklist runs to its end", &why, "Look at the server's log at this time.");
            }
            Err(Cut::Interrupted) => {
                return Err(Failure::Failed(match removed {
                    Ok(()) => "stopped before the end; the test accounts are removed".to_owned(),
                    Err(why) => format!("stopped before the end; remove the users named {prefix}… by hand: {why}"),
                }));
            }
        }
        if let Err(why) = removed {
            report.failed("the test users are removed", &why, &format!("Remove the users named {prefix}… by hand."));
        }
        report.end()
    }

    async fn checks(
        &self,
        client: &Client,
        admin: &Person,
        prefix: &str,
        mut stop: Pin<&mut impl Future<Output = ()>>,
        report: &mut Report,
    ) -> Result<(), Cut> {
        let password = random_text::<12>().map_err(|error| error.to_string())?;
        let mut people = Vec::with_capacity(CROWD);
        for number in 0..CROWD {
            // Looked at in between: an account that is being made would come after those that are removed.
            if poll_fn(|context| Poll::Ready(stop.as_mut().poll(context).is_ready())).await {
                return Err(Cut::Interrupted);
            }
            people.push(client.make(admin, &format!("{prefix}{number}"), &password).await?);
        }
        tokio::select! {
            biased;
            () = stop => Err(Cut::Interrupted),
            done = checks::run(client, admin, &people, self.origin.as_deref(), report) => Ok(done?),
        }
    }

    /// Removes the test users, and signs out. What the server has counts, not what it answered: an answer may have been lost.
    async fn remove_all(&self, client: &Client, admin: &Person, prefix: &str) -> Result<(), String> {
        if client.remove_all(admin, prefix).await.is_ok() {
            return client.post("/api/auth/logout/", admin, serde_json::json!({})).await.map(|_| ());
        }
        // The token may have expired meanwhile.
        let admin = client.login(&self.admin, &admin.password).await?;
        client.remove_all(&admin, prefix).await?;
        client.post("/api/auth/logout/", &admin, serde_json::json!({})).await.map(|_| ())
    }
}
