//! The vectors of trust bundles and inclusions: the code still makes and checks exactly these
//! bytes.
//!
//! `trust-bundles.json` is made by this file from a chain with fixed keys, whose validators change
//! twice. A change of its bytes is a change of the format; `UPDATE_EXPECT=1` writes it anew. An
//! outsider reads it with `docs/spec/trust-bundle.md` beside it.

#![allow(clippy::unwrap_used, reason = "a test that cannot be set up has failed")]

use expect_test::expect_file;
use serde_json::{Value, json};
use symbolon_ledger::{
    block::{HEADER_VERSION, Header},
    certificate::{CERTIFICATE_VERSION, Certificate, CommitSignature},
    codec::encode,
    hash::{ChainId, Digest, sha256},
    inclusion::{INCLUSION_VERSION, Inclusion},
    keys::SecretKey,
    log,
    trust_bundle::{BundleHead, SetChange, TRUST_BUNDLE_VERSION, TrustBundle},
    validators::{Validator, ValidatorSet},
    vote::{VoteKind, vote_bytes},
};
use symbolon_verify::trust::{Anchor, Trust};

const PROVINCES: [&str; 5] = ["11", "31", "44", "51", "65"];
/// Time of block 0; a block a minute follows.
const FOUNDED_MS: u64 = 1_795_406_400_000;
const MINUTE_MS: u64 = 60_000;
/// Heights of the blocks that change the set.
const CHANGES: [u64; 2] = [3, 6];
const TIP: u64 = 8;
/// Which members sign: a quorum of four, and of five.
const QUORUM: [&[usize]; 3] = [&[0, 1, 3], &[0, 1, 2, 3], &[1, 2, 3]];

fn hex(bytes: &[u8]) -> String {
    bytes.iter().map(|b| format!("{b:02x}")).collect()
}

fn chain_id() -> ChainId {
    sha256(b"symbolon trust vectors")
}

/// Key of member `i` in era `era`: its seed is 32 equal bytes.
fn key(era: usize, i: usize) -> SecretKey {
    SecretKey::from_seed(&[u8::try_from(16 * era + i + 1).unwrap(); 32])
}

/// Four members, then five, then four; no key is ever used again.
fn set(era: usize) -> ValidatorSet {
    let size = if era == 1 { 5 } else { 4 };
    let validator = |i: usize| {
        let key = key(era, i).public_key();
        let peer_id = [&[0, 0x24, 8, 1, 0x12, 0x20], &key.as_bytes()[..]].concat();
        Validator { province: PROVINCES[i].parse().unwrap(), key, peer_id }
    };
    ValidatorSet::new((0..size).map(validator).collect()).unwrap()
}

/// The era of the set that votes at `height`.
fn era(height: u64) -> usize {
    CHANGES.iter().filter(|change| height > **change).count()
}

struct Chain {
    headers: Vec<Header>,
}

impl Chain {
    fn new() -> Self {
        Self::forked_at(u64::MAX)
    }

    /// The same chain up to `height`, and another one from there on.
    fn forked_at(fork: u64) -> Self {
        let mut chain = Self { headers: Vec::new() };
        for height in 0..=TIP {
            let state = if height >= fork { "other state" } else { "state" };
            let parent = chain.headers.last().map_or(Digest::ZERO, Header::hash);
            chain.headers.push(Header {
                version: HEADER_VERSION,
                chain_id: chain_id(),
                height,
                time_ms: FOUNDED_MS + height * MINUTE_MS,
                parent,
                history_root: log::root(&chain.leaves(height)),
                transactions_root: sha256(b""),
                state_root: sha256(format!("{state} {height}").as_bytes()),
                validators_hash: set(era(height)).hash(),
                next_validators_hash: set(era(height + 1)).hash(),
                proposer: (height > 0).then(|| "44".parse().unwrap()),
            });
        }
        chain
    }

    fn header(&self, height: u64) -> &Header {
        &self.headers[usize::try_from(height).unwrap()]
    }

    fn leaves(&self, size: u64) -> Vec<Digest> {
        (0..size).map(|h| log::leaf_hash(self.header(h).hash().as_bytes())).collect()
    }

    fn bundle(&self, head: u64) -> TrustBundle {
        let change = |height: u64| SetChange {
            header: encode(self.header(height)).into(),
            certificate: encode(&certify(self.header(height))).into(),
            validators: set(era(height + 1)),
        };
        TrustBundle {
            version: TRUST_BUNDLE_VERSION,
            chain_id: chain_id(),
            genesis: self.header(0).hash(),
            validators: set(0),
            changes: CHANGES.into_iter().filter(|c| *c <= head).map(change).collect(),
            head: BundleHead {
                header: encode(self.header(head)).into(),
                certificate: (head > 0).then(|| encode(&certify(self.header(head))).into()),
            },
        }
    }

    fn inclusion(&self, height: u64, head: u64) -> Inclusion {
        let path = log::path(&self.leaves(head), usize::try_from(height).unwrap());
        Inclusion {
            version: INCLUSION_VERSION,
            header: encode(self.header(height)).into(),
            size: head,
            path: path.unwrap(),
        }
    }
}

fn certify(header: &Header) -> Certificate {
    sign(header, era(header.height), QUORUM[era(header.height)])
}

/// Precommits of these members of one era, in the order given, right or wrong.
fn sign(header: &Header, era: usize, signers: &[usize]) -> Certificate {
    let (height, round, block) = (header.height, 0, header.hash());
    let message = vote_bytes(VoteKind::Precommit, &chain_id(), height, round, Some(&block));
    let sign = |i: &usize| CommitSignature {
        province: PROVINCES[*i].parse().unwrap(),
        signature: key(era, *i).sign(&message),
    };
    let signatures = signers.iter().map(sign).collect();
    Certificate { version: CERTIFICATE_VERSION, height, round, block, signatures }
}

const NOW_MS: u64 = FOUNDED_MS + (TIP + 1) * MINUTE_MS;

fn checked(chain: &Chain, bytes: &[u8]) -> Result<Trust, String> {
    let anchor = Anchor::founding(chain.header(0));
    Trust::check(bytes, &anchor, NOW_MS).map_err(|e| e.to_string())
}

fn sets() -> Value {
    let member = |era: usize| {
        move |(i, v): (usize, &Validator)| {
            json!({
                "province": v.province.as_str(), "public_key": hex(v.key.as_bytes()),
                "seed": hex(&key(era, i).to_seed()[..]), "peer_id": hex(&v.peer_id),
            })
        }
    };
    let one = |era: usize| {
        let set = set(era);
        let members: Vec<_> = set.validators().iter().enumerate().map(member(era)).collect();
        let from = if era == 0 { 1 } else { CHANGES[era - 1] + 1 };
        json!({
            "votes_from_height": from, "validators": members,
            "cbor": hex(&encode(&set)), "hash": set.hash().to_string(),
        })
    };
    json!([one(0), one(1), one(2)])
}

fn valid_bundles(chain: &Chain) -> Vec<Value> {
    let one = |head: u64| {
        let bytes = encode(&chain.bundle(head));
        let trust = checked(chain, &bytes).unwrap();
        json!({
            "cbor": hex(&bytes), "height": head, "block": trust.pin().hash().to_string(),
            "set_changes": trust.set_changes(),
            "next_validators_hash": trust.validators().hash().to_string(),
        })
    };
    [0, 2, 3, 5, TIP].into_iter().map(one).collect()
}

fn refused_bundles(chain: &Chain) -> Vec<Value> {
    let altered = |change: &dyn Fn(&mut TrustBundle)| {
        let mut bundle = chain.bundle(TIP);
        change(&mut bundle);
        encode(&bundle)
    };
    let resigned = |era, signers: &'static [usize]| {
        altered(&|b| b.changes[1].certificate = encode(&sign(chain.header(6), era, signers)).into())
    };
    let cases: Vec<(&str, Vec<u8>)> = vec![
        ("three of five signatures on a change", resigned(1, &[0, 1, 2])),
        ("a signer twice", resigned(1, &[0, 1, 2, 2])),
        ("a change signed by the set that it makes", resigned(2, &[0, 1, 2, 3])),
        ("another chain", altered(&|b| b.chain_id = sha256(b"x"))),
        ("another founding block", altered(&|b| b.genesis = sha256(b"x"))),
        ("other founding validators", altered(&|b| b.validators = set(1))),
        ("a change left out", altered(&|b| _ = b.changes.remove(0))),
        ("the last change left out", altered(&|b| _ = b.changes.pop())),
        ("a change twice", altered(&|b| b.changes.push(b.changes[1].clone()))),
        ("another set than the change names", altered(&|b| b.changes[1].validators = set(0))),
        ("a head below the last change", altered(&|b| b.head = chain.bundle(5).head)),
        ("no certificate of the head", altered(&|b| b.head.certificate = None)),
        ("version 2", altered(&|b| b.version = 2)),
        ("a trailing byte", [altered(&|_| ()), vec![0]].concat()),
    ];
    let case = |(why, bytes): (&str, Vec<u8>)| {
        let error = checked(chain, &bytes).expect_err(why);
        json!({"why": why, "error": error, "cbor": hex(&bytes)})
    };
    cases.into_iter().map(case).collect()
}

/// What happens to a kept bundle when a newer one comes.
fn extensions(chain: &Chain) -> Vec<Value> {
    let fork = Chain::forked_at(5);
    let cases: [(&str, &Chain, u64, u64, Option<Inclusion>); 7] = [
        ("it goes on", chain, 5, TIP, Some(chain.inclusion(5, TIP))),
        ("the founding block alone goes on", chain, 0, 4, Some(chain.inclusion(0, 4))),
        ("the same once more", chain, 5, 5, None),
        ("never back", chain, 5, 4, None),
        ("without the inclusion of the pin", chain, 5, TIP, None),
        ("a fork at the height of the pin", &fork, 5, 5, None),
        ("a fork, shown by its own inclusion", &fork, 5, TIP, Some(fork.inclusion(5, TIP))),
    ];
    let case = |(why, newer, kept, head, link): (&str, &Chain, u64, u64, Option<Inclusion>)| {
        let (kept, newer) = (encode(&chain.bundle(kept)), encode(&newer.bundle(head)));
        let link = link.map(|link| encode(&link));
        let extended = checked(chain, &kept).unwrap().extend(&newer, link.as_deref(), NOW_MS);
        json!({
            "why": why, "kept": hex(&kept), "newer": hex(&newer),
            "link": link.as_deref().map(hex),
            "result": extended.as_ref().ok().map(|trust| hex(&trust.to_bytes())),
            "error": extended.err().map(|e| e.to_string()),
        })
    };
    cases.into_iter().map(case).collect()
}

/// Headers under one pinned bundle, with their certificates and inclusions.
fn headers(chain: &Chain) -> Value {
    const PIN: u64 = 7;
    let bundle = encode(&chain.bundle(PIN));
    let trust = checked(chain, &bundle).unwrap();
    let lie = Header { state_root: sha256(b"a lie"), ..chain.header(2).clone() };
    let real = chain.inclusion(2, PIN);
    let swapped = Inclusion { header: encode(&lie).into(), ..real.clone() };
    let twin = Header { state_root: sha256(b"twin"), ..chain.header(PIN).clone() };
    let next = Header { validators_hash: set(0).hash(), ..chain.header(TIP).clone() };
    let of = |height: u64| chain.header(height).clone();
    let stolen = sign(&lie, 0, QUORUM[0]);
    let cases: Vec<(&str, Header, Option<Certificate>, Option<Inclusion>)> = vec![
        ("above the pin", of(TIP), Some(certify(&of(TIP))), None),
        ("the pinned block", of(PIN), Some(certify(&of(PIN))), None),
        (
            "below it, of the pinned era",
            of(6),
            Some(certify(&of(6))),
            Some(chain.inclusion(6, PIN)),
        ),
        ("of a former era", of(2), Some(certify(&of(2))), Some(real.clone())),
        ("the founding block", of(0), None, None),
        ("below the pin without inclusion", of(2), Some(certify(&of(2))), None),
        (
            "an inclusion under another block",
            of(2),
            Some(certify(&of(2))),
            Some(chain.inclusion(2, 6)),
        ),
        (
            "an inclusion of another block",
            of(2),
            Some(certify(&of(2))),
            Some(chain.inclusion(1, PIN)),
        ),
        ("forged with stolen keys of its era", lie.clone(), Some(stolen.clone()), None),
        ("forged, with the real block's inclusion", lie.clone(), Some(stolen.clone()), Some(real)),
        ("forged, with an altered inclusion", lie, Some(stolen), Some(swapped)),
        ("a second block at the pin", twin.clone(), Some(certify(&twin)), None),
        (
            "above the pin, of a set that is not known",
            next.clone(),
            Some(sign(&next, 0, QUORUM[0])),
            None,
        ),
        ("no certificate", of(6), None, Some(chain.inclusion(6, PIN))),
    ];
    let case = |(why, header, certificate, inclusion): (
        &str,
        Header,
        Option<Certificate>,
        Option<Inclusion>,
    )| {
        let header = encode(&header);
        let (certificate, inclusion) =
            (certificate.as_ref().map(encode), inclusion.as_ref().map(encode));
        let checked = trust.check_header(&header, certificate.as_deref(), inclusion.as_deref());
        json!({
            "why": why, "header": hex(&header),
            "certificate": certificate.as_deref().map(hex),
            "inclusion": inclusion.as_deref().map(hex),
            "block": checked.as_ref().ok().map(|checked| checked.hash().to_string()),
            "error": checked.err().map(|e| e.to_string()),
        })
    };
    json!({"bundle": hex(&bundle), "cases": cases.into_iter().map(case).collect::<Vec<_>>()})
}

#[test]
fn trust_bundles_and_inclusions_are_made_and_checked_as_the_vectors_say() {
    let chain = Chain::new();
    let genesis = chain.header(0);
    let mut vectors = json!({
        "description": "Trust bundles from one founding block, whose validators change twice. \
            docs/spec/trust-bundle.md",
        "anchor": {
            "chain_id": chain_id().to_string(), "genesis": genesis.hash().to_string(),
            "validators_hash": genesis.validators_hash.to_string(),
        },
        "now_ms": NOW_MS,
        "sets": sets(),
        "valid": valid_bundles(&chain),
        "refused": refused_bundles(&chain),
        "extensions": extensions(&chain),
        "headers": headers(&chain),
    });
    vectors.sort_all_objects();
    let text = format!("{}\n", serde_json::to_string_pretty(&vectors).unwrap());
    expect_file!["../vectors/trust-bundles.json"].assert_eq(&text);
}

/// The file alone, as an outsider has it.
#[test]
fn the_vectors_say_the_same_when_they_are_read_back() {
    let path = concat!(env!("CARGO_MANIFEST_DIR"), "/vectors/trust-bundles.json");
    let vectors: Value = serde_json::from_slice(&std::fs::read(path).unwrap()).unwrap();
    let digest = |value: &Value| value.as_str().unwrap().parse::<Digest>().unwrap();
    let anchor = Anchor::Genesis {
        chain_id: digest(&vectors["anchor"]["chain_id"]),
        block: digest(&vectors["anchor"]["genesis"]),
        validators: digest(&vectors["anchor"]["validators_hash"]),
    };
    let now = vectors["now_ms"].as_u64().unwrap();
    let check = |bytes: &Value| Trust::check(&unhex(bytes).unwrap(), &anchor, now);
    let rows = |name: &str| vectors[name].as_array().unwrap().clone();
    for row in rows("valid") {
        let trust = check(&row["cbor"]).unwrap();
        assert_eq!(trust.pin().hash(), digest(&row["block"]));
        assert_eq!(trust.validators().hash(), digest(&row["next_validators_hash"]));
    }
    for row in rows("refused") {
        assert!(check(&row["cbor"]).is_err(), "{}", row["why"]);
    }
    for row in rows("extensions") {
        let newer = unhex(&row["newer"]).unwrap();
        let extended =
            check(&row["kept"]).unwrap().extend(&newer, unhex(&row["link"]).as_deref(), now);
        let result = extended.ok().map(|trust| trust.to_bytes());
        assert_eq!(result, unhex(&row["result"]), "{}", row["why"]);
    }
    let trust = check(&vectors["headers"]["bundle"]).unwrap();
    for row in vectors["headers"]["cases"].as_array().unwrap() {
        let [header, certificate, inclusion] =
            ["header", "certificate", "inclusion"].map(|name| unhex(&row[name]));
        let (certificate, inclusion) = (certificate.as_deref(), inclusion.as_deref());
        let checked = trust.check_header(&header.unwrap(), certificate, inclusion);
        let block = checked.ok().map(|checked| checked.hash().to_string());
        assert_eq!(block.as_deref(), row["block"].as_str(), "{}", row["why"]);
    }
}

fn unhex(value: &Value) -> Option<Vec<u8>> {
    let digits = value.as_str()?.as_bytes().chunks(2);
    let byte = |pair: &[u8]| u8::from_str_radix(std::str::from_utf8(pair).ok()?, 16).ok();
    digits.map(byte).collect()
}
