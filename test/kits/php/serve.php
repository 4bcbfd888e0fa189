<?php
// A backend that the PHP kit guards, as test/kits/harness.ts describes: under FPM and under PHP's own server. Its settings are in KIT.
declare(strict_types=1);
require __DIR__ . '/../../../kits/php/holdfast.php';

['options' => $options] = $settings = json_decode(getenv('KIT') ?: $_SERVER['KIT'], true);
unset($settings['options']);
$claims = (new Holdfast(...$settings, ...$options))->guard();
header('Content-Type: application/json');
echo json_encode([
    'sub' => $claims['sub'] ?? null,
    'tier' => $claims['tier'],
    'bytes' => strlen(file_get_contents('php://input')),
    'assertion' => $_SERVER['HTTP_HOLDFAST_ASSERTION'],
]);
