<?php
// php-clients.php adoy|hollodotme AUTOLOAD SOCKET FILE: sends each delivery of FILE (signature, tab, body a line) by a PHP client that
// keeps its connection, and prints the status of each answer.
declare(strict_types=1);

[, $which, $autoload, $socket, $file] = $argv;
require $autoload;

if ($which === 'adoy') {
    $client = new Adoy\FastCGI\Client("unix://$socket", -1);
    $client->setKeepAlive(true);
    $client->setReadWriteTimeout(60000);
    $send = fn (string $signature, string $body): string => $client->request(
        ['REQUEST_METHOD' => 'POST', 'CONTENT_LENGTH' => (string) strlen($body), 'HTTP_X_SIGNATURE' => $signature], $body);
} else {
    $client = new hollodotme\FastCGI\Client();
    $connection = new hollodotme\FastCGI\SocketConnections\UnixDomainSocket($socket, 60000, 60000);
    $send = function (string $signature, string $body) use ($client, $connection): string {
        $request = new hollodotme\FastCGI\Requests\PostRequest('/doorpost', $body);
        $request->setCustomVar('HTTP_X_SIGNATURE', $signature);
        return $client->sendRequest($connection, $request)->getOutput();
    };
}

foreach (file($file, FILE_IGNORE_NEW_LINES) as $delivery) {
    [$signature, $body] = explode("\t", $delivery);
    preg_match('/^Status: (\d+)/', $send($signature, $body), $found);
    echo $found[1], "\n";
}
