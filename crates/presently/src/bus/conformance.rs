//! What every [`Bus`](super::Bus) promises, one case a promise.
