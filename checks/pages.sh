# shellcheck shell=bash
# The pages: links, lines, names, and what no file may hold.

step_links() {
  tracked '*.md' | python3 -B checks/links.py
}

step_paths() {
  local hits
  tracked >/dev/null || return 1
  hits=$(tracked | xargs -0 -r grep -nIE '(^|[^A-Za-z0-9_.:/-])/(home|Users|root|tmp|var/tmp)/[A-Za-z0-9._-]' -- 2>/dev/null | grep -v '^Cargo.lock:')
  [ -z "$hits" ] && return 0
  say "$hits"
  return 1
}

step_pages() { tracked | python3 -B checks/pages.py; }
