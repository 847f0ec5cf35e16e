# shellcheck shell=bash
# A round: the steps that are wanted, one after the other, and what became of each.

usage() {
  cat <<'TEXT'
usage: ./test [STEP…]

Runs every check, or only the steps named. Goes on after a step that failed; the exit code is 1 when any did.
Missing Debian or Ubuntu packages are installed through apt (as root, or with sudo). The Rust toolchain must be there.

steps:
TEXT
  local step
  for step in "${STEPS[@]}"; do printf '  %-10s %s\n' "${step%%|*}" "${step#*|}"; done
  printf '\nby hand, each alone:\n'
  for step in "${BY_HAND[@]}"; do printf '  %-10s %s\n' "${step%%|*}" "${step#*|}"; done
  cat <<'TEXT'

Faster when they are there: cargo-nextest. Used when they are there: cargo-deny, typos, promtool.
The output of each step is also kept in target/test-logs/.
TEXT
}

# Tests that the step's output counts: nextest's summary, cargo test's result lines, and those of Node's test runner.
count() {
  sed 's/\x1b\[[0-9;]*m//g' "$1" | awk '
    /^ *Summary \[/ { if (match($0, /[0-9]+ passed/)) passed += substr($0, RSTART); if (match($0, /[0-9]+ failed/)) failed += substr($0, RSTART)
                      if (match($0, /[0-9]+ timed out/)) failed += substr($0, RSTART); seen = 1 }
    /^test result: / { if (match($0, /[0-9]+ passed/)) passed += substr($0, RSTART); if (match($0, /[0-9]+ failed/)) failed += substr($0, RSTART); seen = 1 }
    /^(#|ℹ) pass [0-9]+$/ { passed += $3; seen = 1 }
    /^(#|ℹ) (fail|cancelled) [0-9]+$/ { failed += $3; seen = 1 }
    END { print passed + 0, failed + 0, seen + 0 }'
}

main() {
  local wanted=() step name arg known
  for step in "${BY_HAND[@]}"; do
    name=${step%%|*}
    if [ "${1:-}" = "$name" ]; then
      shift
      need_rust
      need_packages by-hand
      "run_$name" "$@"
      exit
    fi
  done
  for arg in "$@"; do
    case $arg in
      -h | --help) usage; exit 0 ;;
    esac
    known=
    for step in "${STEPS[@]}"; do [ "${step%%|*}" = "$arg" ] && known=1; done
    [ -n "$known" ] || { say "There is no step \"$arg\"." >&2; usage >&2; exit 2; }
    wanted+=("$arg")
  done
  need_rust
  need_packages "${wanted[@]}"
  mkdir -p "$LOGS" || exit 2

  local rows=() passed=0 failed=0 began seconds code verdict tests_passed tests_failed counted
  for step in "${STEPS[@]}"; do
    name=${step%%|*}
    if [ ${#wanted[@]} -gt 0 ] && ! printf '%s\n' "${wanted[@]}" | grep -qx "$name"; then continue; fi
    heading "$name" "${step#*|}"
    began=$SECONDS
    "step_$name" 2>&1 | tee "$LOGS/$name.log"
    code=${PIPESTATUS[0]}
    seconds=$((SECONDS - began))
    read -r tests_passed tests_failed counted < <(count "$LOGS/$name.log")
    case $code in
      0) verdict=ok ;;
      "$SKIPPED") verdict=skipped ;;
      *) verdict=FAILED ;;
    esac
    # A step that counts no tests is one check; one that broke before its tests could run is one failure.
    if [ $verdict = skipped ]; then tests_passed=0 tests_failed=0
    elif [ "$counted" = 0 ]; then
      if [ $verdict = ok ]; then tests_passed=1; else tests_failed=1; fi
    elif [ $verdict = FAILED ] && [ "$tests_failed" = 0 ]; then tests_failed=1
    fi
    passed=$((passed + tests_passed)) failed=$((failed + tests_failed))
    rows+=("$(printf '%-10s %7ss  %-8s %6s passed %4s failed' "$name" "$seconds" "$verdict" "$tests_passed" "$tests_failed")")
  done

  say
  printf '%-10s %8s  %-8s\n' step seconds verdict
  printf '%s\n' "${rows[@]}"
  say
  say "$passed passed, $failed failed"
  [ "$failed" -eq 0 ]
}
