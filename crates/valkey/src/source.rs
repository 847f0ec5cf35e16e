//! Where connections come from: one server or a cluster.

use std::convert::Infallible;
use std::path::PathBuf;
use std::time::Duration;

use presently::bus::BusError;
use redis::aio::{ConnectionLike, MultiplexedConnection};
use redis::cluster::ClusterClient;
use redis::cluster_async::ClusterConnection;
use redis::io::tcp::TcpSettings;
use redis::{
    AsyncConnectionConfig, Client, ClientTlsConfig, Cmd, ConnectionAddr, ConnectionInfo, ProtocolVersion, PushInfo,
    RedisResult, TlsCertificates, Value,
};

use rustls::pki_types::CertificateDer;
use rustls::pki_types::pem::PemObject;

use crate::address::Address;
use crate::failure::{told, too_slow};
use crate::settings::{Settings, SettingsError};

/// Makes connections, all alike but for what they are used for.
pub(crate) struct Source {
    at: At,
    pub(crate) connect_timeout: Duration,
    pub(crate) response_timeout: Duration,
}

enum At {
    Server(Box<Client>),
    Cluster(Box<Cluster>),
}

struct Cluster {
    seeds: Vec<ConnectionInfo>,
    certificates: Option<TlsCertificates>,
}

/// A connection to a server or to a cluster. Copies share it.
#[derive(Clone)]
pub(crate) enum Connection {
    Server(MultiplexedConnection),
    Cluster(ClusterConnection),
}

/// Called with what the server says on its own. It must not wait.
pub(crate) type OnPush = Box<dyn Fn(PushInfo) + Send + Sync>;

impl Source {
    pub(crate) fn new(settings: &Settings) -> Result<Self, SettingsError> {
        let Address { mut servers, cluster, ca, cert, key } = Address::parse(&settings.url)?;
        let tls = matches!(servers[0].addr(), ConnectionAddr::TcpTls { .. });
        let certificates = certificates(
            settings.ca_file.clone().or(ca),
            settings.cert_file.clone().or(cert),
            settings.key_file.clone().or(key),
        )?;
        if certificates.is_some() && !tls {
            return Err(SettingsError::Tls(
                "certificates are named, but the address does not begin with rediss://".into(),
            ));
        }
        if tls && rustls::crypto::CryptoProvider::get_default().is_none() {
            // Lost to a thread that did the same at once: then one is there.
            let _ = rustls::crypto::ring::default_provider().install_default();
        }
        let refused = |error| SettingsError::Tls(told(&error).to_string());
        let source =
            |at| Self { at, connect_timeout: settings.connect_timeout, response_timeout: settings.response_timeout };
        if cluster {
            let source = source(At::Cluster(Box::new(Cluster { seeds: servers, certificates })));
            if let At::Cluster(cluster) = &source.at {
                source.cluster_client(cluster, Duration::ZERO, None).map_err(refused)?;
            }
            return Ok(source);
        }
        let server = servers.swap_remove(0);
        let client = match certificates {
            Some(certificates) => Client::build_with_tls(server, certificates),
            None => Client::open(server),
        };
        Ok(source(At::Server(Box::new(client.map_err(refused)?))))
    }

    pub(crate) fn is_cluster(&self) -> bool {
        matches!(self.at, At::Cluster(_))
    }

    /// A new connection, on which an answer may take `blocks_for` longer than else.
    pub(crate) async fn connect(&self, blocks_for: Duration, on_push: Option<OnPush>) -> Result<Connection, BusError> {
        let connected = tokio::time::timeout(self.connect_timeout, self.connected(blocks_for, on_push)).await;
        match connected {
            Ok(connected) => connected.map_err(|error| told(&error)),
            Err(_) => Err(too_slow("connecting", self.connect_timeout)),
        }
    }

    async fn connected(&self, blocks_for: Duration, on_push: Option<OnPush>) -> RedisResult<Connection> {
        match &self.at {
            At::Server(client) => {
                let mut config = AsyncConnectionConfig::new()
                    .set_connection_timeout(Some(self.connect_timeout))
                    .set_response_timeout(Some(self.response_timeout + blocks_for));
                if let Some(on_push) = on_push {
                    config = config.set_push_sender(never_fails(on_push));
                }
                client.get_multiplexed_async_connection_with_config(&config).await.map(Connection::Server)
            }
            At::Cluster(cluster) => {
                let client = self.cluster_client(cluster, blocks_for, on_push)?;
                client.get_async_connection().await.map(Connection::Cluster)
            }
        }
    }

    fn cluster_client(
        &self,
        cluster: &Cluster,
        blocks_for: Duration,
        on_push: Option<OnPush>,
    ) -> RedisResult<ClusterClient> {
        let mut builder = ClusterClient::builder(cluster.seeds.clone())
            .connection_timeout(self.connect_timeout)
            .response_timeout(self.response_timeout + blocks_for)
            .use_protocol(ProtocolVersion::RESP3)
            .tcp_settings(TcpSettings::default().set_nodelay(true))
            .retries(2);
        if let Some(certificates) = &cluster.certificates {
            builder = builder.certs(certificates.clone());
        }
        if let Some(on_push) = on_push {
            builder = builder.push_sender(never_fails(on_push));
        }
        builder.build()
    }
}

impl Connection {
    pub(crate) async fn ask(&mut self, command: &Cmd) -> RedisResult<Value> {
        let answer = match self {
            Self::Server(server) => server.req_packed_command(command).await,
            Self::Cluster(cluster) => cluster.req_packed_command(command).await,
        };
        answer.and_then(Value::extract_error)
    }
}

fn never_fails(on_push: OnPush) -> impl Fn(PushInfo) -> Result<(), Infallible> + Send + Sync + 'static {
    move |push| {
        on_push(push);
        Ok(())
    }
}

fn certificates(
    ca: Option<PathBuf>,
    cert: Option<PathBuf>,
    key: Option<PathBuf>,
) -> Result<Option<TlsCertificates>, SettingsError> {
    let read = |file: PathBuf| {
        std::fs::read(&file).map_err(|error| SettingsError::Tls(format!("{} cannot be read: {error}", file.display())))
    };
    let root_cert = ca.clone().map(read).transpose()?;
    if let (Some(file), Some(pem)) = (ca, &root_cert)
        && CertificateDer::pem_slice_iter(pem).next().is_none_or(|first| first.is_err())
    {
        // The driver would trust nobody, and say so at each attempt.
        return Err(SettingsError::Tls(format!("{} holds no certificate in PEM", file.display())));
    }
    let client_tls = match (cert, key) {
        (Some(cert), Some(key)) => Some(ClientTlsConfig { client_cert: read(cert)?, client_key: read(key)? }),
        (None, None) => None,
        _ => return Err(SettingsError::Tls("a certificate to show needs its key, and a key its certificate".into())),
    };
    let named = root_cert.is_some() || client_tls.is_some();
    Ok(named.then_some(TlsCertificates { client_tls, root_cert }))
}
