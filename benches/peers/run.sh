#!/usr/bin/env bash
# Measures this crate beside JAX, PyTorch, kronfluence and pyDVL, program after program, turn after turn.
#
#   benches/peers/run.sh install             virtual environments in $ENVIRONMENTS (6 GB, once)
#   benches/peers/run.sh export              the problems, written by the benchmark
#   benches/peers/run.sh measure [MODEL…]    mlp cnn transformer tiny influence; all without a name
#   benches/peers/run.sh table               what has been measured so far, as tables
#   benches/peers/run.sh                     all of these
set -euo pipefail
cd "$(dirname "$0")/../.."
export PROBLEMS=${PROBLEMS:-$PWD/target/peers} THREADS=${THREADS:-$(nproc)}
ENVIRONMENTS=${ENVIRONMENTS:-$PROBLEMS/environments}
RESULTS=${RESULTS:-$PROBLEMS/results}
TURNS=${TURNS:-2}
PYTHON=${PYTHON:-python3.11}
HERE=benches/peers

environment() { # NAME PACKAGE…
  [ -e "$ENVIRONMENTS/$1/complete" ] && return
  "$PYTHON" -m venv "$ENVIRONMENTS/$1"
  "$ENVIRONMENTS/$1/bin/pip" install --quiet "${@:2}"
  touch "$ENVIRONMENTS/$1/complete"
}

install() {
  environment jax "jax[cpu]==0.10.2" scipy
  environment torch torch==2.15.0 numpy kronfluence==1.0.1
  # pyDVL has requirements of its own; PyTorch is taken from the other environment.
  [ -e "$ENVIRONMENTS/pydvl/complete" ] && return
  "$PYTHON" -m venv "$ENVIRONMENTS/pydvl"
  echo "$ENVIRONMENTS"/torch/lib/python*/site-packages > "$(echo "$ENVIRONMENTS"/pydvl/lib/python*/site-packages)/torch.pth"
  environment pydvl pyDVL==0.10.0 "dask[distributed]" zarr
}

# The benchmark's program, built before.
bench() {
  if [ -z "${BENCH:-}" ]; then
    BENCH=$(cargo bench --bench products --no-run --message-format=json 2>/dev/null |
      sed -n 's/.*"name":"products".*"executable":"\([^"]*\)".*/\1/p' | tail -1)
  fi
  "$BENCH" "$@"
}

peer() { # ENVIRONMENT PROGRAM ARGUMENTS…
  "$ENVIRONMENTS/$1/bin/python" -W ignore "$HERE/$2" "${@:3}"
}

measure() {
  local turn name out
  [ $# -gt 0 ] || set -- mlp cnn transformer tiny influence
  mkdir -p "$RESULTS"
  for turn in $(seq "$TURNS"); do
    for name in "$@"; do
      out=$RESULTS/$name.$(date +%s)
      if [ "$name" = influence ]; then
        bench --quick --exact influence.mlp.flex | tee "$out.ours"
        peer torch kronfluence_influence.py | tee "$out.kronfluence"
        peer pydvl pydvl_influence.py | tee "$out.pydvl"
      else
        bench --quick --exact "$name.flex" | tee "$out.ours"
        peer jax jax_products.py "$name" | tee "$out.jax"
        peer torch torch_products.py "$name" | tee "$out.torch"
        [ "$name" = tiny ] && continue
        bench --quick --exact "kfac.$name.flex" | tee -a "$out.ours"
        peer jax jax_factors.py "$name" | tee -a "$out.jax"
        peer torch torch_factors.py "$name" | tee -a "$out.torch"
      fi
    done
  done
}

case ${1:-all} in
  install) install ;;
  export) bench "--export=$PROBLEMS" ;;
  measure) measure "${@:2}" ;;
  table) python3 "$HERE/table.py" "$RESULTS"/* ;;
  all) install && bench "--export=$PROBLEMS" && measure && python3 "$HERE/table.py" "$RESULTS"/* ;;
  *) sed -n '2,8s/^# \?//p' "$0" && exit 2 ;;
esac
