// Prints a Cookie header made by @auth/core, for tests in other languages.
//   node mint.mjs '{"sub":"usr_ada","tier":"pro"}' [lifetime in seconds]
import { header, v5 } from './lib/cookies.mjs';

const [claims, maxAge] = process.argv.slice(2);
process.stdout.write(header(await v5(JSON.parse(claims), { maxAge: maxAge && Number(maxAge) })));
