//! Status list tokens: of the form that a node serves, and what a liar makes of them.

use serde_json::{Value, json};
use symbolon_credential::encoding::to_base64url;
use symbolon_ledger::{hash::sha256, keys::SecretKey};

use super::material::{INDEX, NOW, jws, list_uri, status_key};

/// Entries of a list of this network, of two bits each.
const FULL: usize = 1 << 20;
/// Entries of most lists here: npm's package takes a third of a second to read a full one.
const ENTRIES: usize = 1 << 14;
/// Seconds that a list is good for.
const LIFETIME: u64 = 24 * 3_600;

/// Bytes of a list in which these places have these values and all others 0.
pub(crate) fn packed(entries: usize, values: &[(u32, u8)]) -> Vec<u8> {
    let mut bytes = vec![0; entries / 4];
    for (place, value) in values {
        bytes[*place as usize / 4] |= value << (place % 4 * 2);
    }
    bytes
}

/// A ZLIB stream of stored blocks (RFC 1950, RFC 1951): what any inflater reads.
fn zlib(bytes: &[u8]) -> Vec<u8> {
    let mut stream = vec![0x78, 0x01];
    let count = bytes.chunks(0xffff).count();
    for (i, block) in bytes.chunks(0xffff).enumerate() {
        let length = u16::try_from(block.len()).unwrap();
        stream.push(u8::from(i + 1 == count));
        stream.extend(length.to_le_bytes());
        stream.extend((!length).to_le_bytes());
        stream.extend(block);
    }
    let (a, b) = bytes.iter().fold((1u32, 0u32), |(a, b), byte| {
        let a = (a + u32::from(*byte)) % 65_521;
        (a, (b + a) % 65_521)
    });
    stream.extend((b << 16 | a).to_be_bytes());
    stream
}

/// Header and payload of a token over `packed`.
pub(crate) fn token_parts(packed: &[u8], issued_at: u64) -> (Value, Value) {
    let header = json!({"alg": "Ed25519", "typ": "statuslist+jwt", "kid": "1"});
    let payload = json!({
        "iss": list_uri().rsplit_once('/').unwrap().0,
        "sub": list_uri(), "iat": issued_at, "exp": issued_at + LIFETIME, "ttl": 300,
        "status_list": {"bits": 2, "lst": to_base64url(&zlib(packed))},
        "ledger": {"height": 9, "state_root": sha256(b"state").to_string()},
    });
    (header, payload)
}

/// The token of a list in which the licence has `status`.
pub(crate) fn token(status: u8) -> String {
    altered(status, |_, _| {}, &status_key())
}

/// The same, as long as a node's lists are.
pub(crate) fn full_token(status: u8) -> String {
    let (header, payload) = token_parts(&packed(FULL, &neighbourhood(status)), NOW - 60);
    jws(&header, &payload, &status_key())
}

/// The licence among two that do not stand.
fn neighbourhood(status: u8) -> [(u32, u8); 3] {
    [(INDEX - 1, 1), (INDEX, status), (INDEX + 1, 2)]
}

/// The same with a changed header or payload, signed by `key`.
pub(crate) fn altered(
    status: u8,
    change: impl FnOnce(&mut Value, &mut Value),
    key: &SecretKey,
) -> String {
    let (mut header, mut payload) = token_parts(&packed(ENTRIES, &neighbourhood(status)), NOW - 60);
    change(&mut header, &mut payload);
    jws(&header, &payload, key)
}
