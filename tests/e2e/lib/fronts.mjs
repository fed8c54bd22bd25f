// The real nginx, Caddy and HAProxy in front of the gateway, with the very files of deploy/behind.
//
// A file is taken as it is committed; only what belongs to a machine is replaced in its text: the
// addresses it listens on and sends to, and its certificate. `REPLACED` lists it all, and a text that
// is no longer in the file is an error. What else a test changes, it changes by `edit`.
import assert from 'node:assert/strict';
import { execFile } from 'node:child_process';
import { existsSync } from 'node:fs';
import { mkdtemp, readFile, rm, writeFile } from 'node:fs/promises';
import { connect } from 'node:net';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { promisify } from 'node:util';
import { freePort, Program, until } from './programs.mjs';

const run = promisify(execFile);

const BEHIND = fileURLToPath(new URL('../../../deploy/behind/', import.meta.url));

/** The names in the files: one site with the gateway in front of all, one with /v1/ alone. */
export const SITES = { whole: 'app.example', split: 'split.example' };

const CERTIFICATE = '/etc/ssl/app.example/fullchain.pem';
const KEY = '/etc/ssl/app.example/privkey.pem';

/** For each kind, what is replaced in the committed file. */
const REPLACED = {
  nginx: ({ port, gateway, app, cert, key }) => [
    ['listen 443 ssl http2;', `listen 127.0.0.1:${port} ssl http2;`],
    ['server 127.0.0.1:8080;', `server ${gateway};`],
    ['server 127.0.0.1:3000;', `server ${app};`],
    [CERTIFICATE, cert],
    [KEY, key],
  ],
  caddy: ({ port, plainPort, gateway, app, cert, key }) => [
    ['\thttp_port 80\n', `\thttp_port ${plainPort}\n\tdefault_bind 127.0.0.1\n\tadmin off\n`],
    ['\thttps_port 443\n', `\thttps_port ${port}\n`],
    ['reverse_proxy 127.0.0.1:8080 {', `reverse_proxy ${gateway} {`],
    ['reverse_proxy 127.0.0.1:3000 {', `reverse_proxy ${app} {`],
    ['\napp.example {\n', `\napp.example {\n\ttls ${cert} ${key}\n`],
    ['\nsplit.example {\n', `\nsplit.example {\n\ttls ${cert} ${key}\n`],
  ],
  haproxy: ({ port, gateway, app, bundle }) => [
    ['bind :443 ', `bind 127.0.0.1:${port} `],
    ['server gateway1 127.0.0.1:8080', `server gateway1 ${gateway}`],
    ['server app1 127.0.0.1:3000', `server app1 ${app}`],
    ['/etc/haproxy/certs/app.example.pem', bundle],
  ],
};

const FILES = { nginx: 'nginx.conf', caddy: 'Caddyfile', haproxy: 'haproxy.cfg' };

export const KINDS = Object.keys(FILES);

/** The committed file. */
export const fileOf = (kind) => join(BEHIND, FILES[kind]);

/** Debian's nginx.conf around the file, in a folder of its own, and with gzip for everything. */
const nginxMain = (directory) => `
${process.getuid() === 0 ? 'user root;' : ''}
daemon off;
worker_processes 1;
pid ${directory}/pid;
error_log stderr warn;
events { worker_connections 256; }
http {
    access_log off;
    ${['client_body', 'proxy', 'fastcgi', 'uwsgi', 'scgi'].map((what) => `${what}_temp_path ${directory}/${what};`).join(' ')}
    gzip on; gzip_types *; gzip_min_length 0; gzip_proxied any;
    include ${directory}/${FILES.nginx};
}
`;

/** The commands: how to check the file, and how to run it in the foreground. */
const COMMANDS = {
  nginx: (directory) => {
    const args = ['-e', 'stderr', '-p', directory, '-c', join(directory, 'main.conf')];
    return { check: ['-t', ...args], run: args };
  },
  caddy: (directory) => {
    const args = ['--config', join(directory, FILES.caddy), '--adapter', 'caddyfile'];
    return { check: ['validate', ...args], run: ['run', ...args] };
  },
  haproxy: (directory) => {
    const args = ['-f', join(directory, FILES.haproxy)];
    return { check: ['-c', ...args], run: ['-db', ...args] };
  },
};

/** The program's path: Debian puts servers where an ordinary user's PATH does not lead. */
function program(kind) {
  const places = [...process.env.PATH.split(':'), '/usr/sbin', '/usr/local/sbin'];
  const path = places.map((place) => join(place, kind)).find(existsSync);
  assert.ok(path, `${kind} is not installed: make deps`);
  return path;
}

/** A certificate for both sites, new for each front: nothing trusts it but the test. */
async function makeCertificate(directory) {
  const [cert, key, bundle] = ['cert.pem', 'key.pem', 'bundle.pem'].map((name) => join(directory, name));
  const names = Object.values(SITES).map((site) => `DNS:${site}`).join(',');
  await run('openssl', [
    'req', '-x509', '-newkey', 'ec', '-pkeyopt', 'ec_paramgen_curve:prime256v1', '-nodes', '-days', '1',
    '-subj', '/CN=app.example', '-addext', `subjectAltName=${names}`, '-keyout', key, '-out', cert,
  ]);
  const [certificate, secret] = await Promise.all([readFile(cert, 'utf8'), readFile(key, 'utf8')]);
  await writeFile(bundle, certificate + secret);
  return { cert, key, bundle, ca: certificate };
}

/** The committed file with this machine's addresses, and `edit` applied; written into `directory`. */
async function arrange(kind, directory, addresses, edit) {
  let text = await readFile(fileOf(kind), 'utf8');
  for (const [from, to] of REPLACED[kind](addresses)) {
    assert.ok(text.includes(from), `${FILES[kind]} no longer has ${JSON.stringify(from)}`);
    text = text.replaceAll(from, to);
  }
  const edited = edit(text);
  await writeFile(join(directory, FILES[kind]), edited);
  if (kind === 'nginx') await writeFile(join(directory, 'main.conf'), nginxMain(directory));
}

/** What the programs may see: a home that is theirs, so that Caddy stores nothing in the user's. */
const environment = (directory) => ({ HOME: directory, XDG_DATA_HOME: directory, XDG_CONFIG_HOME: directory });

/** `nginx -t`, `caddy validate`, `haproxy -c` on the committed file; fails with what they say. */
export async function checkFront(kind, edit = (text) => text) {
  const directory = await mkdtemp(join(tmpdir(), `behind-${kind}-`));
  try {
    const made = await makeCertificate(directory);
    const [port, plainPort] = [await freePort(), await freePort()];
    await arrange(kind, directory, { port, plainPort, gateway: '127.0.0.1:8080', app: '127.0.0.1:3000', ...made }, edit);
    const { check } = COMMANDS[kind](directory);
    const { stdout, stderr } = await run(program(kind), check, { env: { ...process.env, ...environment(directory) } });
    return stdout + stderr;
  } finally {
    await rm(directory, { recursive: true, force: true });
  }
}

/** A program's address is open. */
const open = (port) =>
  new Promise((done) => {
    const socket = connect(port, '127.0.0.1', () => (socket.destroy(), done(true)));
    socket.on('error', () => done(false));
  });

/** Starts one of them in front of `gateway` and `app` (origins). */
export async function startFront(kind, { gateway, app, edit = (text) => text }, tries = 3) {
  const directory = await mkdtemp(join(tmpdir(), `behind-${kind}-`));
  const made = await makeCertificate(directory);
  const [port, plainPort] = [await freePort(), await freePort()];
  const addresses = { port, plainPort, gateway: new URL(gateway).host, app: new URL(app).host, ...made };
  await arrange(kind, directory, addresses, edit);
  const running = new Program(program(kind), COMMANDS[kind](directory).run, environment(directory));
  const stop = async () => {
    await running.stop();
    await rm(directory, { recursive: true, force: true });
  };
  try {
    await until(`${kind} listens`, async () => !running.running || open(port), 20_000, 20);
    assert.ok(running.running, `${kind} ended at its start:\n${running.output}`);
  } catch (error) {
    await stop();
    if (tries > 1 && /in use/i.test(running.output)) return startFront(kind, { gateway, app, edit }, tries - 1);
    throw error;
  }
  return { kind, port, ca: made.ca, program: running, stop };
}
