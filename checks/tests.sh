# shellcheck shell=bash
# Rust's own tests.

step_tests() {
  if cargo nextest --version >/dev/null 2>&1; then
    # A single test that hangs is ended by .config/nextest.toml.
    cargo nextest run --locked --workspace --all-features --no-fail-fast
  else
    timeout -k 30 2700 cargo test --locked --workspace --all-features --lib --bins --tests --examples --no-fail-fast
  fi
}

# In one process, whose tests share one PostgreSQL and one Valkey: nextest would start both for each of them.
step_nodes() {
  PRESENTLY_TEST_NODES=3 timeout -k 30 1500 cargo test --locked --workspace --all-features --test http
}

step_doctests() { cargo test --locked --workspace --all-features --doc --no-fail-fast; }
