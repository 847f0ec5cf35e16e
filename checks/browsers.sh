# shellcheck shell=bash
# Real browsers against the real server.

# What both need besides packages: prints the browser's path, after the program is built as other steps build it.
# The tools are those of sdk/js for both.
browser_needs() {
  node -e 'process.exit(process.versions.node.split(".")[0] >= 18 ? 0 : 1)' || { say "Node $(node --version) is too old: 18 or newer" >&2; return 1; }
  browser || { say "there is no Chromium: install one, or set CHROMIUM" >&2; return 1; }
  cargo build --locked --workspace --all-features --bin presently --quiet || return 1
  (cd sdk/js && npm ci --silent >&2)
}

step_sdk() {
  local program chromium
  chromium=$(browser_needs) || return 1
  program=$(realpath "$TARGET/debug/presently")
  cd sdk/js || return 1
  npm test && PRESENTLY_BIN=$program CHROMIUM=$chromium timeout -k 30 600 npm run test:browser
}

# One file after the other: each starts servers and a browser, and older Nodes would run all of them at once.
step_panel() {
  local program chromium pictures file failed=0
  chromium=$(browser_needs) || return 1
  program=$(realpath "$TARGET/debug/presently")
  mkdir -p "$TARGET/pictures" || return 1
  pictures=${PICTURES:-$(realpath "$TARGET/pictures")}
  (cd sdk/js && npx --no-install tsc -p ../../crates/server/panel-tests) || return 1
  cd crates/server/panel-tests || return 1
  for file in *.test.mjs; do
    PRESENTLY_BIN=$program CHROMIUM=$chromium PICTURES=$pictures timeout -k 30 400 node --test "$file" || failed=1
  done
  return $failed
}
