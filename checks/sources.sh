# shellcheck shell=bash
# The sources as they stand: form, spelling, warnings.

step_format() { cargo fmt --all --check; }

step_scripts() {
  local failed=0 file first
  tracked >/dev/null || return 1
  while IFS= read -r -d '' file; do
    [ -f "$file" ] || continue
    IFS= read -r first <"$file" 2>/dev/null || true
    case "$file:$first" in
      *.sh:* | *:'#!'*bash* | *:'#!/bin/sh'*) bash -n "$file" || failed=1 ;;
      *.py:* | *:'#!'*python3*)
        python3 -c 'import sys; compile(open(sys.argv[1], encoding="utf-8").read(), sys.argv[1], "exec")' "$file" || failed=1
        ;;
    esac
  done < <(tracked | grep -zvE '\.(png|ico|woff2|db)$')
  return $failed
}

step_typos() {
  command -v typos >/dev/null 2>&1 || { say "skipped: typos is not installed (cargo install typos-cli)"; return $SKIPPED; }
  typos
}

step_clippy() { cargo clippy --locked --workspace --all-targets --all-features -- -D warnings; }
