//! `presently user …`: accounts, from the command line. Works on the database of a server, whether that runs or not.

use std::io::{BufRead as _, IsTerminal as _, Read as _, Write as _};

use clap::{Args, Subcommand, ValueEnum};
use jiff::Timestamp;
use presently::clock::{Clock as _, SystemClock};
use presently_accounts::store::{AuditEntry, Ordering, PageQuery};
use presently_accounts::{
    Account, AccountStatus, Accounts, Draft, Role, SecretKey, ServiceError, Settings as AccountSettings,
};

use super::Failure;
use crate::database::{Database, DatabaseUrl};
use crate::settings::{DatabaseFlags, Settings};
use crate::wire::convert::jiff_time;

/// The longest password read from stdin, in bytes.
const PASSWORD_BYTES_MAX: u64 = 4096;
/// Accounts read at once by `list`.
const LIST_AT_ONCE: u64 = 1000;

#[derive(Subcommand, Debug)]
pub(crate) enum UserCommand {
    /// Make an account
    Create(Create),
    /// Set the password of an account; its sessions end
    SetPassword(SetPassword),
    /// List the accounts
    List(List),
}

#[derive(Args, Debug)]
pub(crate) struct Create {
    /// The name to sign in with
    name: String,
    /// E-mail address
    #[arg(long, default_value = "", hide_default_value = true)]
    email: String,
    /// What they may do
    #[arg(long, value_enum, default_value = "user")]
    role: RoleWord,
    /// The state to start in
    #[arg(long, value_enum, default_value = "active")]
    status: StatusWord,
    /// Read the password from the first line of standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
    #[command(flatten)]
    database: DatabaseFlags,
}

#[derive(Args, Debug)]
pub(crate) struct SetPassword {
    /// The account's name
    name: String,
    /// Read the password from the first line of standard input instead of asking for it
    #[arg(long)]
    password_stdin: bool,
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

#[derive(Clone, Copy, Debug, ValueEnum)]
enum RoleWord {
    Admin,
    Moderator,
    User,
}

#[derive(Clone, Copy, Debug, ValueEnum)]
enum StatusWord {
    Active,
    Pending,
    Suspended,
    Banned,
}

impl From<RoleWord> for Role {
    fn from(word: RoleWord) -> Self {
        match word {
            RoleWord::Admin => Self::Admin,
            RoleWord::Moderator => Self::Moderator,
            RoleWord::User => Self::User,
        }
    }
}

impl From<StatusWord> for AccountStatus {
    fn from(word: StatusWord) -> Self {
        match word {
            StatusWord::Active => Self::Active,
            StatusWord::Pending => Self::Pending,
            StatusWord::Suspended => Self::Suspended,
            StatusWord::Banned => Self::Banned,
        }
    }
}

pub(crate) fn run(command: UserCommand) -> Result<(), Failure> {
    let runtime = tokio::runtime::Builder::new_current_thread()
        .enable_all()
        .build()
        .map_err(|error| Failure::Failed(format!("cannot start: {error}")))?;
    runtime.block_on(async {
        match command {
            UserCommand::Create(create) => create.run().await,
            UserCommand::SetPassword(set) => set.run().await,
            UserCommand::List(list) => list.run().await,
        }
    })
}

/// The accounts in the database, without a server.
pub(super) struct Office {
    database: Database,
    pub(super) accounts: Accounts,
}

impl Office {
    pub(super) async fn open(flags: &DatabaseFlags) -> Result<Self, Failure> {
        let url = DatabaseUrl::parse(&Settings::database_url(flags)?)?;
        let database = url.open_beside_server().await.map_err(Failure::Failed)?;
        // No token is made here: any key does.
        let settings = AccountSettings::new(SecretKey::random());
        Ok(Self { accounts: Accounts::new(database.accounts(), settings), database })
    }

    /// The moment of an act: a person may have taken long to type a password.
    pub(super) fn now(&self) -> Timestamp {
        Timestamp::from_microsecond(SystemClock::new().now().wall.0).unwrap_or_default()
    }

    pub(super) fn audit(&self, action: &str, account: Option<&Account>, detail: &str) -> AuditEntry {
        AuditEntry {
            actor: None,
            action: action.to_owned(),
            target: account.map(|account| account.id),
            detail: detail.to_owned(),
            at: self.now(),
        }
    }

    async fn named(&self, name: &str) -> Result<Account, Failure> {
        let found =
            self.accounts.store().account_named(name).await.map_err(|error| Failure::Failed(error.to_string()))?;
        found.ok_or_else(|| Failure::Failed(format!("there is no user {name:?}; see presently user list")))
    }

    pub(super) async fn close(self) {
        self.database.close().await;
    }
}

pub(super) fn refused(error: ServiceError) -> Failure {
    Failure::Failed(match error {
        ServiceError::Invalid(fields) => {
            let sentences = fields.iter().map(|(field, texts)| format!("{field}: {}", texts.join(" ")));
            sentences.collect::<Vec<_>>().join(" ")
        }
        other => other.to_string(),
    })
}

impl Create {
    async fn run(self) -> Result<(), Failure> {
        let office = Office::open(&self.database).await?;
        let password = password(self.password_stdin)?;
        let draft = Draft {
            username: self.name.clone(),
            email: self.email,
            password,
            role: self.role.into(),
            status: self.status.into(),
            ..Draft::default()
        };
        let audit = office.audit("create", None, &self.name);
        let account = office.accounts.create(draft, office.now(), Some(audit)).await.map_err(refused)?;
        say(&format!(
            "made user {} (id {}, {}, {})\n",
            account.username,
            account.id,
            account.role.as_str(),
            account.status.as_str()
        ))?;
        office.close().await;
        Ok(())
    }
}

impl SetPassword {
    async fn run(self) -> Result<(), Failure> {
        let office = Office::open(&self.database).await?;
        let account = office.named(&self.name).await?;
        let password = password(self.password_stdin)?;
        let audit = office.audit("set_password", Some(&account), "");
        office.accounts.set_password(account.id, &password, office.now(), Some(audit)).await.map_err(refused)?;
        say(&format!("set the password of {}; its sessions ended\n", account.username))?;
        office.close().await;
        Ok(())
    }
}

impl List {
    async fn run(self) -> Result<(), Failure> {
        let office = Office::open(&self.database).await?;
        if !self.json {
            say(&format!(
                "{:>6}  {:24} {:10} {:10} {:6} {:32} created\n",
                "id", "username", "role", "status", "active", "email"
            ))?;
        }
        let mut query = PageQuery { ordering: Ordering::CreatedAt, limit: LIST_AT_ONCE, ..PageQuery::default() };
        loop {
            let page =
                office.accounts.store().page(&query).await.map_err(|error| Failure::Failed(error.to_string()))?;
            for account in &page.accounts {
                say(&if self.json { json_line(account) } else { line(account) })?;
            }
            query.offset += LIST_AT_ONCE;
            if query.offset >= page.count {
                break;
            }
        }
        office.close().await;
        Ok(())
    }
}

fn line(account: &Account) -> String {
    format!(
        "{:>6}  {:24} {:10} {:10} {:6} {:32} {}\n",
        account.id.0,
        account.username,
        if account.is_admin() { "admin" } else { account.role.as_str() },
        account.status.as_str(),
        if account.is_active { "yes" } else { "no" },
        account.email,
        jiff_time(account.created_at),
    )
}

fn json_line(account: &Account) -> String {
    let line = serde_json::json!({
        "id": account.id.0,
        "username": account.username,
        "email": account.email,
        "role": account.role.as_str(),
        "is_staff": account.is_staff,
        "status": account.status.as_str(),
        "is_active": account.is_active,
        "created_at": jiff_time(account.created_at),
    });
    format!("{line}\n")
}

pub(super) fn say(text: &str) -> Result<(), Failure> {
    std::io::stdout().write_all(text.as_bytes()).map_err(|error| Failure::Failed(format!("cannot write: {error}")))
}

/// A new password: the first line of stdin, or what a person types twice.
fn password(from_stdin: bool) -> Result<String, Failure> {
    let first = existing_password(from_stdin)?;
    if from_stdin || ask("Once more: ")? == first {
        Ok(first)
    } else {
        Err(Failure::Failed("the two passwords differ".to_owned()))
    }
}

/// A password that exists: the first line of stdin, or what a person types.
pub(crate) fn existing_password(from_stdin: bool) -> Result<String, Failure> {
    if !from_stdin {
        return ask("Password: ");
    }
    let mut text = String::new();
    std::io::stdin().lock().take(PASSWORD_BYTES_MAX).read_line(&mut text).map_err(unread)?;
    Ok(text.trim_end_matches(['\n', '\r']).to_owned())
}

fn ask(prompt: &str) -> Result<String, Failure> {
    if !std::io::stdin().is_terminal() {
        return Err(Failure::Usage("there is no terminal to ask for the password; use --password-stdin".to_owned()));
    }
    rpassword::prompt_password(prompt).map_err(unread)
}

fn unread(error: std::io::Error) -> Failure {
    Failure::Failed(format!("cannot read the password: {error}"))
}
