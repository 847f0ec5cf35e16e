//! The command line. Exit codes: 0; 1 failed (one line on stderr says why); 2 bad arguments or settings.

use std::io::Write as _;
use std::process::ExitCode;

use clap::{CommandFactory as _, Parser, Subcommand};

use crate::command::{Failure, demo, key, migrate, serve, user, verify};
use crate::settings::Flags;

const EXAMPLES: &str = "\
Examples:
  presently                                     serve http://localhost:8000, data in ./data
  presently --listen 0.0.0.0:8000 --cors-origins http://localhost:5173
  presently demo                                see it alive: made-up users, nothing is kept
  presently user create alice --email alice@example.com
  presently user list
  presently key create billing                  an API key for the back end of an application
  presently verify http://localhost:8000        the checklist, with accounts made for it and removed

Every flag of serve is also an environment variable (shown in brackets) and a key of the file given with --config;
flags win over variables, variables over the file.";

/// Who is online, who is away, who is offline, and when they were last seen: the presence server.
///
/// Without a command it serves. At the first start it makes its data folder, a secret and an admin, whose password it
/// prints once.
#[derive(Parser, Debug)]
#[command(name = "presently", version, after_help = EXAMPLES, args_conflicts_with_subcommands = true)]
struct Cli {
    #[command(subcommand)]
    command: Option<Command>,
    #[command(flatten)]
    flags: Flags,
}

#[derive(Subcommand, Debug)]
enum Command {
    /// Serve (also without a command)
    Serve(Box<Flags>),
    /// Show it alive: a server in a temporary folder with made-up users who come, idle, go and drop; nothing is kept
    Demo(Box<demo::Demo>),
    /// Make and list accounts, set passwords, in the database of a server that runs or not
    #[command(subcommand)]
    User(user::UserCommand),
    /// Make, list and revoke the API keys of applications, in the database of a server that runs or not
    #[command(subcommand)]
    Key(key::KeyCommand),
    /// Copy everything from a SQLite file into an empty PostgreSQL database; the server must be stopped
    MigrateFrom(migrate::MigrateFrom),
    /// Check a running server from outside, through whatever stands before it
    Verify(verify::Verify),
}

/// The command line, for whoever asks what it knows.
pub(crate) fn command() -> clap::Command {
    Cli::command()
}

/// Runs the program with the arguments of the process.
#[must_use]
pub fn run() -> ExitCode {
    let cli = Cli::parse();
    let done = match cli.command {
        None => serve::run(cli.flags),
        Some(Command::Serve(flags)) => serve::run(*flags),
        Some(Command::Demo(demo)) => demo.run(),
        Some(Command::User(command)) => user::run(command),
        Some(Command::Key(command)) => key::run(command),
        Some(Command::MigrateFrom(migrate)) => migrate.run(),
        Some(Command::Verify(verify)) => verify.run(),
    };
    match done {
        Ok(()) => ExitCode::SUCCESS,
        Err(failure) => {
            let (code, sentence) = match failure {
                Failure::Failed(sentence) => (1, sentence),
                Failure::Usage(sentence) => (2, sentence),
            };
            let sentence = sentence.replace(['\n', '\r'], " ");
            let _ = writeln!(std::io::stderr(), "presently: {sentence}");
            ExitCode::from(code)
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_command_line_is_consistent() {
        command().debug_assert();
    }
}
