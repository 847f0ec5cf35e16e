//! What several nodes and a server that goes away do to a database, and what the stores make of it.

mod away;
mod nodes;
mod open;
mod tls;

use jiff::Timestamp as Moment;
use presently::store::{Batch, Store as _, TransitionRow};
use presently::{PresenceRow, Reason, Status, Timestamp};
use presently_accounts::{AccountStatus, NewAccount, PasswordHash, Role};
use presently_sql::PostgresStores;
use presently_sql::postgres::{Node, OpenOptions};
use sqlx::{Connection as _, PgConnection};

async fn open(url: &str) -> PostgresStores {
    PostgresStores::open(url, OpenOptions::default()).await.expect("the database opens")
}

async fn open_as(url: &str, node: &str) -> PostgresStores {
    let node = Node::new(node).expect("a name");
    PostgresStores::open(url, OpenOptions { node, ..OpenOptions::default() }).await.expect("the database opens")
}

/// Another program on the same database.
async fn other_program(url: &str) -> PgConnection {
    PgConnection::connect(url).await.expect("the database server answers")
}

fn account(username: &str) -> NewAccount {
    NewAccount {
        username: username.to_owned(),
        email: String::new(),
        password: PasswordHash("$argon2id$none".to_owned()),
        first_name: String::new(),
        last_name: String::new(),
        role: Role::User,
        status: AccountStatus::Active,
        is_staff: false,
        email_verified: false,
        is_approved: true,
    }
}

fn presence(user: &str, status: Status, last_seen: Option<i64>, since: i64) -> PresenceRow {
    PresenceRow { user: user.into(), status, last_seen: last_seen.map(Timestamp), since: Timestamp(since) }
}

fn transition(user: &str, at: i64) -> TransitionRow {
    TransitionRow {
        user: user.into(),
        from: Status::Offline,
        to: Status::Online,
        at: Timestamp(at),
        last_seen: None,
        reason: Reason::Evidence,
        audience: presently::store::Audience::Everybody,
    }
}

async fn kept(stores: &PostgresStores, user: &str) -> Option<PresenceRow> {
    stores.presences(&[user.into()]).await.expect("the store answers").pop().expect("one")
}

async fn keep(stores: &PostgresStores, row: PresenceRow) {
    stores.commit(&Batch { presences: vec![row], ..Batch::default() }).await.expect("it is kept");
}

fn now() -> Moment {
    Moment::UNIX_EPOCH
}
