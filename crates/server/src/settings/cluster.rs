//! What makes a server one of several. **Several nodes share one PostgreSQL**: a file belongs to one server.

use std::net::SocketAddr;
use std::time::Duration;

use presently::bus::Timing;
use presently_valkey::{SettingsError, ValkeyBus};

use super::BadSettings;
use crate::database::DatabaseUrl;

/// One of several nodes: what it is called, and through what they hear of each other.
#[derive(Clone, PartialEq, Eq)]
pub struct Cluster {
    /// `redis://[USER:PASSWORD@]HOST:PORT`, `rediss://…`, `redis+cluster://…`; `valkey` in the place of `redis` means the same.
    pub valkey_url: String,
    /// Whose sessions are whose in the database; each node has its own, the same at every start.
    pub node_name: String,
    /// How long a node that is not heard of any more counts as there.
    pub lease: Duration,
    /// The group of nodes, for several groups on one Valkey.
    pub name: String,
}

/// The address may have a password in it.
impl std::fmt::Debug for Cluster {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Cluster").field("node_name", &self.node_name).field("name", &self.name).finish_non_exhaustive()
    }
}

impl Cluster {
    /// How long leases hold when nobody says otherwise.
    pub const LEASE: Duration = Duration::from_secs(9);
    /// The group that nodes are of when nobody says otherwise.
    pub const NAME: &str = "main";
    /// Renewed three times in a lease, each within a second or more.
    const LEASE_MIN: Duration = Duration::from_secs(3);

    pub(super) fn check(&self, database: &DatabaseUrl) -> Result<(), BadSettings> {
        if !matches!(database, DatabaseUrl::Postgres { .. }) {
            return Err(BadSettings(
                "valkey_url: several nodes share one PostgreSQL; give --database-url postgres://… as well".to_owned(),
            ));
        }
        if self.node_name.is_empty() || presently_sql::postgres::Node::new(&self.node_name).is_none() {
            return Err(BadSettings(format!(
                "node_name: {:?} does not do; write 1 to 64 letters, digits, \".\", \"_\" or \"-\"",
                self.node_name
            )));
        }
        if self.lease < Self::LEASE_MIN || self.lease > Duration::from_secs(60 * 60) {
            return Err(BadSettings("node_lease must be between 3s and 1h".to_owned()));
        }
        self.bus().map(|_| ())
    }

    /// What carries the nodes. No connection is made yet.
    pub(crate) fn bus(&self) -> Result<ValkeyBus, BadSettings> {
        let mut settings = presently_valkey::Settings::new(&self.valkey_url);
        settings.name.clone_from(&self.name);
        settings.timing = Timing { lease: self.lease, renew_every: self.lease / 3 };
        ValkeyBus::open(settings).map_err(|error| {
            let setting = if matches!(error, SettingsError::Name) { "cluster_name" } else { "valkey_url" };
            BadSettings(format!("{setting}: {error}"))
        })
    }
}

/// The name of this machine and the port: the same at every start, and another one for each server on a machine.
pub(super) fn name_of_node(listen: SocketAddr) -> String {
    let host = gethostname::gethostname().to_string_lossy().into_owned();
    let host: String = host
        .chars()
        .map(|c| if c.is_ascii_alphanumeric() || c == '.' || c == '_' { c } else { '-' })
        .take(58)
        .collect();
    format!("{host}-{}", listen.port())
}

#[cfg(test)]
mod tests {
    use super::*;

    const POSTGRES: &str = "postgres://presently:secret@localhost/presently";

    fn cluster() -> Cluster {
        Cluster {
            valkey_url: "redis://:secret@localhost".to_owned(),
            node_name: "a-1".to_owned(),
            lease: Cluster::LEASE,
            name: Cluster::NAME.to_owned(),
        }
    }

    fn refusal(cluster: &Cluster, database: &str) -> String {
        cluster.check(&DatabaseUrl::parse(database).unwrap()).map_or_else(|error| error.0, |()| String::new())
    }

    #[test]
    fn what_does_not_do_is_refused_by_its_name() {
        assert_eq!(refusal(&cluster(), POSTGRES), "");
        for (cluster, setting) in [
            (Cluster { valkey_url: "http://localhost".into(), ..cluster() }, "valkey_url"),
            (Cluster { node_name: "a b".into(), ..cluster() }, "node_name"),
            (Cluster { node_name: String::new(), ..cluster() }, "node_name"),
            (Cluster { lease: Duration::from_secs(2), ..cluster() }, "node_lease"),
            (Cluster { lease: Duration::from_secs(4000), ..cluster() }, "node_lease"),
            (Cluster { name: "{x}".into(), ..cluster() }, "cluster_name"),
        ] {
            let refusal = refusal(&cluster, POSTGRES);
            assert!(refusal.starts_with(setting) && !refusal.contains("secret"), "{refusal}");
        }
        assert!(refusal(&cluster(), "sqlite:a.db").contains("postgres://"));
        assert!(!format!("{:?}", cluster()).contains("secret"));
    }

    #[test]
    fn a_node_is_named_after_its_machine_and_port() {
        let name = name_of_node("127.0.0.1:8001".parse().unwrap());
        assert!(name.ends_with("-8001") && presently_sql::postgres::Node::new(&name).is_some(), "{name}");
    }
}
