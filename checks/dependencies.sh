# shellcheck shell=bash
# What comes from others.

step_licences() {
  cargo metadata --locked --format-version 1 | python3 -B checks/licences.py
}

step_deny() {
  command -v cargo-deny >/dev/null 2>&1 || { say "skipped: cargo-deny is not installed (cargo install cargo-deny)"; return $SKIPPED; }
  cargo deny --locked --all-features check bans licenses sources
}

# Nothing is fetched: a check that needs somebody else's server is no check of this repository.
step_advisories() {
  command -v cargo-deny >/dev/null 2>&1 || { say "skipped: cargo-deny is not installed (cargo install cargo-deny)"; return $SKIPPED; }
  compgen -G "${CARGO_HOME:-$HOME/.cargo}/advisory-db*/*" >/dev/null || {
    say "skipped: there is no database of advisories (cargo deny fetch db)"
    return $SKIPPED
  }
  cargo deny --locked --all-features check --disable-fetch advisories
}
