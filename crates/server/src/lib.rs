//! The presence server: HTTP over the presence library and the accounts. **It decides nothing about presence**: routes
//! extract, call one method of a handle, convert, and answer.

mod address;
mod app;
mod banner;
mod bodies;
mod cli;
mod command;
mod cross_site;
mod database;
mod descriptors;
mod docs_page;
mod extract;
mod folder;
mod front;
mod identify;
mod large;
mod metrics;
mod panel;
mod plain_errors;
mod problem;
mod push;
mod refusals;
mod routes;
mod serve;
mod settings;
mod slices;
mod standing;
mod tally;
mod variables;
mod wire;

pub use app::{App, StartError};
pub use cli::run;
pub use problem::Problem;
pub use serve::{serve, serve_operations};
pub use settings::{
    BadSettings, Cluster, CorsOrigins, DatabaseFlags, Flags, LogFormat, Registration, Settings, VisibleTo, sqlite_path,
};
