# shellcheck shell=bash
# What all steps use.

SKIPPED=77 # a step returns this when it did not run; it says why itself

say() { printf '%s\n' "$*"; }
heading() { printf '\n\033[1m== %s: %s\033[0m\n' "$1" "$2"; }

# The files of the repository, new ones included. Whose clone it is does not matter here.
tracked() {
  local files="$LOGS/files"
  git -c safe.directory='*' ls-files -z --cached --others --exclude-standard -- "$@" >"$files"
  [ -s "$files" ] || { say "git lists no files here: run ./test in a clone" >&2; return 1; }
  cat "$files"
}
