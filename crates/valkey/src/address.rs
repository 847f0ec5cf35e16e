//! The address in the settings, taken apart.

use std::path::PathBuf;

use redis::io::tcp::TcpSettings;
use redis::{ConnectionInfo, IntoConnectionInfo, ProtocolVersion};
use url::Url;

use crate::failure::told;
use crate::settings::SettingsError;

/// What [`Settings::url`](crate::Settings::url) says.
pub(crate) struct Address {
    /// At least one; more only for a cluster.
    pub(crate) servers: Vec<ConnectionInfo>,
    pub(crate) cluster: bool,
    pub(crate) ca: Option<PathBuf>,
    pub(crate) cert: Option<PathBuf>,
    pub(crate) key: Option<PathBuf>,
}

impl Address {
    pub(crate) fn parse(text: &str) -> Result<Self, SettingsError> {
        let wrong = |what: &str| SettingsError::Url(what.into());
        let mut url = Url::parse(text).map_err(|error| SettingsError::Url(error.to_string()))?;
        let (scheme, mut cluster) = match url.scheme().split_once('+') {
            Some((scheme, "cluster")) => (scheme, true),
            Some(_) => return Err(wrong("the only addition to its scheme is +cluster")),
            None => (url.scheme(), false),
        };
        let scheme = match scheme {
            "redis" | "valkey" => "redis",
            "rediss" | "valkeys" => "rediss",
            _ => return Err(wrong("it begins with redis://, rediss://, valkey:// or valkeys://")),
        };
        if url.fragment().is_some() {
            return Err(wrong("nothing follows a #, and certificates are always checked"));
        }
        if url.host_str().is_none_or(str::is_empty) {
            return Err(wrong("it names no host"));
        }

        let (mut ca, mut cert, mut key, mut seeds) = (None, None, None, Vec::new());
        for (name, value) in url.query_pairs() {
            match &*name {
                "ca" => ca = Some(PathBuf::from(&*value)),
                "cert" => cert = Some(PathBuf::from(&*value)),
                "key" => key = Some(PathBuf::from(&*value)),
                "seed" => seeds.push(value.into_owned()),
                "cluster" if value == "true" => cluster = true,
                "cluster" if value == "false" => {}
                _ => return Err(SettingsError::Url(format!("there is no parameter {name} of that value"))),
            }
        }
        if !cluster && !seeds.is_empty() {
            return Err(wrong("seeds are of a cluster"));
        }
        url.set_scheme(scheme).map_err(|()| wrong("its scheme does not fit"))?;
        url.set_query(None);

        let mut servers = vec![server(url.clone())?];
        for seed in seeds {
            let (host, port) = seed.rsplit_once(':').ok_or_else(|| wrong("a seed is HOST:PORT"))?;
            let port = port.parse().map_err(|_| wrong("the port of a seed is a number"))?;
            let mut url = url.clone();
            url.set_host(Some(host)).map_err(|_| wrong("the host of a seed is none"))?;
            url.set_port(Some(port)).map_err(|()| wrong("the port of a seed does not fit"))?;
            servers.push(server(url)?);
        }
        Ok(Self { servers, cluster, ca, cert, key })
    }
}

fn server(url: Url) -> Result<ConnectionInfo, SettingsError> {
    let info = url.into_connection_info().map_err(|error| SettingsError::Url(told(&error).to_string()))?;
    let settings = info.redis_settings().clone().set_protocol(ProtocolVersion::RESP3);
    let settings = settings.set_lib_name("presently", env!("CARGO_PKG_VERSION"));
    Ok(info.set_redis_settings(settings).set_tcp_settings(TcpSettings::default().set_nodelay(true)))
}

#[cfg(test)]
mod tests {
    use redis::ConnectionAddr;

    use super::*;

    fn parsed(text: &str) -> Address {
        Address::parse(text).unwrap_or_else(|error| panic!("{text}: {error}"))
    }

    #[test]
    fn a_plain_address_has_the_usual_port() {
        let address = parsed("redis://cache.example");
        assert_eq!(address.servers[0].addr(), &ConnectionAddr::Tcp("cache.example".into(), 6379));
        assert!(!address.cluster);
        assert!(address.servers[0].tcp_settings().nodelay());
    }

    #[test]
    fn users_and_passwords_are_decoded() {
        let address = parsed("valkeys://us%40er:p%2Fw%3A@10.0.0.1:7000/3");
        let settings = address.servers[0].redis_settings();
        assert_eq!((settings.username(), settings.password(), settings.db()), (Some("us@er"), Some("p/w:"), 3));
        assert!(matches!(address.servers[0].addr(), ConnectionAddr::TcpTls { port: 7000, insecure: false, .. }));
    }

    #[test]
    fn a_password_alone_is_of_the_default_user() {
        let address = parsed("redis://:secret@localhost");
        let settings = address.servers[0].redis_settings();
        assert_eq!((settings.username(), settings.password()), (None, Some("secret")));
    }

    #[test]
    fn a_cluster_is_named_by_scheme_or_parameter_and_may_have_seeds() {
        assert!(parsed("redis+cluster://a").cluster);
        assert!(!parsed("redis://a?cluster=false").cluster);
        let address = parsed("rediss://u:p@a:1?cluster=true&seed=b:2&seed=[::1]:3&ca=ca.pem");
        assert!(address.cluster);
        assert_eq!(address.ca, Some(PathBuf::from("ca.pem")));
        let servers: Vec<_> = address.servers.iter().map(|server| server.addr().to_string()).collect();
        assert_eq!(servers, ["a:1", "b:2", "::1:3"]);
        assert!(address.servers.iter().all(|server| server.redis_settings().password() == Some("p")));
    }

    #[test]
    fn what_is_no_address_is_refused_without_its_password() {
        for text in [
            "",
            "localhost:6379",
            "http://u:hunter2@localhost",
            "redis://",
            "redis+sentinel://u:hunter2@a",
            "redis://u:hunter2@a?what=1",
            "rediss://u:hunter2@a#insecure",
            "redis://u:hunter2@a?seed=b:1",
            "redis://u:hunter2@a?cluster=true&seed=b",
            "redis://u:hunter2@a:99999",
            "redis://u:hunter2@a/base",
        ] {
            match Address::parse(text) {
                Ok(_) => panic!("{text} was taken"),
                Err(error) => assert!(!error.to_string().contains("hunter2"), "{error}"),
            }
        }
    }
}
