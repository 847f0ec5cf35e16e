# shellcheck shell=bash
# The program, its documentation, and what README.md and docs/operations.md say of it.

step_docs() { RUSTDOCFLAGS="-D warnings" cargo doc --locked --workspace --all-features --no-deps; }

step_build() { cargo build --locked --release; }

step_readme() { cargo build --locked --release --quiet && timeout -k 30 600 python3 -B benchmark/readme.py; }

# What promtool would say is left out where it is not installed: it comes with all of Prometheus.
step_operations() {
  cargo build --locked --workspace --all-features --bin presently --quiet || return 1
  timeout -k 30 120 python3 -B examples/cluster/check.py "$TARGET/debug/presently"
}
