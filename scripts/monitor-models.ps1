# Watch models and their server: a front of "modelward guard"; without maintenance it checks, probes and alerts only.

$usage = @'
usage: monitor-models.ps1 [-CheckInterval S] [-EnableMaintenance] [-MaintenanceInterval N]

Check the protected models and their server again and again, and alert when one is not well.

  -CheckInterval S         seconds between two checks (the setting check_interval, 60)
  -EnableMaintenance       back up, scrub, heal and tidy up as well
  -MaintenanceInterval N   with it: minutes between two rounds (the setting maintenance_interval, 60)
  -Help                    show this

Also accepted: --check-interval S, --enable-maintenance, --maintenance-interval N, --help.
'@

$words = @('guard')
$interval = @()
$maintenance = $false
for ($i = 0; $i -lt $args.Count; $i++) {
    $word = $args[$i]
    if ($word -in '-CheckInterval', '--check-interval') {
        $i++
        if ($i -ge $args.Count) { "monitor-models.ps1: $word needs a number of seconds"; $usage; exit 2 }
        $words += '--check-interval', $args[$i]
    }
    elseif ($word -in '-MaintenanceInterval', '--maintenance-interval') {
        $i++
        if ($i -ge $args.Count) { "monitor-models.ps1: $word needs a number of minutes"; $usage; exit 2 }
        $interval = '--interval', $args[$i]
    }
    elseif ($word -in '-EnableMaintenance', '--enable-maintenance') { $maintenance = $true }
    elseif ($word -in '-Help', '--help', '-h') { $usage; exit 0 }
    else { "monitor-models.ps1: unknown option: $word"; $usage; exit 2 }
}
if ($maintenance) { $words += $interval } else { $words += '--no-maintenance' }

$program = 'modelward'
foreach ($place in '.venv/bin/modelward', '.venv/Scripts/modelward.exe') {
    $beside = Join-Path (Split-Path $PSScriptRoot) $place
    if (Test-Path $beside) { $program = $beside }
}
& $program @words
exit $LASTEXITCODE
