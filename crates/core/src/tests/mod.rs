//! The rules, as scripts; the engine against a naive model; days of traffic in virtual time.

mod abuse;
mod acts;
mod clocks;
mod cluster;
mod copies;
mod looks;
mod model;
mod overrides;
mod proposals;
mod rejoining;
mod restarts;
mod script;
mod sessions;
mod several;
mod simulation;
mod store;
mod sweeps;
mod wandering;
mod words;
