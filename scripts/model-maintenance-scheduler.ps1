# Keep models alive on a schedule: a front of "modelward guard".

$usage = @'
usage: model-maintenance-scheduler.ps1 [--interval N] [--run-once] [--verbose] [--help]

Back up, scrub, heal and tidy up the protected models, again and again.

  --interval N   minutes between two rounds of maintenance (the setting maintenance_interval, 60)
  --run-once     do one round, then end
  --verbose      say what is done
  --help         show this

Also accepted: -Interval N, -RunOnce, -Verbose, -Help.
'@

$words = @('guard')
for ($i = 0; $i -lt $args.Count; $i++) {
    $word = $args[$i]
    if ($word -in '--interval', '-Interval') {
        $i++
        if ($i -ge $args.Count) { "model-maintenance-scheduler.ps1: $word needs a number of minutes"; $usage; exit 2 }
        $words += '--interval', $args[$i]
    }
    elseif ($word -in '--run-once', '-RunOnce') { $words += '--once' }
    elseif ($word -in '--verbose', '-Verbose') { $words += '--verbose' }
    elseif ($word -in '--help', '-Help', '-h') { $usage; exit 0 }
    else { "model-maintenance-scheduler.ps1: unknown option: $word"; $usage; exit 2 }
}

$program = 'modelward'
foreach ($place in '.venv/bin/modelward', '.venv/Scripts/modelward.exe') {
    $beside = Join-Path (Split-Path $PSScriptRoot) $place
    if (Test-Path $beside) { $program = $beside }
}
& $program @words
exit $LASTEXITCODE
