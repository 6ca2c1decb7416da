// What the npm packages @sd-jwt/sd-jwt-vc and @sd-jwt/jwt-status-list make of our credentials.
//
// Reads a file of cases and writes one line of JSON: for each case whether it was accepted, and
// otherwise who refused it. `library` is the package itself; `caller` are the checks that the
// package leaves to whoever uses it, as README.md beside this file lists them. tests/tests/interop.rs
// makes the cases and judges the answers.
//
//   node stock.mjs verify|present|statuses CASES.json

import { createHash } from 'node:crypto';
import { readFile } from 'node:fs/promises';
import { createRequire } from 'node:module';

const require = createRequire(new URL('../../target/interop/node/', import.meta.url));
const { SDJwtVcInstance } = require('@sd-jwt/sd-jwt-vc');
const { getListFromStatusListJWT } = require('@sd-jwt/jwt-status-list');

/** Seconds that a presentation stays fresh, and that its clock may be ahead (level A). */
const [FRESH_S, AHEAD_S] = [60, 10];

class CallerRefused extends Error {}

const bytes = (base64url) => Buffer.from(base64url, 'base64url');
const headerOf = (jwt) => JSON.parse(bytes(jwt.split('.')[0]));
const hasher = (data) => createHash('sha256').update(data).digest();

function demand(holds, why) {
  if (!holds) throw new CallerRefused(why);
}

async function verify(jwk, data, signature) {
  const key = await crypto.subtle.importKey('jwk', jwk, 'Ed25519', false, ['verify']);
  return crypto.subtle.verify('Ed25519', key, bytes(signature), Buffer.from(data));
}

function checkHeader(jwt, typ) {
  const header = headerOf(jwt);
  demand(header.alg === 'Ed25519', `alg is ${header.alg}`);
  demand(header.typ === typ, `typ is ${header.typ}`);
}

/** Hands out the list that a licence names, as a download would, after the caller's own checks. */
function listFetcher(lists) {
  return async (uri) => {
    const token = lists[uri];
    demand(token !== undefined, `no status list at ${uri}`);
    checkHeader(token, 'statuslist+jwt');
    demand(JSON.parse(bytes(token.split('.')[1])).sub === uri, 'the list is of another address');
    return token;
  };
}

async function judge({ issuer_key, status_key }, { presentation, lists, audience, nonce, now }) {
  const instance = new SDJwtVcInstance({
    hasher,
    verifier: (data, signature) => verify(issuer_key, data, signature),
    kbVerifier: (data, signature, payload) => verify(payload.cnf.jwk, data, signature),
    statusVerifier: (data, signature) => verify(status_key, data, signature),
    statusListFetcher: listFetcher(lists),
  });
  const options = { currentDate: now, keyBindingNonce: nonce };
  const { payload, kb } = await instance.verify(presentation, options);
  checkHeader(presentation.split('~')[0], 'dc+sd-jwt');
  if (nonce !== undefined) {
    checkHeader(presentation.slice(presentation.lastIndexOf('~') + 1), 'kb+jwt');
    demand(kb.payload.aud === audience, 'the presentation is for another audience');
    const age = now - kb.payload.iat;
    demand(age <= FRESH_S && age >= -AHEAD_S, 'the presentation is not fresh');
  }
  return payload;
}

async function answer(given, one) {
  try {
    return { name: one.name, accepted: true, claims: await judge(given, one) };
  } catch (error) {
    const by = error instanceof CallerRefused ? 'caller' : 'library';
    return { name: one.name, accepted: false, by, error: error.message };
  }
}

/** The statuses at some places of a list, as the package reads them. */
function statuses({ token, places }) {
  const list = getListFromStatusListJWT(token);
  return places.map((place) => list.getStatus(place));
}

async function present({ credential, show, holder_key, audience, nonce, now }) {
  const key = await crypto.subtle.importKey('jwk', holder_key, 'Ed25519', false, ['sign']);
  const sign = async (data) =>
    Buffer.from(await crypto.subtle.sign('Ed25519', key, Buffer.from(data))).toString('base64url');
  const instance = new SDJwtVcInstance({ hasher, kbSigner: sign, kbSignAlg: 'Ed25519' });
  const frame = Object.fromEntries(show.map((name) => [name, true]));
  const payload = { iat: now, aud: audience, nonce };
  return instance.present(credential, frame, { kb: { payload } });
}

const [what, file] = process.argv.slice(2);
const given = JSON.parse(await readFile(file, 'utf8'));
const answers = {
  verify: () => Promise.all(given.cases.map((one) => answer(given, one))),
  present: () => present(given),
  statuses: () => statuses(given),
};
console.log(JSON.stringify(await answers[what]()));
