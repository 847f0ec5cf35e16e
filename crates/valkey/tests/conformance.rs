//! Every promise of the port, on a server and on a cluster.

use std::sync::Arc;
use std::time::Duration;

use async_trait::async_trait;
use presently::bus::Bus;
use presently::bus::conformance::{LOG_MAX, Rig, run};
use presently_testkit::{Valkey, ValkeyOptions};
use presently_valkey::Settings;

use crate::{open, settings};

struct Real {
    server: Arc<Valkey>,
    settings: Settings,
}

#[async_trait]
impl Rig for Real {
    async fn end(&self) -> Arc<dyn Bus> {
        Arc::new(open(self.settings.clone()))
    }

    async fn pass(&self, length: Duration) {
        tokio::time::sleep(length).await;
    }

    async fn lose_everything(&self) {
        assert_eq!(self.server.command(&["FLUSHALL"]), "+OK");
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_on_a_server_keeps_every_promise() {
    keeps_every_promise(Valkey::plain(), "").await;
}

#[tokio::test(flavor = "multi_thread")]
async fn the_bus_on_a_cluster_keeps_every_promise() {
    keeps_every_promise(Valkey::start(ValkeyOptions { cluster: true, ..ValkeyOptions::default() }), "?cluster=true")
        .await;
}

/// Each case has a group of its own on the one server.
async fn keeps_every_promise(server: Valkey, parameters: &str) {
    let server = Arc::new(server);
    let groups = std::sync::atomic::AtomicU32::new(0);
    run(async || {
        let group = groups.fetch_add(1, std::sync::atomic::Ordering::Relaxed);
        let settings = Settings {
            name: format!("group-{group}"),
            log_max: u64::try_from(LOG_MAX).unwrap(),
            ..settings(server.url() + parameters)
        };
        Arc::new(Real { server: server.clone(), settings }) as Arc<dyn Rig>
    })
    .await;
}
