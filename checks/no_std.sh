# shellcheck shell=bash
# The core's wall.

# A program of its own with a panic handler of its own: the compiler refuses it ("duplicate lang item") as soon as
# anything below it brings the standard library in. Needs no second target.
step_no_std() {
  local crate="$TARGET/no_std"
  mkdir -p "$crate" || return 1
  cp Cargo.lock "$crate/" || return 1
  cat >"$crate/Cargo.toml" <<TOML
[package]
name = "no-std-check"
version = "0.0.0"
edition = "2024"

[lib]
path = "$PWD/checks/no_std/lib.rs"
crate-type = ["staticlib"]

[dependencies]
presently-core = { path = "$PWD/crates/core" }
presently-replication = { path = "$PWD/crates/replication" }

[profile.dev]
panic = "abort"

[workspace]
TOML
  CARGO_TARGET_DIR="$TARGET/no_std/target" cargo build --quiet --manifest-path "$crate/Cargo.toml" && say "links without std"
}
