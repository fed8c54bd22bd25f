// A small app: every request is answered with what it was asked, `/stream` with the moments at which it
// wrote, and a WebSocket echoes. Beside it a WebSocket client that comes as a browser does. Frames of text under 126 bytes, which is all a test needs.
import { createHash, randomBytes } from 'node:crypto';
import { createServer } from 'node:http';
import https from 'node:https';
import { setTimeout as sleep } from 'node:timers/promises';

const accepted = (key) => createHash('sha1').update(`${key}258EAFA5-E914-47DA-95CA-C5AB0DC85B11`).digest('base64');

/** A text frame; a client's is masked (RFC 6455, 5.3). */
function frame(text, mask = Buffer.alloc(0)) {
  const payload = Buffer.from(text);
  const head = Buffer.from([0x81, payload.length | (mask.length ? 0x80 : 0)]);
  return Buffer.concat([head, mask, mask.length ? payload.map((byte, i) => byte ^ mask[i % 4]) : payload]);
}

/** Calls `onText` for each whole text frame of the socket. */
function readFrames(socket, onText) {
  let rest = Buffer.alloc(0);
  socket.on('data', (bytes) => {
    rest = Buffer.concat([rest, bytes]);
    while (rest.length >= 2) {
      const masked = rest[1] & 0x80 ? 4 : 0;
      const end = 2 + masked + (rest[1] & 0x7f);
      if (rest.length < end) return;
      const mask = rest.subarray(2, 2 + masked);
      onText(Buffer.from(rest.subarray(2 + masked, end).map((byte, i) => (masked ? byte ^ mask[i % 4] : byte))).toString());
      rest = rest.subarray(end);
    }
  });
}

/** Twelve moments (`performance.now()`), a tenth of a second apart, each written when it is. */
async function stream(answer) {
  answer.setHeader('content-type', 'text/html');
  for (let i = 0; i < 12 && !answer.destroyed; i++) {
    answer.write(`${performance.now()}\n\n`);
    await sleep(100);
  }
  answer.end();
}

/** A session in chunks, as Auth.js sets them. */
const CHUNKS = [0, 1, 2, 3, 4].map((i) => `session.${i}=${'c'.repeat(3_900)}`);

/** Starts the app on a free port. `headers` in its JSON are those that reached it. */
export async function startEchoApp() {
  const tunnels = new Set();
  const server = createServer((request, answer) => {
    if (request.url === '/stream') return void stream(answer);
    answer.setHeader('content-type', 'application/json');
    answer.setHeader('set-cookie', ['seen=1; Path=/; HttpOnly', ...CHUNKS]);
    answer.end(JSON.stringify({ app: true, method: request.method, url: request.url, headers: request.headers }));
  });
  server.on('upgrade', (request, socket) => {
    tunnels.add(socket.on('error', () => {}).on('close', () => tunnels.delete(socket)));
    socket.write(
      'HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n' +
        `Sec-WebSocket-Accept: ${accepted(request.headers['sec-websocket-key'])}\r\n\r\n`,
    );
    readFrames(socket, (text) => socket.write(frame(`echo: ${text}`)));
  });
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    stop() {
      for (const socket of tunnels) socket.destroy();
      server.closeAllConnections();
      return new Promise((done) => server.close(done));
    },
  };
}

/** Opens a WebSocket to `site` through `front`: `{ status }` where it is refused, else `say` and `close`. */
export function openSocket(front, { site, path = '/ws', origin = `https://${site}` }) {
  const key = randomBytes(16).toString('base64');
  const headers = { host: site, origin, connection: 'Upgrade', upgrade: 'websocket', 'sec-websocket-version': '13', 'sec-websocket-key': key };
  return new Promise((done, failed) => {
    const asked = https.request({ host: '127.0.0.1', port: front.port, servername: site, ca: front.ca, agent: false, path, headers });
    asked.setTimeout(20_000, () => asked.destroy(new Error(`no answer to ${path}`)));
    asked.on('error', failed);
    asked.on('response', (answer) => (answer.resume(), asked.destroy(), done({ status: answer.statusCode, headers: answer.headers })));
    asked.on('upgrade', (answer, socket) => {
      if (answer.headers['sec-websocket-accept'] !== accepted(key)) failed(new Error('not what was asked'));
      const waiting = [];
      readFrames(socket.on('error', () => {}), (text) => waiting.shift()?.(text));
      const say = (text) => new Promise((heard) => (waiting.push(heard), socket.write(frame(text, randomBytes(4)))));
      done({ status: answer.statusCode, say, close: () => socket.destroy() });
    });
    asked.end();
  });
}
