//! What carries several nodes of Presently: the port [`Bus`](presently::bus::Bus) on Valkey, or Redis 7.0 or newer.
//! **Whatever must happen together happens in one script; whatever may be lost is said so by the port.**
//!
//! ```no_run
//! use presently::bus::{Bus, Node};
//! use presently_valkey::{Settings, ValkeyBus};
//!
//! # #[tokio::main(flavor = "current_thread")]
//! # async fn main() -> Result<(), Box<dyn std::error::Error>> {
//! let bus = ValkeyBus::open(Settings::new("redis://localhost:6379"))?;
//! let joined = bus.join(Node(0x5eed), 42, b"hello").await?;
//! println!("epoch {}, {} others", joined.epoch, joined.peers.len());
//! # Ok(())
//! # }
//! ```
//!
//! # What is kept there
//!
//! Nothing of a user, once the nodes have left. All keys of one group of nodes carry its name as a hash tag, so that a cluster keeps them in one slot:
//!
//! | key | type | |
//! |---|---|---|
//! | `{presently:NAME}:epoch` | hash | the epoch, the last number given, when a node was heard last |
//! | `{presently:NAME}:log` | stream | the log, [`Settings::log_max`] entries |
//! | `{presently:NAME}:nodes` | sorted set | the live nodes by the end of their lease |
//! | `{presently:NAME}:snapshot:NODE` | list | chunks for a node that joins, for a minute |
//! | `{presently:NAME}:probe` | string | for a second |
//! | `{presently:NAME}:whispers` | sharded channel | |
//!
//! The server should not evict these keys (`maxmemory-policy noeviction`): an evicted log ends the epoch, and the nodes join again. Nothing here needs the server to
//! write to its disk. A user of its access control needs
//! `~{presently:NAME}:* &{presently:NAME}:* +hello +ping +eval +evalsha +time +exists +set +del +hget +hset +hdel
//! +xadd +xrange +xrevrange +xread +zadd +zincrby +zrange +zrangebyscore +zrem +zscore +llen +lpop +rpush +pexpire +blpop +spublish +ssubscribe`,
//! and in a cluster `+cluster|slots +readonly` more.
//!
//! # When it is away
//!
//! A call takes at most [`Settings::connect_timeout`] and [`Settings::response_timeout`] together (a waiting one its wait more), then it is
//! `Unavailable`. A broken connection is made anew by the next call; after a failure the next attempt waits, up to 2 s, and all that wait share it.

mod address;
mod bus;
mod failure;
mod link;
mod scripts;
mod settings;
mod source;
mod whispers;

pub use bus::ValkeyBus;
pub use settings::{Settings, SettingsError};
