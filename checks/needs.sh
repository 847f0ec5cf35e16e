# shellcheck shell=bash
# What a test needs: the Rust toolchain, and packages of Debian and Ubuntu.

need_rust() {
  if ! command -v cargo >/dev/null 2>&1; then
    # A shell that did not read the profile since the toolchain was installed.
    [ -x "${CARGO_HOME:-$HOME/.cargo}/bin/cargo" ] && PATH="${CARGO_HOME:-$HOME/.cargo}/bin:$PATH"
  fi
  if ! command -v cargo >/dev/null 2>&1; then
    say "The Rust toolchain is missing: install it as https://rustup.rs says (Rust 1.95 or newer), then run ./test again." >&2
    exit 2
  fi
  local component
  for component in rustfmt clippy; do
    case $component in rustfmt) cargo fmt --version ;; clippy) cargo clippy --version ;; esac >/dev/null 2>&1 && continue
    say "installing $component through rustup"
    rustup component add "$component" || say "The component $component is missing: rustup component add $component" >&2
  done
}

# The steps that will run are the arguments; none are all.
need_packages() {
  local missing=()
  command -v cc >/dev/null 2>&1 || missing+=(gcc libc6-dev)
  command -v make >/dev/null 2>&1 || missing+=(make)
  command -v pkg-config >/dev/null 2>&1 || missing+=(pkg-config)
  command -v python3 >/dev/null 2>&1 || missing+=(python3)
  command -v git >/dev/null 2>&1 || missing+=(git)
  command -v curl >/dev/null 2>&1 || missing+=(curl)
  command -v sqlite3 >/dev/null 2>&1 || missing+=(sqlite3)
  command -v openssl >/dev/null 2>&1 || missing+=(openssl)
  if ! command -v postgres >/dev/null 2>&1 && ! compgen -G '/usr/lib/postgresql/*/bin/postgres' >/dev/null; then
    missing+=(postgresql)
  fi
  if [ $# -eq 0 ] || printf '%s\n' "$@" | grep -qxE 'sdk|panel'; then
    command -v node >/dev/null 2>&1 || missing+=(nodejs)
    command -v npm >/dev/null 2>&1 || missing+=(npm)
    browser >/dev/null || missing+=(chromium)
  fi
  command -v valkey-server >/dev/null 2>&1 || command -v redis-server >/dev/null 2>&1 || missing+=(redis-server)
  if [ $# -eq 0 ] || printf '%s\n' "$@" | grep -qx operations; then
    command -v nginx >/dev/null 2>&1 || [ -x /usr/sbin/nginx ] || missing+=(nginx-light)
  fi
  [ ${#missing[@]} -eq 0 ] && return
  say "installing ${missing[*]}"
  local root=()
  if [ "$(id -u)" -ne 0 ]; then
    if ! command -v sudo >/dev/null 2>&1; then
      say "These packages are missing, and neither root nor sudo is at hand: ${missing[*]}" >&2
      exit 2
    fi
    root=(sudo)
  fi
  if ! command -v apt-get >/dev/null 2>&1; then
    say "These programs are missing, and this is no Debian or Ubuntu: ${missing[*]}" >&2
    exit 2
  fi
  case " ${missing[*]} " in *' postgresql '*)
    # The tests start servers of their own: the package need not make and start one.
    if [ ! -e /etc/postgresql-common/createcluster.conf ]; then
      "${root[@]}" mkdir -p /etc/postgresql-common
      printf 'create_main_cluster = false\n' | "${root[@]}" tee /etc/postgresql-common/createcluster.conf >/dev/null
    fi ;;
  esac
  # The tests start servers of their own: the packages shall start none.
  local policy=/usr/sbin/policy-rc.d own_policy= failed=
  if [ ! -e $policy ] && printf '#!/bin/sh\nexit 101\n' | "${root[@]}" tee $policy >/dev/null; then
    own_policy=1
    "${root[@]}" chmod 755 $policy
  fi
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -q update
  "${root[@]}" env DEBIAN_FRONTEND=noninteractive apt-get -qy install --no-install-recommends "${missing[@]}" || failed=1
  [ -z "$own_policy" ] || "${root[@]}" rm -f $policy
  if [ -n "$failed" ]; then
    say "apt could not install: ${missing[*]}" >&2
    exit 2
  fi
}

browser() {
  [ -n "${CHROMIUM:-}" ] && { say "$CHROMIUM"; return; }
  command -v chromium || command -v chromium-browser || command -v google-chrome
}
