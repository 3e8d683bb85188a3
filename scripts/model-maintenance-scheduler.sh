#!/bin/sh
# Keep models alive on a schedule: a front of "modelward guard".
set -eu

usage() {
    cat <<'END'
usage: model-maintenance-scheduler.sh [--interval N] [--run-once] [--verbose] [--help]

Back up, scrub, heal and tidy up the protected models, again and again.

  --interval N   minutes between two rounds of maintenance (the setting maintenance_interval, 60)
  --run-once     do one round, then end
  --verbose      say what is done
  --help         show this
END
}

wrong() {
    echo "model-maintenance-scheduler.sh: $1" >&2
    usage >&2
    exit 2
}

interval='' once='' verbose=''
while [ $# -gt 0 ]; do
    case $1 in
    --interval)
        [ -n "${2-}" ] || wrong "$1 needs a number of minutes"
        interval=$2
        shift
        ;;
    --run-once) once=--once ;;
    --verbose) verbose=--verbose ;;
    -h | --help) usage && exit 0 ;;
    *) wrong "unknown option: $1" ;;
    esac
    shift
done

program=$(dirname "$0")/../.venv/bin/modelward
[ -x "$program" ] || program=modelward
exec "$program" guard ${interval:+--interval "$interval"} ${once:+"$once"} ${verbose:+"$verbose"}
