// Runs docs/spec/verify.mjs over many receipts, state proofs and signatures in one process.
//
// Reads {"trust", "proofs": [{"kind", "cbor"}]} or {"signatures": [{"public_key", "message",
// "signature"}]}, all in hexadecimal, and writes one line of JSON: what was found, in order.
// tests/tests/interop.rs makes the cases and judges the answers.
//
//   node proofs.mjs CASES.json

import { readFile } from 'node:fs/promises';
import { checkReceipt, checkStateProof, ed25519, readTrust, Refused } from '../../docs/spec/verify.mjs';

const bytes = (hex) => new Uint8Array(Buffer.from(hex, 'hex'));
const checks = { receipt: checkReceipt, 'state-proof': checkStateProof };

async function check(trust, { kind, cbor }) {
  try {
    return { valid: true, ...(await checks[kind](bytes(cbor), trust)) };
  } catch (error) {
    // Anything else is a fault of the verifier, and ends this program.
    if (!(error instanceof Refused)) throw error;
    return { valid: false, error: error.message };
  }
}

const { trust, proofs = [], signatures = [] } = JSON.parse(await readFile(process.argv[2], 'utf8'));
const believed = trust && (await readTrust(trust));
const answers = [];
for (const proof of proofs) answers.push(await check(believed, proof));
for (const one of signatures) {
  answers.push(await ed25519(bytes(one.public_key), bytes(one.message), bytes(one.signature)));
}
console.log(JSON.stringify(answers));
