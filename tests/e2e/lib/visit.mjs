// One request of a browser to a proxy: TLS, HTTP/1.1 or HTTP/2, from an address of its own, with the
// moment at which each piece of the answer came.
import http2 from 'node:http2';
import https from 'node:https';
import tls from 'node:tls';

/** Any answer's end is waited for no longer. */
const LIMIT_MS = 30_000;

/** The moments at which the events of a stream were whole, from its pieces `[time, bytes]`. */
export function eventTimes(pieces) {
  const times = [];
  let rest = '';
  for (const [time, bytes] of pieces) {
    const parts = (rest + bytes.toString('latin1')).split('\n\n');
    rest = parts.pop();
    times.push(...parts.map(() => time));
  }
  return times;
}

/** A request under way. `head` and `end` settle as the answer's do; `close` gives it up, as Stop does. */
export class Visit {
  pieces = [];

  /**
   * `site`: the name that it asks for; `from`: the client's address; `protocol`: 'h1' or 'h2'.
   * The body, where there is one, is sent whole.
   */
  constructor(front, { site, protocol = 'h1', method = 'GET', path = '/', headers = {}, body, from = '127.0.0.1' }) {
    this.head = new Promise((done, failed) => Object.assign(this, { answered: done, failed }));
    this.end = new Promise((done) => (this.ended = done));
    this.head.catch(() => {}); // a test that closes it waits for neither
    const to = { host: '127.0.0.1', port: front.port, servername: site, ca: front.ca, localAddress: from };
    const lines = { ...(body && { 'content-type': 'application/json', 'content-length': String(Buffer.byteLength(body)) }), ...headers };
    if (protocol === 'h2') this.#overHttp2(site, to, { ':method': method, ':authority': site, ':path': path, ...lines }, body);
    else this.#overHttp1(site, to, { method, path, headers: { host: site, ...lines } }, body);
    this.limit = setTimeout(() => (this.failed(new Error(`${method} ${path}: no end`)), this.leave()), LIMIT_MS);
  }

  #overHttp1(site, to, request, body) {
    const asked = https.request({ ...to, ...request, agent: false, maxHeaderSize: 64 * 1024 });
    asked.on('response', (answer) => this.#read(answer.statusCode, answer.headers, answer, () => answer.complete));
    asked.on('error', (error) => this.#gone(error));
    asked.end(body);
    this.close = this.leave = () => asked.destroy();
  }

  #overHttp2(site, to, lines, body) {
    const createConnection = () => tls.connect({ ...to, ALPNProtocols: ['h2'] });
    // Node refuses answers while it holds a body larger than its session's memory, in MB.
    const session = http2.connect(`https://${site}`, { createConnection, maxSessionMemory: 100 });
    session.on('error', (error) => this.#gone(error));
    const stream = session.request(lines, { endStream: !body });
    stream.on('response', (head) => this.#read(head[':status'], head, stream, () => stream.rstCode === 0));
    stream.on('error', (error) => this.#gone(error));
    stream.on('close', () => this.headers || this.#gone(new Error('reset')));
    if (body) stream.end(body);
    // The connection stays: a browser that stops one answer goes on with the others.
    this.close = () => stream.close(http2.constants.NGHTTP2_CANCEL);
    this.leave = () => session.destroy();
  }

  #read(status, headers, source, whole) {
    Object.assign(this, { status, headers });
    source.on('data', (bytes) => this.pieces.push([performance.now(), bytes]));
    source.on('error', () => {}); // a cut answer is one of the things tested; `close` follows
    // Not the close alone: where the body is still being sent, that comes only when it is given up.
    for (const last of ['end', 'close']) source.on(last, () => this.#over(whole()));
    this.answered(this);
  }

  #gone(error) {
    this.failed(error);
    this.#over(false);
  }

  #over(whole) {
    clearTimeout(this.limit);
    this.whole ??= whole;
    this.endedAt ??= performance.now();
    this.ended(this);
  }

  get text() {
    return Buffer.concat(this.pieces.map(([, bytes]) => bytes)).toString();
  }

  get events() {
    return eventTimes(this.pieces);
  }
}

/** A whole answer. */
export async function visit(front, request) {
  const asked = new Visit(front, request);
  try {
    await asked.head;
    await asked.end;
  } finally {
    asked.leave();
  }
  return asked;
}
