//! `presently key …`: the API keys of applications, from the command line. Works on the database, whether a server runs or not.

use std::io::Write as _;

use clap::{Args, Subcommand};
use presently_accounts::{ApiKey, WhichKey};

use super::Failure;
use super::user::{Office, refused, say};
use crate::settings::DatabaseFlags;
use crate::wire::convert::{self, jiff_time};

#[derive(Subcommand, Debug)]
pub(crate) enum KeyCommand {
    /// Make a key and print it, this once
    Create(Create),
    /// List the keys, as far as they can be shown
    List(List),
    /// Revoke a key; a running server refuses it within a second
    Revoke(Revoke),
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// What to call it
    name: String,
    #[command(flatten)]
    database: DatabaseFlags,
}

#[derive(Args, Debug)]
pub(crate) struct List {
    /// One JSON object a line
    #[arg(long)]
    json: bool,
    #[command(flatten)]
    database: DatabaseFlags,
}

#[derive(Args, Debug)]
pub(crate) struct Revoke {
    /// The key's name
    name: String,
    #[command(flatten)]
    database: DatabaseFlags,
}

pub(crate) fn run(command: KeyCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match command {
            KeyCommand::Create(create) => create.run().await,
            KeyCommand::List(list) => list.run().await,
            KeyCommand::Revoke(revoke) => revoke.run().await,
        }
    })
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let office = Office::open(&self.database).await?;
        let audit = office.audit("create_api_key", None, "");
        let made = office.accounts.make_key(&self.name, office.now(), Some(audit)).await.map_err(refused)?;
        // Alone on stdout, so that KEY=$(presently key create NAME) is the key and nothing else.
        say(&format!("{}\n", made.text))?;
        let sentence = format!(
            "made key {} (id {}); it is not shown again: send it as Authorization: Bearer or X-API-Key",
            made.key.name, made.key.id
        );
        // The key was given out: whether anybody reads the sentence does not matter.
        let _ = writeln!(std::io::stderr(), "{sentence}");
        office.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let office = Office::open(&self.database).await?;
        let keys = office.accounts.keys().await.map_err(|error| Failure::Failed(error.to_string()))?;
        let mut text = String::new();
        if !self.json {
            text.push_str(&line("id", "name", "prefix", "created", "last used", "revoked"));
        }
        for key in keys {
            text.push_str(&if self.json { json_line(key) } else { key_line(&key) });
        }
        say(&text)?;
        office.close().await;
        Ok(())
    }
}

impl Revoke {
    async fn run(self) -> Result<(), Failure> {
        let office = Office::open(&self.database).await?;
        let audit = office.audit("revoke_api_key", None, "");
        let revoked = office
            .accounts
            .revoke_key(&WhichKey::Name(self.name.clone()), office.now(), Some(audit))
            .await
            .map_err(|error| Failure::Failed(error.to_string()))?;
        let Some(key) = revoked else {
            return Err(Failure::Failed(format!("no key {:?} lives; see presently key list", self.name)));
        };
        say(&format!("revoked key {} (id {}, {}…)\n", key.name, key.id, key.prefix))?;
        office.close().await;
        Ok(())
    }
}

fn line(id: &str, name: &str, prefix: &str, created: &str, used: &str, revoked: &str) -> String {
    let line = format!("{id:>6}  {name:24} {prefix:17} {created:27} {used:27} {revoked}");
    format!("{}\n", line.trim_end())
}

fn key_line(key: &ApiKey) -> String {
    let used = key.last_used_at.map_or_else(|| "never".to_owned(), jiff_time);
    let revoked = key.revoked_at.map_or_else(String::new, jiff_time);
    line(&key.id.to_string(), &key.name, &key.prefix, &jiff_time(key.created_at), &used, &revoked)
}

fn json_line(key: ApiKey) -> String {
    format!("{}\n", serde_json::to_string(&convert::key(key)).unwrap_or_default())
}

#[cfg(test)]
mod tests {
    use super::*;
    use presently_accounts::{ApiKeyId, KeyHash};

    fn key() -> ApiKey {
        ApiKey {
            id: ApiKeyId(3),
            name: "billing".to_owned(),
            prefix: "presently_Xb91k2".to_owned(),
            hash: KeyHash([7; 32]),
            created_at: "2026-11-24T01:54:46.813742Z".parse().unwrap(),
            last_used_at: None,
            revoked_at: None,
        }
    }

    #[test]
    fn a_key_is_a_line_that_ends_with_what_is_known() {
        let text = key_line(&key());
        assert_eq!(text, "     3  billing                  presently_Xb91k2  2026-11-24T01:54:46.813742Z never\n");
    }

    #[test]
    fn a_key_in_json_is_what_the_api_shows() {
        let text = json_line(key());
        assert_eq!(
            text,
            "{\"id\":3,\"name\":\"billing\",\"prefix\":\"presently_Xb91k2\",\
             \"created_at\":\"2026-11-24T01:54:46.813742Z\",\"last_used_at\":null,\"revoked_at\":null}\n"
        );
    }
}
