//! The scripts in the server's language. **Each is one step: nothing comes between, and nothing of it stays when it is refused.**

use std::sync::LazyLock;

use redis::{Cmd, Value};

use crate::failure::senseless;
use presently::bus::BusError;

/// A script: sent by its hash, and whole when the server does not know it.
pub(crate) struct Script {
    code: String,
    hash: String,
}

/// Refused, and left undone, when the server's memory is full.
const WRITES: &str = "#!lua\n";
/// Done even then: what ends leases also ends what fills the memory.
const WRITES_ALWAYS: &str = "#!lua flags=allow-oom\n";
const READS: &str = "#!lua flags=no-writes\n";
const COMMON: &str = include_str!("../scripts/common.lua");

macro_rules! scripts {
    ($($name:ident: $($part:expr),*;)*) => {
        $(pub(crate) static $name: LazyLock<Script> = LazyLock::new(|| Script::new(&[$($part),*]));)*
    };
}

scripts! {
    JOIN: WRITES, COMMON, include_str!("../scripts/join.lua");
    APPEND: WRITES, COMMON, include_str!("../scripts/append.lua");
    RENEW: WRITES_ALWAYS, COMMON, include_str!("../scripts/renew.lua");
    LEAVE: WRITES_ALWAYS, COMMON, include_str!("../scripts/leave.lua");
    READ: READS, include_str!("../scripts/read.lua");
    PUT: WRITES, include_str!("../scripts/put.lua");
    PROBE: WRITES, include_str!("../scripts/probe.lua");
}

impl Script {
    fn new(parts: &[&str]) -> Self {
        let code = parts.concat();
        let hash = redis::Script::new(&code).get_hash().to_owned();
        Self { code, hash }
    }

    /// The script by its hash.
    pub(crate) fn by_hash(&self, keys: &[&str], args: &[&[u8]]) -> Cmd {
        command("EVALSHA", &self.hash, keys, args)
    }

    /// The script itself, which the server then knows by its hash.
    pub(crate) fn whole(&self, keys: &[&str], args: &[&[u8]]) -> Cmd {
        command("EVAL", &self.code, keys, args)
    }
}

fn command(name: &str, script: &str, keys: &[&str], args: &[&[u8]]) -> Cmd {
    let mut command = redis::cmd(name);
    command.arg(script).arg(keys.len());
    for key in keys {
        command.arg(*key);
    }
    for arg in args {
        command.arg(*arg);
    }
    command
}

/// What a script answered: a word, and what belongs to it.
pub(crate) struct Reply {
    parts: std::vec::IntoIter<Value>,
}

impl Reply {
    /// What follows `ok`; the other words are errors of the port.
    pub(crate) fn parse(value: Value) -> Result<Self, BusError> {
        let mut reply = Self { parts: values(value)?.into_iter() };
        match &*reply.bytes()? {
            b"ok" => Ok(reply),
            b"epoch" => Err(BusError::Epoch),
            b"lost" => Err(BusError::Lost),
            b"trimmed" => Err(BusError::Trimmed),
            _ => Err(senseless()),
        }
    }

    pub(crate) fn next(&mut self) -> Result<Value, BusError> {
        self.parts.next().ok_or_else(senseless)
    }

    pub(crate) fn bytes(&mut self) -> Result<Vec<u8>, BusError> {
        bytes(self.next()?)
    }

    pub(crate) fn number(&mut self) -> Result<u64, BusError> {
        number(self.next()?)
    }

    pub(crate) fn values(&mut self) -> Result<Vec<Value>, BusError> {
        values(self.next()?)
    }
}

pub(crate) fn values(value: Value) -> Result<Vec<Value>, BusError> {
    match value {
        Value::Array(values) => Ok(values),
        _ => Err(senseless()),
    }
}

pub(crate) fn bytes(value: Value) -> Result<Vec<u8>, BusError> {
    match value {
        Value::BulkString(bytes) => Ok(bytes),
        _ => Err(senseless()),
    }
}

/// A number in decimal.
pub(crate) fn number(value: Value) -> Result<u64, BusError> {
    let digits = bytes(value)?;
    std::str::from_utf8(&digits).ok().and_then(|digits| digits.parse().ok()).ok_or_else(senseless)
}
