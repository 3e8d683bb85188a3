#!/bin/sh
# Watch models and their server: a front of "modelward guard"; without maintenance it checks, probes and alerts only.
set -eu

usage() {
    cat <<'END'
usage: monitor-models.sh [-CheckInterval S] [-EnableMaintenance] [-MaintenanceInterval N]

Check the protected models and their server again and again, and alert when one is not well.

  -CheckInterval S         seconds between two checks (the setting check_interval, 60)
  -EnableMaintenance       back up, scrub, heal and tidy up as well
  -MaintenanceInterval N   with it: minutes between two rounds (the setting maintenance_interval, 60)
  -Help                    show this

Also accepted: --check-interval S, --enable-maintenance, --maintenance-interval N, --help.
END
}

wrong() {
    echo "monitor-models.sh: $1" >&2
    usage >&2
    exit 2
}

check='' interval='' maintenance=''
while [ $# -gt 0 ]; do
    case $1 in
    -CheckInterval | --check-interval)
        [ -n "${2-}" ] || wrong "$1 needs a number of seconds"
        check=$2
        shift
        ;;
    -MaintenanceInterval | --maintenance-interval)
        [ -n "${2-}" ] || wrong "$1 needs a number of minutes"
        interval=$2
        shift
        ;;
    -EnableMaintenance | --enable-maintenance) maintenance=yes ;;
    -h | -Help | --help) usage && exit 0 ;;
    *) wrong "unknown option: $1" ;;
    esac
    shift
done
[ -n "$maintenance" ] || interval=''

program=$(dirname "$0")/../.venv/bin/modelward
[ -x "$program" ] || program=modelward
set -- ${check:+--check-interval "$check"} ${interval:+--interval "$interval"}
[ -n "$maintenance" ] || set -- "$@" --no-maintenance
exec "$program" guard "$@"
