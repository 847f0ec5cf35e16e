//! What the bus does against a real server. Each test starts its own.

#![allow(clippy::expect_used, clippy::unwrap_used, reason = "a test that cannot go on has failed")]

mod access;
mod clocks;
mod conformance;
mod outages;
mod pressure;

use std::time::Duration;

use presently::bus::{Node, Timing};
use presently_testkit::Valkey;
use presently_valkey::{Settings, ValkeyBus};

const ONE: Node = Node(1);
const TWO: Node = Node(2);
const LOST: &[u8] = b"lost";

/// Leases short enough to wait for.
fn settings(url: impl Into<String>) -> Settings {
    let timing = Timing { lease: Duration::from_millis(1200), renew_every: Duration::from_millis(400) };
    Settings { timing, ..Settings::new(url) }
}

fn bus(server: &Valkey) -> ValkeyBus {
    open(settings(server.url()))
}

fn open(settings: Settings) -> ValkeyBus {
    ValkeyBus::open(settings).expect("settings that fit")
}
