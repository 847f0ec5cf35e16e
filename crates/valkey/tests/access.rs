//! Who gets in, and over what.

use std::time::Duration;

use presently::bus::{Bus, BusError};
use presently_testkit::{Valkey, ValkeyOptions};
use presently_valkey::{Settings, SettingsError, ValkeyBus};
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, DnType, IsCa, KeyPair};

use crate::{LOST, ONE, TWO, open, settings};

/// What the documentation of the crate says that a user needs.
const RIGHTS: &str = "~{presently:main}:* &{presently:main}:* +hello +ping +eval +evalsha +time +exists +set +del \
    +hget +hset +hdel +xadd +xrange +xrevrange +xread +zadd +zincrby +zrange +zrangebyscore +zrem +zscore +llen +lpop +rpush \
    +pexpire +blpop +spublish +ssubscribe";

#[tokio::test]
async fn a_password_opens_and_a_wrong_one_is_refused_without_being_told() {
    let args = ["--requirepass", "pass/word"].map(String::from).to_vec();
    let server = Valkey::start(ValkeyOptions { args, ..ValkeyOptions::default() });
    let with = |login: &str| open(settings(server.url().replace("://", &format!("://{login}@"))));
    try_everything(&with(":pass%2Fword")).await.expect("with the password");
    for login in [":hunter2", "alice:hunter2"] {
        refused(&with(login)).await;
    }
    refused(&open(settings(server.url()))).await;
}

#[tokio::test]
async fn a_user_with_the_documented_rights_can_do_everything() {
    let server = Valkey::plain();
    let rights: Vec<&str> = RIGHTS.split_whitespace().collect();
    let set = [&["ACL", "SETUSER", "presently", "on", ">hunter2", "resetchannels"][..], &rights].concat();
    assert_eq!(server.command(&set), "+OK");
    let url = server.url().replace("://", "://presently:hunter2@");
    try_everything(&open(settings(&url))).await.expect("with the documented rights");
    // Another group's keys are not its own.
    refused(&open(Settings { name: "other".into(), ..settings(&url) })).await;
}

#[tokio::test]
async fn a_user_with_the_documented_rights_can_do_everything_in_a_cluster() {
    let server = Valkey::start(ValkeyOptions { cluster: true, ..ValkeyOptions::default() });
    let rights: Vec<&str> = RIGHTS.split_whitespace().chain(["+cluster|slots", "+readonly"]).collect();
    let set = [&["ACL", "SETUSER", "presently", "on", ">hunter2", "resetchannels"][..], &rights].concat();
    assert_eq!(server.command(&set), "+OK");
    let url = server.url().replace("redis://", "redis+cluster://presently:hunter2@");
    try_everything(&open(settings(&url))).await.expect("with the documented rights");
}

#[tokio::test]
async fn tls_with_a_named_authority_carries_everything() {
    let authority = Authority::new();
    for cluster in [false, true] {
        let args = ["--tls-auth-clients", "no", "--tls-ca-cert-file", &authority.ca()].map(String::from).to_vec();
        let server = Valkey::start(ValkeyOptions { args, tls: Some(authority.issue("server")), cluster });
        let url = format!("{}?ca={}&cluster={cluster}", server.url(), authority.ca());
        try_everything(&open(settings(url))).await.expect("over TLS");
    }
}

#[tokio::test]
async fn tls_with_an_unknown_authority_or_without_tls_does_not_get_in() {
    let authority = Authority::new();
    let args = ["--tls-auth-clients", "no"].map(String::from).to_vec();
    let server = Valkey::start(ValkeyOptions { args, tls: Some(authority.issue("server")), cluster: false });
    let stranger = Authority::new();
    let url = server.url();
    for url in [format!("{url}?ca={}", stranger.ca()), url.clone(), url.replace("rediss", "redis")] {
        let bus = open(Settings { connect_timeout: Duration::from_millis(500), ..settings(&url) });
        let failed = bus.probe().await;
        assert!(matches!(failed, Err(BusError::Unavailable(_) | BusError::Refused(_))), "{url}: {failed:?}");
    }
}

#[tokio::test]
async fn a_server_that_asks_for_certificates_gets_this_nodes() {
    let authority = Authority::new();
    let args = vec!["--tls-auth-clients".into(), "yes".into(), "--tls-ca-cert-file".into(), authority.ca()];
    let server = Valkey::start(ValkeyOptions { args, tls: Some(authority.issue("server")), cluster: false });
    let (cert, key) = authority.issue("node");
    let url = format!("{}?ca={}", server.url(), authority.ca());
    try_everything(&open(settings(format!("{url}&cert={cert}&key={key}")))).await.expect("with a certificate");
    let without = open(settings(&url)).probe().await;
    assert!(matches!(without, Err(BusError::Unavailable(_) | BusError::Refused(_))), "{without:?}");
}

#[tokio::test]
async fn settings_that_make_no_sense_cannot_be_opened() {
    let usual = || Settings::new("redis://localhost");
    let refused = |settings: Settings| ValkeyBus::open(settings).expect_err("must be refused");
    for name in ["", "a}b", "a b", &"a".repeat(65)] {
        assert_eq!(refused(Settings { name: name.into(), ..usual() }), SettingsError::Name);
    }
    let mut short = usual();
    short.timing.lease = short.timing.renew_every * 3 - Duration::from_millis(1);
    assert_eq!(refused(short), SettingsError::Timing);
    assert_eq!(refused(Settings { response_timeout: Duration::ZERO, ..usual() }), SettingsError::Timing);
    assert_eq!(refused(Settings { log_max: 0, ..usual() }), SettingsError::LogMax);
    assert!(matches!(refused(Settings::new("http://localhost")), SettingsError::Url(_)));
    assert!(matches!(refused(Settings { ca_file: Some("ca.pem".into()), ..usual() }), SettingsError::Tls(_)));
    let tls = || Settings::new("rediss://localhost");
    assert!(matches!(refused(Settings { ca_file: Some("not/there.pem".into()), ..tls() }), SettingsError::Tls(_)));
    assert!(matches!(refused(Settings { cert_file: Some("Cargo.toml".into()), ..tls() }), SettingsError::Tls(_)));
    assert!(matches!(refused(Settings { ca_file: Some("Cargo.toml".into()), ..tls() }), SettingsError::Tls(_)));
    let shown = format!("{:?}", Settings::new("redis://:hunter2@localhost"));
    assert!(!shown.contains("hunter2"), "{shown}");
}

/// One call of each kind.
async fn try_everything(bus: &ValkeyBus) -> Result<(), BusError> {
    bus.probe().await?;
    let joined = bus.join(ONE, 7, b"one").await?;
    bus.join(TWO, 8, b"two").await?;
    bus.append(ONE, 7, &[b"entry".to_vec()]).await?;
    assert_eq!(bus.read(7, joined.seq, 10, Duration::from_secs(5)).await?.len(), 2);
    let last = bus.append(ONE, 7, &[b"entry".to_vec()]).await?[0];
    assert_eq!(bus.read(7, last, 10, Duration::from_millis(20)).await?, []);
    bus.renew(ONE, 7, LOST).await?;
    bus.put_chunk(TWO, b"chunk").await?;
    assert!(bus.take_chunk(TWO, Duration::from_secs(5)).await?.is_some());
    assert!(bus.take_chunk(TWO, Duration::from_millis(20)).await?.is_none());
    drop(bus.whispers().await?);
    bus.whisper(7, b"whisper").await?;
    bus.leave(TWO, 7, LOST).await?;
    bus.leave(ONE, 7, LOST).await
}

async fn refused(bus: &ValkeyBus) {
    let attempts = [bus.probe().await, bus.join(ONE, 7, b"").await.map(|_| ()), bus.whisper(7, b"").await];
    let all = attempts.into_iter().chain([bus.whispers().await.map(|_| ())]);
    for failed in all {
        match failed {
            Err(BusError::Refused(why)) => assert!(!why.contains("hunter2") && !why.contains("word/"), "{why}"),
            other => panic!("{other:?}"),
        }
    }
}

struct Authority {
    issuer: CertifiedIssuer<'static, KeyPair>,
    directory: tempfile::TempDir,
}

impl Authority {
    fn new() -> Self {
        let mut params = CertificateParams::default();
        params.distinguished_name.push(DnType::CommonName, "an authority");
        params.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
        let issuer = CertifiedIssuer::self_signed(params, KeyPair::generate().unwrap()).unwrap();
        let directory = tempfile::tempdir().unwrap();
        std::fs::write(directory.path().join("ca.pem"), issuer.pem()).unwrap();
        Self { issuer, directory }
    }

    fn ca(&self) -> String {
        self.file("ca.pem")
    }

    /// A certificate for this machine and its key, as files.
    fn issue(&self, name: &str) -> (String, String) {
        let key = KeyPair::generate().unwrap();
        let mut params = CertificateParams::new(vec!["localhost".into(), "127.0.0.1".into()]).unwrap();
        params.distinguished_name.push(DnType::CommonName, name);
        let certificate = params.signed_by(&key, &self.issuer).unwrap();
        let files = (self.file(&format!("{name}.pem")), self.file(&format!("{name}.key")));
        std::fs::write(&files.0, certificate.pem()).unwrap();
        std::fs::write(&files.1, key.serialize_pem()).unwrap();
        files
    }

    fn file(&self, name: &str) -> String {
        self.directory.path().join(name).display().to_string()
    }
}
