// Checks a receipt or a state proof with nothing but a JavaScript runtime: Node 20, or a browser.
//
// A second reading of receipt.md, state-proof.md, block.md, state.md and encoding.md, written from those pages alone.
// It fetches nothing, follows no change of the validator set (a trust bundle does) and judges no licence (verdict.md).
// The numbers in comments are the steps of receipt.md and state-proof.md under "Checking".
//
//   node verify.mjs receipt|state-proof FILE TRUST.json
//
// FILE holds the exact CBOR. TRUST.json is what is believed beforehand, from a source of one's own:
// {"chain_id", "genesis": hash of block 0, "validators": [{"province", "key", "peer_id"}]}, in ascending order of
// province. Hashes are hexadecimal, keys hexadecimal or base64url, peer ids hexadecimal or base58; the peer ids may be
// left out where "validators_hash" is given. GET /v1/validators answers in these words.
// One line of JSON on standard output. Exit status: 0 it holds, 1 it proves nothing, 2 wrong usage.

const MAX_RECEIPT_BYTES = 16_384;
const MAX_STATE_PROOF_BYTES = 524_288;
const MAX_ENTRIES = 1_024;
const MAX_SIBLINGS = 256;
const MAX_PATH = 64; // no block has 2^64 transactions
const MAX_DEPTH = 8; // nothing in these formats nests deeper
const EMPTY_SUBTREE = ascii('SPARSE_MERKLE_PLACEHOLDER_HASH__');

/** Why something proves nothing. */
export class Refused extends Error {}
const refuse = (why) => { throw new Refused(why); };
const need = (holds, why) => holds || refuse(why);

// ---- bytes and hashes
function ascii(text) { return new TextEncoder().encode(text); }
const hex = (bytes) => Array.from(bytes, (b) => b.toString(16).padStart(2, '0')).join('');
const fromHex = (text) => Uint8Array.from(text.match(/../g) ?? [], (pair) => parseInt(pair, 16));
const same = (a, b) => a.length === b.length && a.every((byte, i) => byte === b[i]);
const concat = (...parts) => Uint8Array.from(parts.flatMap((part) => [...part]));
const sha256 = async (...parts) => new Uint8Array(await crypto.subtle.digest('SHA-256', concat(...parts)));

// ---- deterministic CBOR (encoding.md): one spelling is read, every other refused
/** Integers (bigint), bytes (Uint8Array), strings, arrays, Maps: no more occurs in these formats. */
function decode(bytes) {
  const at = { bytes, place: 0 };
  const value = item(at, MAX_DEPTH);
  return at.place === bytes.length ? value : refuse('bytes after the end');
}

function take(at, count) {
  need(count <= at.bytes.length - at.place, 'the bytes end too early');
  at.place += count;
  return at.bytes.subarray(at.place - count, at.place);
}

function item(at, depth) {
  need(depth > 0, 'nested too deeply');
  const [first] = take(at, 1);
  const [major, info] = [first >> 5, first & 31];
  need(info < 28, 'an indefinite length or a reserved form');
  const width = info < 24 ? 0 : 1 << (info - 24);
  const argument = width === 0 ? BigInt(info) : BigInt(`0x${hex(take(at, width))}`);
  const least = { 0: 0n, 1: 24n }[width] ?? 1n << BigInt(4 * width);
  need(argument >= least, 'an integer that is not in its shortest form');
  need(major < 2 || argument <= BigInt(at.bytes.length), 'a length beyond the end');
  const length = Number(argument);
  switch (major) {
    case 0: return argument;
    case 1: return -1n - argument;
    case 2: return take(at, length);
    case 3: return new TextDecoder('utf-8', { ignoreBOM: true }).decode(take(at, length)); // shapes allow ASCII only
    case 4: return Array.from({ length }, () => item(at, depth - 1));
    case 5: {
      const pairs = Array.from({ length }, () => [item(at, depth - 1), item(at, depth - 1)]);
      const ascends = ([key], i) => typeof key === 'bigint' && key > (i === 0 ? -1n : pairs[i - 1][0]);
      return pairs.every(ascends) ? new Map(pairs) : refuse('map keys are not integers in ascending order');
    }
    default: return refuse('a form that does not occur in these formats');
  }
}

function encode(value) {
  if (typeof value === 'bigint') return value < 0n ? head(1, -1n - value) : head(0, value);
  if (typeof value === 'string') return concat(head(3, ascii(value).length), ascii(value));
  if (value instanceof Uint8Array) return concat(head(2, value.length), value);
  if (Array.isArray(value)) return concat(head(4, value.length), ...value.map(encode));
  return concat(head(5, value.size), ...[...value].flat().map(encode));
}

function head(major, number) {
  const n = BigInt(number);
  if (n < 24n) return Uint8Array.of((major << 5) | Number(n));
  const size = [0, 1, 2, 3].find((s) => n < 1n << BigInt(8 << s));
  return concat([(major << 5) | (24 + size)], fromHex(n.toString(16).padStart(2 << size, '0')));
}

// ---- shapes: what a decoded value must be
const uint = (bits) => (v) => typeof v === 'bigint' && v >= 0n && v < 1n << BigInt(bits);
const bytes = (length) => (v) => v instanceof Uint8Array && (length === undefined || v.length === length);
const text = (form) => (v) => typeof v === 'string' && form.test(v);
const list = (of) => (v) => Array.isArray(v) && v.every(of);
const tuple = (...of) => (v) => Array.isArray(v) && v.length === of.length && of.every((is, i) => is(v[i]));
const either = (...of) => (v) => of.some((is) => is(v));
const exactly = (number) => (v) => v === BigInt(number);
const hash = bytes(32);
const province = text(/^[0-9]{2}$/); // codes: identifiers.md
const agency = text(/^[0-9A-HJ-NP-RTUWXY]{18}$/);
const type = text(/^([0-9A-HJ-NP-RTUWXY]{18}[0-9]{3}|local:[a-z0-9-]{1,32})$/);
const actor = either(tuple(exactly(0), tuple(province)), tuple(exactly(1), tuple(agency)));

/** A map of exactly these members, as an object; a name that ends in "?" may be absent. */
function map(value, what, shape) {
  need(value instanceof Map, `${what} is not a map`);
  const found = {};
  Object.entries(shape).forEach(([name, is], number) => {
    const member = value.get(BigInt(number));
    const optional = name.endsWith('?');
    need(member === undefined ? optional : is(member), `${what}: ${name} is missing or of another form`);
    found[name.replace('?', '')] = member;
  });
  need([...value.keys()].every((key) => key < Object.keys(shape).length), `${what} has an unknown member`);
  return found;
}

const RECEIPT = {
  version: exactly(1), transaction: hash, signatureHash: hash, index: uint(64), size: uint(64), path: list(hash),
  header: bytes(), certificate: bytes(),
};
const STATE_PROOF = { version: exactly(1), header: bytes(), 'certificate?': bytes(), entries: Array.isArray };
const ENTRY = { key: bytes(), 'record?': bytes(), path: (v) => v instanceof Map };
const PATH = { siblings: list(hash), 'other?': tuple(hash, hash) };
const HEADER = {
  version: exactly(1), chainId: hash, height: uint(64), time: uint(64), parent: hash, historyRoot: hash,
  transactionsRoot: hash, stateRoot: hash, validatorsHash: hash, nextValidatorsHash: hash, 'proposer?': province,
};
const SIGNATURES = list(tuple(province, bytes(64)));
const CERTIFICATE = { version: exactly(1), height: uint(64), round: uint(32), block: hash, signatures: SIGNATURES };
/** The parts of a state key, by its number (state.md). 12 is not in the map. */
const STATE_KEYS = [
  [], [], [], [province], [agency], [uint(32)], [actor, uint(32)], [type], [uint(16)], [hash],
  [province, uint(32)], [province, province, type],
];

// ---- Ed25519, strictly (encoding.md, "Signatures")
/** y of the points of small order, in every spelling of 255 bits (little-endian). */
const SMALL_ORDER = new Set([
  ...['00', '01'].map((first) => first + '00'.repeat(31)),
  ...['ec', 'ed', 'ee'].map((first) => `${first}${'ff'.repeat(30)}7f`),
  '26e8958fc2b227b045c3f489f2ef98f0d5dfac05d3c63339b13802886d53fc05',
  'c7176a703d4dd84fba3c0b760d10670f2a2053fa2c39ccc64ec7fd7792ac037a',
]);

const y = (point) => hex([...point.subarray(0, 31), point[31] & 0x7f]);
/** y is below 2^255 - 19: each of the 19 spellings from there on is the second one of a smaller y. */
const canonical = (point) => !/^(e[d-f]|f.)(ff){30}7f$/.test(y(point));

/** Whether `key` may be registered and signed `message`. WebCrypto itself lets small orders pass. */
export async function ed25519(key, message, signature) {
  if (!canonical(key) || SMALL_ORDER.has(y(key)) || SMALL_ORDER.has(y(signature.subarray(0, 32)))) return false;
  const imported = await crypto.subtle.importKey('raw', key, 'Ed25519', false, ['verify']).catch(() => null);
  return imported !== null && crypto.subtle.verify('Ed25519', imported, signature, message);
}

// ---- headers (receipt.md, 2 to 4)
async function checkHeader(headerBytes, certificateBytes, trust) {
  const header = map(decode(headerBytes), 'the header', HEADER);
  const block = await sha256(ascii('symbolon/block/1'), headerBytes);
  need(same(header.chainId, trust.chainId), 'the header is of another chain');
  if (header.height === 0n) {
    need(certificateBytes === undefined, 'the founding block has no certificate');
    need(same(block, trust.genesis), 'not the trusted founding block');
  } else {
    need(certificateBytes !== undefined, 'a certificate is missing');
    await checkCertificate(map(decode(certificateBytes), 'the certificate', CERTIFICATE), header, block, trust);
  }
  return { ...header, block };
}

async function checkCertificate(certificate, header, block, trust) {
  const { height, round, signatures } = certificate;
  need(same(certificate.block, block) && height === header.height, 'the certificate is for another block');
  need(same(header.validatorsHash, trust.validatorsHash), 'the header names another validator set');
  const names = signatures.map(([name]) => name);
  need(names.every((name, i) => i === 0 || names[i - 1] < name), 'signers are not ascending');
  const quorum = Math.floor((trust.validators.size * 2) / 3) + 1;
  need(names.length >= quorum, `${names.length} signatures, fewer than the quorum of ${quorum}`);
  const message = encode(['symbolon/precommit/1', trust.chainId, height, round, block]);
  for (const [name, signature] of signatures) {
    const key = trust.validators.get(name) ?? refuse(`province ${name} is no validator`);
    need(await ed25519(key, message, signature), `the signature of province ${name} does not match`);
  }
}

// ---- receipts
export async function checkReceipt(file, trust) {
  need(file.length <= MAX_RECEIPT_BYTES, 'too long for a receipt');
  const receipt = map(decode(file), 'the receipt', RECEIPT); // 1
  const header = await checkHeader(receipt.header, receipt.certificate, trust);
  need(header.height > 0n, 'block 0 has no receipts');
  const leaf = await sha256([0], receipt.transaction, receipt.signatureHash); // 5
  need(same(await pathRoot(leaf, receipt), header.transactionsRoot), 'the transaction is not at that place');
  const { transaction, signatureHash, index } = receipt; // not its size: nothing commits to it
  return { ...about(header), transaction: hex(transaction), signature_hash: hex(signatureHash), index: Number(index) };
}

/** RFC 9162, section 2.1.3.2. */
async function pathRoot(leaf, { index, size, path }) {
  need(index < size && path.length <= MAX_PATH, 'the path does not fit the place');
  let [fn, sn, root] = [index, size - 1n, leaf];
  for (const sibling of path) {
    need(sn !== 0n, 'the path is too long');
    const onTheLeft = fn & 1n || fn === sn;
    root = await sha256([1], ...(onTheLeft ? [sibling, root] : [root, sibling]));
    while (onTheLeft && !(fn & 1n) && fn !== 0n) [fn, sn] = [fn >> 1n, sn >> 1n];
    [fn, sn] = [fn >> 1n, sn >> 1n];
  }
  need(sn === 0n, 'the path is too short');
  return root;
}

// ---- state proofs
export async function checkStateProof(file, trust) {
  need(file.length <= MAX_STATE_PROOF_BYTES, 'too long for a state proof');
  const proof = map(decode(file), 'the state proof', STATE_PROOF);
  need(proof.entries.length <= MAX_ENTRIES, 'too many entries');
  const header = await checkHeader(proof.header, proof.certificate, trust); // 1
  const entries = new Map();
  for (const [number, raw] of proof.entries.entries()) {
    const entry = map(raw, `entry ${number}`, ENTRY);
    const key = decode(entry.key); // 4
    need(tuple(uint(8), Array.isArray)(key) && key[0] in STATE_KEYS, `entry ${number} has no key of the map`);
    need(tuple(...STATE_KEYS[key[0]])(key[1]), `entry ${number} has no state key`);
    need(!entries.has(hex(entry.key)), `entry ${number} repeats a key`);
    await checkPath(entry, header.stateRoot, number);
    entries.set(hex(entry.key), entry.record === undefined ? null : hex(entry.record));
  }
  return { ...about(header), state_root: hex(header.stateRoot), entries: Object.fromEntries(entries) };
}

async function checkPath({ key, record, path }, root, number) {
  const { siblings, other } = map(path, `the path of entry ${number}`, PATH);
  need(siblings.length <= MAX_SIBLINGS, 'more siblings than a key has bits');
  const mapKey = await sha256(ascii('symbolon/state/1'), key);
  const bit = (of, i) => (of[i >> 3] >> (7 - (i & 7))) & 1;
  const leaf = (k, valueHash) => sha256(ascii('JMT::LeafNode'), k, valueHash);
  let top = EMPTY_SUBTREE;
  if (record !== undefined) { // 2
    need(other === undefined, 'a path to a record that is there names another leaf');
    top = await leaf(mapKey, await sha256(record));
  } else if (other !== undefined) {
    need(!same(other[0], mapKey), 'the other leaf is the key itself');
    need(siblings.every((_, i) => bit(other[0], i) === bit(mapKey, i)), 'the other leaf is not on the way');
    top = await leaf(...other);
  }
  for (const [i, sibling] of siblings.entries()) { // 3
    const pair = bit(mapKey, siblings.length - 1 - i) ? [sibling, top] : [top, sibling];
    top = await sha256(ascii('JMT::IntrnalNode'), ...pair);
  }
  need(same(top, root), `the path of entry ${number} leads to another root`);
}

const about = (header) => ({ height: Number(header.height), block: hex(header.block), time_ms: Number(header.time) });

// ---- what is believed beforehand
export async function readTrust(json) {
  const set = json.validators;
  const validators = new Map(set.map((v) => [v.province, fromText(v.key ?? v.public_key)]));
  const key = (v) => new Map([[1n, -19n], [2n, validators.get(v.province)]]);
  const member = (v) => new Map([[0n, v.province], [1n, key(v)], [2n, fromText(v.peer_id)]]);
  const setHash = () => sha256(ascii('symbolon/validators/1'), encode(set.map(member)));
  const validatorsHash = json.validators_hash ? fromText(json.validators_hash) : await setHash();
  const [chainId, genesis] = [fromText(json.chain_id), fromText(json.genesis)];
  const whole = [chainId, genesis, validatorsHash, ...validators.values()].every(hash);
  if (!whole || validators.size === 0 || validators.size < set.length) throw Error('trust: see the head of verify.mjs');
  return { chainId, genesis, validators, validatorsHash };
}

const BASE58 = '123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz';
/** Hexadecimal, the base64url of a key, or the base58 of a peer id: their lengths and alphabets tell them apart. */
function fromText(value) {
  if (/^([0-9a-f]{2})+$/.test(value)) return fromHex(value);
  const binary = (text) => atob(text.replaceAll('-', '+').replaceAll('_', '/'));
  if (/^[\w-]{43}$/.test(value)) return Uint8Array.from(binary(value), (c) => c.charCodeAt(0));
  if (!/^[1-9A-HJ-NP-Za-km-z]{46,}$/.test(value)) throw Error(`trust: ${value} is no hash, key or peer id`);
  const digits = [...value].map((c) => BASE58.indexOf(c));
  const number = digits.reduce((n, digit) => n * 58n + BigInt(digit), 0n).toString(16);
  const zeros = digits.findIndex((digit) => digit !== 0);
  return concat(new Uint8Array(zeros), fromHex(number.padStart(number.length + (number.length % 2), '0')));
}

// ---- the command line
async function main([what, file, trustFile, ...rest]) {
  const check = { receipt: checkReceipt, 'state-proof': checkStateProof }[what];
  const { readFile } = await import('node:fs/promises');
  try {
    if (!check || !trustFile || rest.length > 0) throw Error('usage: verify.mjs receipt|state-proof FILE TRUST.json');
    const trust = await readTrust(JSON.parse(await readFile(trustFile, 'utf8')));
    console.log(JSON.stringify({ valid: true, ...(await check(new Uint8Array(await readFile(file)), trust)) }));
    return 0;
  } catch (error) {
    console.log(JSON.stringify({ valid: false, error: error.message }));
    return error instanceof Refused ? 1 : 2;
  }
}

if (globalThis.process?.argv[1]?.endsWith('/verify.mjs')) process.exitCode = await main(process.argv.slice(2));
