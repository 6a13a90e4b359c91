<?php
// The peer in PHP, under FPM: verify, append under a lock, sync, answer.
$body = file_get_contents('php://input');
$key = trim(file_get_contents(getenv('DOORPOST_KEY_FILE')));
$signature = preg_replace('/^sha256=/', '', $_SERVER['HTTP_X_SIGNATURE'] ?? '');
header('Content-Type: application/json');
if (!hash_equals(hash_hmac('sha256', $body, $key), $signature)) {
    http_response_code(401);
    echo '{"status":"unauthorized"}';
    exit;
}
$event = json_decode($body, true, 64, JSON_THROW_ON_ERROR);
$journal = fopen(getenv('PEER_JOURNAL'), 'ab');
flock($journal, LOCK_EX);
fwrite($journal, $body . "\n");
fdatasync($journal);
flock($journal, LOCK_UN);
echo json_encode(['status' => 'stored', 'event_id' => $event['data']['id']]);
