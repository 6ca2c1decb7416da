//! Status list tokens as a node signs them, and what a liar makes of them.

use serde_json::Value;
use symbolon_credential::status_list::{LedgerPoint, ListAddress, NewToken, lst};
use symbolon_ledger::{hash::sha256, keys::SecretKey};

use super::material::{INDEX, NOW, jws, list_uri, parts, status_key};

/// Entries of a list of this network, of two bits each.
const FULL: usize = 1 << 20;
/// Entries of most lists here: npm's package takes a third of a second to read a full one.
const ENTRIES: usize = 1 << 14;

/// Bytes of a list in which these places have these values and all others 0.
pub(crate) fn packed(entries: usize, values: &[(u32, u8)]) -> Vec<u8> {
    let mut bytes = vec![0; entries / 4];
    for (place, value) in values {
        bytes[*place as usize / 4] |= value << (place % 4 * 2);
    }
    bytes
}

/// A token as a node makes it, of any list.
fn signed(packed: &[u8], issued_at: u64) -> String {
    let address = ListAddress::parse(&list_uri()).unwrap();
    let ledger = LedgerPoint { height: 9, state_root: sha256(b"state") };
    NewToken { address: &address, key_id: 1, issued_at, ledger, lst: &lst(packed) }
        .sign(&status_key())
}

/// Header and payload of a token over `packed`.
pub(crate) fn token_parts(packed: &[u8], issued_at: u64) -> (Value, Value) {
    parts(&signed(packed, issued_at))
}

/// The token of a list in which the licence has `status`.
pub(crate) fn token(status: u8) -> String {
    signed(&packed(ENTRIES, &neighbourhood(status)), NOW - 60)
}

/// The same, as long as a node's lists are.
pub(crate) fn full_token(status: u8) -> String {
    signed(&packed(FULL, &neighbourhood(status)), NOW - 60)
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
