# shellcheck shell=bash
# By hand: `./test soak`.

# The servers of a soak are real ones, built as they are shipped. What else it uses (root, libfaketime) it says itself.
run_soak() {
  case " $* " in *" -h "* | *" --help "*) exec python3 -B benchmark/soak/main.py --help ;; esac
  cargo build --locked --release --quiet || return 1
  python3 -B benchmark/soak/main.py "$@"
}
