//! The driver's errors in the words of the port. **No password, no entry and no key of a user is ever in one.**

use presently::bus::BusError;
use redis::{ErrorKind, RedisError, ServerErrorKind};

/// An answer that no script of ours gives: another program writes to these keys.
pub(crate) fn senseless() -> BusError {
    BusError::Refused("the server's answer makes no sense: does something else use these keys?".into())
}

/// Nothing came within the time allowed.
pub(crate) fn too_slow(what: &str, within: std::time::Duration) -> BusError {
    BusError::Unavailable(format!("{what} took longer than {} ms", within.as_millis()))
}

/// Whether the script must be sent whole.
pub(crate) fn is_unknown_script(error: &RedisError) -> bool {
    error.kind() == ErrorKind::Server(ServerErrorKind::NoScript)
}

/// Whether another try needs another connection: the old one is broken, or leads to a server that may no longer be written to.
pub(crate) fn spoils_connection(error: &RedisError) -> bool {
    use ServerErrorKind::{ClusterDown, MasterDown, Moved, ReadOnly};
    match error.kind() {
        ErrorKind::Server(kind) => matches!(kind, ReadOnly | MasterDown | Moved | ClusterDown),
        ErrorKind::Extension => false,
        _ => true,
    }
}

/// What the port says of it.
pub(crate) fn told(error: &RedisError) -> BusError {
    let code = error.code().unwrap_or_default();
    let detail = harmless(error.detail().unwrap_or_default());
    match error.kind() {
        ErrorKind::Server(kind) => match kind {
            ServerErrorKind::ResponseError if is_syntax_of_scripts(&detail) => too_old(),
            ServerErrorKind::ResponseError | ServerErrorKind::CrossSlot | ServerErrorKind::NoPerm => {
                BusError::Refused(format!("{code} {detail}"))
            }
            _ => BusError::Unavailable(format!("{code} {detail}")),
        },
        ErrorKind::Extension => match code {
            "OOM" => BusError::Refused("the server's memory is full (maxmemory)".into()),
            "BUSY" | "NOREPLICAS" | "UNBLOCKED" | "FAILOVER" => BusError::Unavailable(format!("{code} {detail}")),
            _ => BusError::Refused(format!("{code} {detail}")),
        },
        ErrorKind::AuthenticationFailed => BusError::Refused("the server does not accept the user or password".into()),
        ErrorKind::RESP3NotSupported => too_old(),
        ErrorKind::InvalidClientConfig => BusError::Refused(format!("{} {detail}", error.category())),
        ErrorKind::Io if error.is_timeout() => BusError::Unavailable("no answer in time".into()),
        ErrorKind::Io if error.is_connection_refusal() => BusError::Unavailable("connection refused".into()),
        ErrorKind::Io => BusError::Unavailable(format!("the connection broke: {}", harmless(&error.to_string()))),
        _ => BusError::Unavailable(format!("{} {detail}", error.category())),
    }
}

fn too_old() -> BusError {
    BusError::Refused("the server must be Valkey, or Redis 7.0 or newer".into())
}

/// How older servers answer the first line of our scripts.
fn is_syntax_of_scripts(detail: &str) -> bool {
    detail.contains("Error compiling script") && detail.contains("unexpected symbol near '#'")
}

/// Servers repeat the arguments of commands they do not know, and those may be anything.
fn harmless(detail: &str) -> String {
    let end = detail.find("with args").unwrap_or(detail.len());
    detail[..end].trim_end_matches([' ', ',']).chars().filter(|char| !char.is_control()).take(200).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    fn from_server(line: &str) -> RedisError {
        match redis::parse_redis_value(format!("-{line}\r\n").as_bytes()).and_then(redis::Value::extract_error) {
            Err(error) => error,
            Ok(value) => panic!("{value:?} is no error"),
        }
    }

    #[test]
    fn arguments_that_a_server_repeats_are_not_told() {
        let told =
            told(&from_server("ERR unknown command `HELLO`, with args beginning with: `3` `AUTH` `u` `hunter2`"));
        assert_eq!(told, BusError::Refused("ERR unknown command `HELLO`".into()));
    }

    #[test]
    fn what_passes_is_unavailable_and_what_needs_a_person_is_refused() {
        for line in ["LOADING Redis is loading", "BUSY a script runs", "MASTERDOWN Link is down", "READONLY a replica"]
        {
            assert!(matches!(told(&from_server(line)), BusError::Unavailable(_)), "{line}");
        }
        for line in [
            "OOM command not allowed",
            "NOPERM no",
            "WRONGPASS invalid",
            "NOAUTH needed",
            "MISCONF snapshots",
            "WRONGTYPE of key",
        ] {
            assert!(matches!(told(&from_server(line)), BusError::Refused(_)), "{line}");
        }
    }

    #[test]
    fn an_old_server_is_told_from_a_broken_one() {
        let line = "ERR Error compiling script (new function): user_script:1: unexpected symbol near '#'";
        assert_eq!(told(&from_server(line)), too_old());
    }
}
