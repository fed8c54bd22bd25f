// Chromium's own log of its network, read back: every byte that its sockets sent and received, and
// every byte that its requests were answered with, streamed and aborted ones included.
import { readFile } from 'node:fs/promises';

/** What to start Chromium with, so that it writes such a log to `file`. */
export const netlogFlags = (file) => [`--log-net-log=${file}`, '--net-log-capture-mode=Everything'];

/** The log in `file`: `sent` and `received`, one text for each socket; `answers`, one for each request. */
export async function readNetlog(file) {
  const text = await readFile(file, 'utf8');
  const { constants, events } = JSON.parse(text);
  const types = constants.logEventTypes;
  const collect = (...names) => {
    const wanted = new Set(names.map((name) => types[name]));
    const bySource = new Map();
    for (const { type, source, params } of events) {
      if (!wanted.has(type) || typeof params?.bytes !== 'string') continue;
      const pieces = bySource.get(source.id) ?? [];
      pieces.push(Buffer.from(params.bytes, 'base64'));
      bySource.set(source.id, pieces);
    }
    return [...bySource.values()].map((pieces) => Buffer.concat(pieces).toString('latin1'));
  };
  return {
    /** The file as it stands: header lines that no socket carried (caches, redirects) are in it too. */
    text,
    sent: collect('SOCKET_BYTES_SENT'),
    received: collect('SOCKET_BYTES_RECEIVED'),
    answers: collect('URL_REQUEST_JOB_FILTERED_BYTES_READ', 'URL_REQUEST_JOB_BYTES_READ'),
  };
}

/** A signed token: three parts, the first of which is a JSON object in base64url. */
const JWT = /\beyJ[\w-]{5,}\.[\w-]{5,}\.[\w-]{5,}/;
/** A sealed session (five parts, the second empty), which may travel in cookie headers only. */
const SEALED = /\beyJ[\w-]{5,}\.[\w-]*\.[\w-]{5,}\.[\w-]{5,}\.[\w-]{5,}/;
/** A Behest key of either kind, with something behind its prefix. */
const KEY = /behest_[sp]k_[\w+/=-]{8,}/;

/** The credentials that a browser must never hold, found in `text`; empty where there are none. */
export function credentialsIn(text) {
  return [JWT, KEY].flatMap((pattern) => pattern.exec(text)?.[0].slice(0, 24) ?? []);
}

/** Whether a sealed session stands in `text` outside of Cookie and Set-Cookie lines. */
export function sessionOutsideCookies(text) {
  return SEALED.test(text.replace(/^(set-)?cookie: .*$/gim, ''));
}
