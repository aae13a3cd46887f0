<?php
// Places a call: RINGPOST is the address, KEY is keyId:secret. PHP 8, no extension.

$call = [
    'messageId' => 'login-' . bin2hex(random_bytes(8)),
    'customerPhone' => '+6581234567',
    'message' => 'Your Acme code is {code}.',
    'code' => '482915',
];
$request = stream_context_create(['http' => [
    'method' => 'POST',
    'header' => ['Content-Type: application/json', 'Authorization: Basic ' . base64_encode(getenv('KEY'))],
    'content' => json_encode($call),
    'timeout' => 10,
    'ignore_errors' => true, // a refusal has a body that says why
]]);
// false: no answer; send the same again, it rings once
$answer = file_get_contents(getenv('RINGPOST') . '/api/make-call', false, $request);
echo $answer, "\n";
exit($answer !== false && str_contains($http_response_header[0], ' 200') ? 0 : 1);
