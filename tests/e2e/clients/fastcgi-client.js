// fastcgi-client.js MODULES SOCKET FILE: sends each delivery of FILE (signature, tab, body a line) by npm's fastcgi-client, and prints
// the status of each answer.
'use strict';
const [modules, socket, file] = process.argv.slice(2);
const connect = require(modules + '/fastcgi-client');
const deliveries = require('fs').readFileSync(file, 'utf8').split('\n').filter(Boolean);
const client = connect({ sockFile: socket });

client.on('error', (error) => { throw error; });
client.on('ready', function next() {
  const delivery = deliveries.shift();
  if (delivery === undefined) return;
  const [signature, body] = delivery.split('\t');
  const parameters = { REQUEST_METHOD: 'POST', CONTENT_LENGTH: Buffer.byteLength(body), HTTP_X_SIGNATURE: signature };
  client.request(parameters, (error, request) => {
    if (error) throw error;
    let answer = '';
    request.stdout.on('data', (data) => { answer += data; });
    request.stdout.on('end', () => {
      console.log((/^Status: (\d+)/.exec(answer) || [])[1]);
      next();
    });
    request.stdin.end(body);
  });
});
