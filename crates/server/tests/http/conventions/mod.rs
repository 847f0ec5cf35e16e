//! What holds for every path.

mod bodies;
mod cors;
mod errors;
mod headers;
mod methods;
mod nonsense;
mod slashes;
mod wire;
