//! What the bus does against a real server.
