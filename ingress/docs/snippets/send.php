<?php
// Places a call: RINGPOST is the address, KEY is keyId:secret. PHP 8 with its curl extension.

$call = [
    'messageId' => 'login-' . bin2hex(random_bytes(8)),
    'customerPhone' => '+6581234567',
    'message' => 'Your Acme code is {code}.',
    'code' => '482915',
];
$request = curl_init(getenv('RINGPOST') . '/api/make-call');
curl_setopt_array($request, [
    CURLOPT_USERPWD => getenv('KEY'),
    CURLOPT_HTTPHEADER => ['Content-Type: application/json'],
    CURLOPT_POSTFIELDS => json_encode($call),
    CURLOPT_RETURNTRANSFER => true,
    CURLOPT_TIMEOUT => 10,
]);
$answer = curl_exec($request); // false: no answer; send the same again, it rings once
echo $answer, "\n";
exit(curl_getinfo($request, CURLINFO_RESPONSE_CODE) === 200 ? 0 : 1);
