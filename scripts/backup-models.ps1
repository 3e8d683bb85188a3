# Back up the protected models, or only verify them: a front of "modelward backup" and "modelward verify".

$usage = @'
usage: backup-models.ps1 [--verify-only]

Back up the protected models: every byte is proved, and what changed is kept as a new version.

  --verify-only   read every byte and say of each model whether it is right; change nothing
  --help          show this

Also accepted: -VerifyOnly, -Help.
'@

$verb = 'backup'
foreach ($word in $args) {
    if ($word -in '--verify-only', '-VerifyOnly') { $verb = 'verify' }
    elseif ($word -in '--help', '-Help', '-h') { $usage; exit 0 }
    else { "backup-models.ps1: unknown option: $word"; $usage; exit 2 }
}

$program = 'modelward'
foreach ($place in '.venv/bin/modelward', '.venv/Scripts/modelward.exe') {
    $beside = Join-Path (Split-Path $PSScriptRoot) $place
    if (Test-Path $beside) { $program = $beside }
}
& $program $verb
exit $LASTEXITCODE
