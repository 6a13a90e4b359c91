// The peer in Node: verify, append, fdatasync, answer; one process, as most run it.
const crypto = require('crypto');
const fs = require('fs');
const http = require('http');

const key = fs.readFileSync(process.env.DOORPOST_KEY_FILE, 'utf8').trim();
const journal = fs.openSync(process.env.PEER_JOURNAL, 'a');
const seen = new Set();

http.createServer((request, response) => {
  const parts = [];
  request.on('data', (part) => parts.push(part));
  request.on('end', () => {
    const body = Buffer.concat(parts);
    const wanted = 'sha256=' + crypto.createHmac('sha256', key).update(body).digest('hex');
    const given = Buffer.from(request.headers['x-signature'] || '');
    const answer = (status, value) => {
      const text = JSON.stringify(value);
      response.writeHead(status, { 'Content-Type': 'application/json', 'Content-Length': text.length });
      response.end(text);
    };
    if (given.length !== wanted.length || !crypto.timingSafeEqual(given, Buffer.from(wanted))) {
      return answer(401, { status: 'unauthorized' });
    }
    const event = JSON.parse(body);
    if (seen.has(event.meta.request_id)) return answer(200, { status: 'duplicate' });
    seen.add(event.meta.request_id);
    fs.write(journal, Buffer.concat([body, Buffer.from('\n')]), (error) => {
      if (error) return answer(503, { status: 'unavailable' });
      fs.fdatasync(journal, (failed) => answer(failed ? 503 : 200, { status: failed ? 'unavailable' : 'stored' }));
    });
  });
}).listen(Number(process.env.PORT), '127.0.0.1');
