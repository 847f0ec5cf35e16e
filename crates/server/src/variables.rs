//! Environment variables that begin as ours do and are none of ours. **A misspelt setting is named**: a server that starts with
//! another timeout than its owner wrote looks like one with a fault. Values are never shown: they may be secrets.

use clap::Command;

/// What the names of all variables begin with.
const PREFIX: &str = "PRESENTLY_";
/// Read by the log, which is there before the settings are.
const LOG: &str = "PRESENTLY_LOG";
/// How alike two names must be (Damerau and Levenshtein, 1 is the same) for one to be meant by the other.
const ALIKE: f64 = 0.7;

/// A variable that is none of ours, and the one that may have been meant.
#[derive(Debug, PartialEq, Eq)]
struct Unknown {
    variable: String,
    nearest: Option<String>,
}

/// Writes a line for each variable of this process that no flag of `program` knows.
pub(crate) fn warn_of_unknown(program: &Command) {
    let set = std::env::vars_os().filter_map(|(name, value)| Some((name.into_string().ok()?, value)));
    let set: Vec<_> = set.map(|(name, value)| (name, value.to_string_lossy().into_owned())).collect();
    for Unknown { variable, nearest } in
        unknown(set.iter().map(|(name, value)| (name.as_str(), value.as_str())), program)
    {
        match nearest {
            Some(nearest) => {
                tracing::warn!(variable, did_you_mean = nearest, "no setting has the name of this variable")
            }
            None => tracing::warn!(variable, "no setting has the name of this variable: see presently serve --help"),
        }
    }
}

fn unknown<'a>(set: impl Iterator<Item = (&'a str, &'a str)>, program: &Command) -> Vec<Unknown> {
    let mut known = vec![LOG.to_owned()];
    gather(program, &mut known);
    let is_ours = |name: &str| known.iter().any(|known| known == name);
    let mut unknown: Vec<_> = set
        .filter(|(name, value)| {
            name.to_ascii_uppercase().starts_with(PREFIX) && !is_ours(name) && !is_of_cluster(name, value)
        })
        .map(|(name, _)| Unknown { variable: name.to_owned(), nearest: nearest(name, &known) })
        .collect();
    unknown.sort_by(|one, other| one.variable.cmp(&other.variable));
    unknown
}

/// The variables of all flags of a command and those below it.
fn gather(command: &Command, known: &mut Vec<String>) {
    known.extend(command.get_arguments().filter_map(|flag| Some(flag.get_env()?.to_str()?.to_owned())));
    command.get_subcommands().for_each(|command| gather(command, known));
}

/// Kubernetes gives every container such variables when a service is called `presently`.
fn is_of_cluster(name: &str, value: &str) -> bool {
    name.starts_with("PRESENTLY_SERVICE_")
        || name.starts_with("PRESENTLY_PORT_")
        || (name == "PRESENTLY_PORT" && value.contains("://"))
}

fn nearest(name: &str, known: &[String]) -> Option<String> {
    let alike = |known: &String| {
        // The prefix, which all have, would make all of them alike.
        let (name, known) = (name.to_ascii_uppercase(), &known[PREFIX.len()..]);
        strsim::normalized_damerau_levenshtein(&name[PREFIX.len()..], known)
    };
    let best = known.iter().map(|known| (alike(known), known)).max_by(|one, other| one.0.total_cmp(&other.0));
    best.filter(|(alike, _)| *alike >= ALIKE).map(|(_, known)| known.clone())
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(set: &[(&str, &str)], expected: &[(&str, Option<&str>)]) {
        let found = unknown(set.iter().copied(), &crate::cli::command());
        let found: Vec<_> = found.iter().map(|one| (one.variable.as_str(), one.nearest.as_deref())).collect();
        assert_eq!(found, expected);
    }

    #[test]
    fn a_misspelt_variable_is_named_with_the_one_that_was_meant() {
        check(
            &[
                ("PRESENTLY_INACTIVTY_TIMEOUT", "60s"),
                ("PRESENTLY_CORS_ORIGIN", "*"),
                ("PRESENTLY_LISTEN_ADDRESS_AND_PORT", ":8000"),
                ("presently_listen", "127.0.0.1:1"),
            ],
            &[
                ("PRESENTLY_CORS_ORIGIN", Some("PRESENTLY_CORS_ORIGINS")),
                ("PRESENTLY_INACTIVTY_TIMEOUT", Some("PRESENTLY_INACTIVITY_TIMEOUT")),
                ("PRESENTLY_LISTEN_ADDRESS_AND_PORT", None),
                ("presently_listen", Some("PRESENTLY_LISTEN")),
            ],
        );
    }

    #[test]
    fn ours_those_of_others_and_those_of_a_cluster_are_not() {
        check(
            &[
                ("PRESENTLY_LISTEN", "127.0.0.1:1"),
                ("PRESENTLY_LOG", "debug"),
                ("PRESENTLY_ADMIN_PASSWORD", "x"),
                ("PATH", "/bin"),
                ("PRESENT", "1"),
                ("PRESENTLY_SERVICE_HOST", "10.0.0.1"),
                ("PRESENTLY_PORT", "tcp://10.0.0.1:8000"),
                ("PRESENTLY_PORT_8000_TCP_ADDR", "10.0.0.1"),
            ],
            &[],
        );
        check(&[("PRESENTLY_PORT", "9000")], &[("PRESENTLY_PORT", None)]);
    }
}
