#!/bin/sh
# Back up the protected models, or only verify them: a front of "modelward backup" and "modelward verify".
set -eu

usage() {
    cat <<'END'
usage: backup-models.sh [--verify-only]

Back up the protected models: every byte is proved, and what changed is kept as a new version.

  --verify-only   read every byte and say of each model whether it is right; change nothing
  --help          show this
END
}

verb=backup
while [ $# -gt 0 ]; do
    case $1 in
    --verify-only) verb=verify ;;
    -h | --help) usage && exit 0 ;;
    *) echo "backup-models.sh: unknown option: $1" >&2 && usage >&2 && exit 2 ;;
    esac
    shift
done

program=$(dirname "$0")/../.venv/bin/modelward
[ -x "$program" ] || program=modelward
exec "$program" "$verb"
