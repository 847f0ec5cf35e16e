# shellcheck shell=bash
# By hand: `./test fuzz`.

# What it finds stays in fuzz/artifacts, what it learns in the target folder; fuzz/seeds is what each run begins with. There is no
# sanitizer: the program has no unsafe code, and a panic is found without one.
run_fuzz() {
  local minutes=10 names=() name learned failed=0
  if [[ ${1:-} =~ ^[0-9]+$ ]]; then minutes=$1; shift; fi
  names=("$@")
  [ ${#names[@]} -gt 0 ] || for name in fuzz/fuzz_targets/*.rs; do names+=("$(basename "$name" .rs)"); done
  for name in "${names[@]}"; do
    [ -e "fuzz/fuzz_targets/$name.rs" ] || { say "There is no target \"$name\" in fuzz/fuzz_targets." >&2; return 2; }
  done
  if ! cargo +nightly fuzz --version >/dev/null 2>&1; then
    say "The nightly toolchain or cargo-fuzz is missing: rustup toolchain install nightly; cargo install cargo-fuzz" >&2
    return 2
  fi
  for name in "${names[@]}"; do
    heading "fuzz $name" "$minutes min"
    learned=$(realpath -m "$TARGET/fuzz/$name")
    mkdir -p "$learned"
    cargo +nightly fuzz run --sanitizer none "$name" "$learned" "fuzz/seeds/$name" -- -max_total_time=$((60 * minutes)) \
      -timeout=60 -rss_limit_mb=4096 -dict=fuzz/words.dict -print_final_stats=1 || failed=1
  done
  return $failed
}
