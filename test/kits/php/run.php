<?php
// Puts requests to the PHP kit, as test/kits/harness.ts describes.
declare(strict_types=1);
require 'kits/php/holdfast.php';

$folder = sys_get_temp_dir() . '/holdfast-php-' . getmypid();
mkdir($folder, 0700);
register_shutdown_function(function () use ($folder): void {
    array_map('unlink', glob("$folder/jti-*/*"));
    array_map('rmdir', glob("$folder/jti-*"));
    array_map('unlink', glob("$folder/*"));
    rmdir($folder);
});

function send(Holdfast $kit, array $request): int
{
    $body = base64_decode($request['body']);
    $server = ['REQUEST_METHOD' => $request['method'], 'REQUEST_URI' => $request['target']];
    foreach ($request['headers'] as [$name, $value]) {
        $name = strtoupper(strtr($name, '-', '_'));
        $name = str_starts_with($name, 'CONTENT_') ? $name : "HTTP_$name";
        // A server joins fields of one name.
        $server[$name] = isset($server[$name]) ? "$server[$name], $value" : $value;
    }
    try {
        $kit->check($server, fn(): string => $body);
        return 200;
    } catch (Throwable) {
        return 401;
    }
}

set_error_handler(fn(): bool => true); // of what is not there, as display_errors=0 does
[$now, $settings] = [0, []];
while (($line = fgets(STDIN)) !== false) {
    $said = json_decode($line, true);
    if (isset($said['jwks_url'])) $settings = $said;
    elseif (isset($said['now'])) $now = $said['now'];
    else {
        $kit = new Holdfast(...$settings, ...$said['options'], folder: $folder);
        $kit->clock = function () use (&$now): int { return $now; };
        $answers = [send($kit, $said['request'])];
        if ($said['repeat'] ?? false) $answers[] = send($kit, $said['request']);
        if ($said['options']['single_use']) array_map('unlink', glob("$folder/jti-*/*"));
        echo json_encode($answers), "\n";
    }
}
