<?php
// Tells whether a callback is genuine. PHP 8, no packages.

const TOLERANCE_S = 300;

// $secret is "whsec_...", $body the very bytes that came: file_get_contents('php://input'). The others are headers.
function is_genuine(string $secret, string $id, string $timestamp, string $signatures, string $body): bool
{
    if (!ctype_digit($timestamp) || abs(time() - (int) $timestamp) > TOLERANCE_S) {
        return false;
    }
    $key = base64_decode(preg_replace('/^whsec_/', '', $secret));
    $expected = 'v1,' . base64_encode(hash_hmac('sha256', "$id.$timestamp.$body", $key, true));
    // Two while a secret is being rotated.
    foreach (explode(' ', $signatures) as $one) {
        if (hash_equals($expected, $one)) {
            return true;
        }
    }
    return false;
}

if (PHP_SAPI === 'cli' && realpath($_SERVER['SCRIPT_FILENAME']) === __FILE__) {
    $headers = array_map(fn ($name) => getenv("WEBHOOK_$name"), ['SECRET', 'ID', 'TIMESTAMP', 'SIGNATURE']);
    exit(is_genuine(...[...$headers, file_get_contents('php://stdin')]) ? 0 : 1);
}
