// A wiretap between the gateway and Behest: it relays every byte untouched and keeps a copy of what
// the gateway sent, so that a test judges the gateway by its bytes on the wire and not by what some
// other program of this project says about them. HTTP/1.1 without TLS.
import { createServer, connect } from 'node:net';

/** One request as the gateway wrote it. Header names keep the case they had on the wire. */
export class SeenRequest {
  constructor(head, connection) {
    const [line, ...fields] = head.split('\r\n');
    [this.method, this.target, this.version] = line.split(' ');
    this.headers = fields.map((field) => {
      const colon = field.indexOf(':');
      return [field.slice(0, colon), field.slice(colon + 1).trim()];
    });
    this.connection = connection;
    this.pieces = [];
    this.before = connection.sent.length;
  }

  /** What came back since, as `[time, bytes]`; that of later requests on the connection too. */
  get answered() {
    return this.connection.sent.slice(this.before);
  }

  /** Its body so far, as text. */
  get body() {
    return Buffer.concat(this.pieces).toString();
  }

  /** Every value of a header, in order. */
  all(name) {
    return this.headers.filter(([given]) => given.toLowerCase() === name).map(([, value]) => value);
  }

  /** The value of a header that came exactly once, or undefined where it did not come at all. */
  header(name) {
    const values = this.all(name);
    if (values.length > 1) throw new Error(`${name} came ${values.length} times`);
    return values[0];
  }

  get path() {
    return this.target.split('?')[0];
  }

  /** The bearer token, split into its decoded parts. */
  get token() {
    const [, raw] = /^Bearer (\S+)$/.exec(this.header('authorization') ?? '') ?? [];
    if (!raw) throw new Error('no bearer token');
    const [header, claims] = raw.split('.').map((part) => Buffer.from(part, 'base64url').toString());
    return { raw, header: JSON.parse(header), claims: JSON.parse(claims) };
  }
}

/** Reads one message at a time off the bytes of one connection. */
class MessageReader {
  #rest = Buffer.alloc(0);
  #request;
  #body; // 'none', 'length' with bytes left, or 'chunked'
  #left = 0;

  constructor(connection, onRequest) {
    this.connection = connection;
    this.onRequest = onRequest;
  }

  push(bytes) {
    this.#rest = Buffer.concat([this.#rest, bytes]);
    while (this.#step());
  }

  /** Takes one piece off the front; false when more bytes are needed. */
  #step() {
    if (!this.#request) return this.#head();
    if (this.#body === 'chunked') return this.#chunk();
    const piece = this.#rest.subarray(0, this.#left);
    this.#take(piece.length);
    this.#request.pieces.push(piece);
    this.#left -= piece.length;
    if (this.#left === 0) this.#request = undefined;
    return this.#request === undefined && this.#rest.length > 0;
  }

  #head() {
    const end = this.#rest.indexOf('\r\n\r\n');
    if (end < 0) return false;
    const request = new SeenRequest(this.#rest.subarray(0, end).toString('latin1'), this.connection);
    this.#take(end + 4);
    this.onRequest(request);
    const chunked = request.all('transfer-encoding').length > 0;
    this.#left = Number(request.header('content-length') ?? 0);
    this.#body = chunked ? 'chunked' : 'length';
    if (chunked || this.#left > 0) this.#request = request;
    return this.#rest.length > 0;
  }

  #chunk() {
    const end = this.#rest.indexOf('\r\n');
    if (end < 0) return false;
    const size = Number.parseInt(this.#rest.subarray(0, end).toString('latin1'), 16);
    if (this.#rest.length < end + 2 + size + 2) return false;
    this.#request.pieces.push(this.#rest.subarray(end + 2, end + 2 + size));
    this.#take(end + 2 + size + 2);
    if (size === 0) this.#request = undefined;
    return this.#rest.length > 0;
  }

  #take(count) {
    this.#rest = this.#rest.subarray(count);
  }
}

/** Listens on a free port and relays to `target` (a port on loopback). */
export async function startTap(target) {
  const seen = [];
  const sockets = new Set();
  const server = createServer((near) => {
    const far = connect(target, '127.0.0.1');
    const connection = { closedAt: undefined, sent: [] };
    const reader = new MessageReader(connection, (request) => seen.push(request));
    for (const socket of [near, far]) {
      sockets.add(socket.setNoDelay(true));
      socket.on('error', () => {}); // a reset is one of the things tested; `close` follows
      socket.on('close', () => sockets.delete(socket));
    }
    near.on('data', (bytes) => (reader.push(bytes), far.write(bytes)));
    far.on('data', (bytes) => (connection.sent.push([performance.now(), bytes]), near.write(bytes)));
    const gone = () => {
      connection.closedAt ??= performance.now();
      far.destroy();
    };
    near.on('end', gone).on('close', gone);
    far.on('close', () => near.destroy());
  });
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
  return {
    origin: `http://127.0.0.1:${server.address().port}`,
    /** Every request, oldest first. */
    seen,
    /** The requests that carry a user's token: everything but the mint's. */
    get calls() {
      return seen.filter((request) => !request.path.startsWith('/v1/auth/'));
    },
    /** The gateway's own requests for tokens. */
    get mints() {
      return seen.filter((request) => request.path.startsWith('/v1/auth/'));
    },
    clear: () => void seen.splice(0),
    stop: () => {
      for (const socket of sockets) socket.destroy();
      return new Promise((done) => server.close(done));
    },
  };
}
