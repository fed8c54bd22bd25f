// The emulator as Behest, and its control paths under `/__emulator/`.
import { mkdtemp, rm, writeFile } from 'node:fs/promises';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { startProgram } from './programs.mjs';

export class Emulator {
  constructor(program, origin, directory) {
    Object.assign(this, { program, origin, directory, port: Number(new URL(origin).port) });
  }

  /**
   * `trust`: a public key (`kid`, `pem`) whose tokens it believes; `tiers`: limits by tier, such as `2rpm`;
   * `frameDelay`: the pause between two events of a stream.
   */
  static async start({ key, trust, tiers = {}, tenant, project, frameDelay = '10ms' }) {
    const directory = await mkdtemp(join(tmpdir(), 'behest-emulator-'));
    const args = ['--key', key, '--frame-delay', frameDelay];
    if (trust) {
      const file = join(directory, 'tenant.pem');
      await writeFile(file, trust.pem);
      args.push('--trust', `${trust.kid}=${file}`);
    }
    if (tenant) args.push('--tenant-id', tenant);
    if (project) args.push('--project-id', project);
    for (const [tier, limits] of Object.entries(tiers)) args.push('--tier', `${tier}=${limits}`);
    let origin;
    const program = await startProgram(async (port) => {
      const listen = `127.0.0.1:${await port()}`;
      origin = `http://${listen}`;
      return {
        name: 'behest-emulator',
        args: [...args, '--listen', listen],
        readyUrl: `${origin}/.well-known/jwks.json`,
      };
    }).catch(async (error) => {
      await rm(directory, { recursive: true, force: true });
      throw error;
    });
    return new Emulator(program, origin, directory);
  }

  async #control(method, path, body) {
    const answer = await fetch(`${this.origin}/__emulator/${path}`, {
      method,
      ...(body && { headers: { 'content-type': 'application/json' }, body: JSON.stringify(body) }),
    });
    const text = await answer.text();
    if (!answer.ok) throw new Error(`${method} ${path}: ${answer.status} ${text}`);
    return text && JSON.parse(text);
  }

  /** The next request that it answers goes wrong so; `times` null: all of them. */
  fault(action, on = 'data', times = 1) {
    return this.#control('POST', 'faults', { on, times, action });
  }

  /** Forgets all faults and all that it has seen. */
  reset() {
    return this.#control('POST', 'reset');
  }

  /** How many callers left before their answer had ended. */
  async disconnects() {
    return (await this.#control('GET', 'stats')).disconnects;
  }

  /** How many answers it has not ended yet. */
  async inFlight() {
    return (await this.#control('GET', 'stats')).in_flight;
  }

  /** What reached it against the contract: cookies, identity headers, a session id not the token's. */
  async violations() {
    return (await this.#control('GET', 'stats')).violations;
  }

  jwks() {
    return fetch(`${this.origin}/.well-known/jwks.json`).then((answer) => answer.json());
  }

  async stop() {
    await this.program.stop();
    await rm(this.directory, { recursive: true, force: true });
  }
}
