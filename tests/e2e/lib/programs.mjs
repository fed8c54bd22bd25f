// Starts the project's programs for a test and ends them again.
//
// A program gets only the environment that the test names, listens on free loopback ports, is
// waited for by asking it (never by sleeping a fixed time), and is ended by its process id. Its
// output is kept, so that a test can look for secrets in it and a failure can show it.
import { spawn } from 'node:child_process';
import { createServer } from 'node:net';
import { fileURLToPath } from 'node:url';
import { join, resolve } from 'node:path';

const ROOT = fileURLToPath(new URL('../../../', import.meta.url));

/** Where the built programs lie: `BIN_DIR`, by default the debug build. */
export const BIN_DIR = resolve(ROOT, process.env.BIN_DIR ?? 'target/debug');

/** The OpenAI SDK as the demo's page loads it; `make` builds it. */
export const DEMO_ASSETS = resolve(ROOT, 'target/demo');

/** Where logs and screenshots go. */
export const ARTIFACTS = resolve(ROOT, process.env.E2E_DIR ?? 'target/e2e');

/** How long a program may take to answer after its start. A debug build on a busy machine is slow. */
const READY_WITHIN_MS = 20_000;

/** A loopback port that was free a moment ago. */
export async function freePort() {
  const server = createServer();
  await new Promise((done, failed) => server.once('error', failed).listen(0, '127.0.0.1', done));
  const { port } = server.address();
  await new Promise((done) => server.close(done));
  return port;
}

/** Resolves after `ms`: for the pause between two questions of `until`, nothing else. */
const pause = (ms) => new Promise((done) => setTimeout(done, ms));

/**
 * Asks `question` every few milliseconds until it answers something other than undefined, null or
 * false, and gives that answer; throws with `what` after `limit` milliseconds.
 */
export async function until(what, question, limit = 5_000, every = 5) {
  const end = performance.now() + limit;
  for (;;) {
    const answer = await question();
    if (answer) return answer;
    if (performance.now() > end) throw new Error(`${what}: not within ${limit} ms`);
    await pause(every);
  }
}

/** A running program, one of ours or an absolute path: its process id, its output so far, and how to end it. */
export class Program {
  #child;
  #exit;
  #group;
  output = '';

  /** `name`: one of the project's programs, or the path of another; with `group` its children are ended with it. */
  constructor(name, args, env, { cwd, group = false } = {}) {
    this.name = name;
    this.#group = group;
    this.#child = spawn(resolve(BIN_DIR, name), args, {
      env: { PATH: process.env.PATH, ...env },
      stdio: ['ignore', 'pipe', 'pipe'],
      cwd,
      detached: group,
    });
    for (const stream of [this.#child.stdout, this.#child.stderr]) {
      stream.setEncoding('utf8').on('data', (text) => (this.output += text));
    }
    this.#exit = new Promise((done) => {
      this.#child.once('error', (error) => done({ error }));
      this.#child.once('close', (code, signal) => done({ code, signal }));
    });
  }

  get pid() {
    return this.#child.pid;
  }

  get running() {
    return this.#child.exitCode === null && this.#child.signalCode === null && this.pid !== undefined;
  }

  /** Waits until `url` answers 200, or fails with the program's output. */
  async ready(url) {
    const answers = async () => {
      if (!this.running) throw new Error(`${this.name} ended at its start:\n${this.output}`);
      return fetch(url).then((answer) => answer.body?.cancel().then(() => answer.ok), () => false);
    };
    await until(`${this.name} answers at ${url}`, answers, READY_WITHIN_MS, 20).catch(async (error) => {
      await this.stop('SIGKILL');
      throw new Error(`${error.message}\n${this.output}`);
    });
    return this;
  }

  signal(name) {
    if (!this.#group || this.pid === undefined) return void this.#child.kill(name);
    try {
      process.kill(-this.pid, name);
    } catch (error) {
      if (error.code !== 'ESRCH') throw error; // all of them are gone
    }
  }

  /** Ends the program and waits for it; killed outright when it does not go within 5 s. */
  async stop(signal = 'SIGTERM') {
    if (this.running) this.signal(signal);
    const forced = setTimeout(() => this.signal('SIGKILL'), 5_000);
    const how = await this.#exit;
    clearTimeout(forced);
    if (this.#group) this.signal('SIGKILL');
    return how;
  }
}

/**
 * Starts a program on ports that `arrange` is given as a function. Another process may take a free
 * port before the program does, so a start that fails with "in use" is tried on new ports.
 */
export async function startProgram(arrange, tries = 3) {
  for (let attempt = 1; ; attempt++) {
    const { name, args = [], env = {}, readyUrl, ...where } = await arrange(freePort);
    try {
      return await new Program(name, args, env, where).ready(readyUrl);
    } catch (error) {
      if (attempt >= tries || !/in use|EADDRINUSE/i.test(error.message)) throw error;
    }
  }
}

/** Runs a program to its end with `input` on standard input; one that takes longer than `limit` is killed. */
export function runProgram(name, args, env, input, limit = 60_000) {
  return new Promise((done, failed) => {
    const child = spawn(join(BIN_DIR, name), args, {
      env: { PATH: process.env.PATH, ...env },
      timeout: limit,
      killSignal: 'SIGKILL',
    });
    const result = { stdout: '', stderr: '' };
    child.stdout.setEncoding('utf8').on('data', (text) => (result.stdout += text));
    child.stderr.setEncoding('utf8').on('data', (text) => (result.stderr += text));
    child.once('error', failed);
    child.once('close', (code, signal) => {
      if (signal) failed(new Error(`${name} ended by ${signal}, after ${limit} ms at the latest`));
      else done({ ...result, code });
    });
    child.stdin.on('error', () => {}); // it may answer without reading all of its input
    child.stdin.end(input);
  });
}
