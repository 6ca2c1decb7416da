//! `docs/spec/verify.mjs` from its command line, on what a real network gives.

use std::path::{Path, PathBuf};

use serde_json::{Value, json};
use symbolon_credential::encoding::from_base64url;
use symbolon_tests::devnet::{Devnet, json_of};
use tempfile::TempDir;

use crate::{
    by_hand::tells_good_receipts_from_damaged_ones,
    programs::{answer, node},
    proofs::hex,
};

const VERIFIER: &str = "docs/spec/verify.mjs";
const PROVINCE: &str = "44";
/// A licence that was never issued.
const NO_LICENCE: &str = "0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef";

fn get(net: &Devnet, path: &str) -> Value {
    net.get(PROVINCE, path).unwrap().1
}

/// What an outsider keeps of the network, in the form that the verifier reads.
fn trust(net: &Devnet) -> Value {
    json!({
        "chain_id": get(net, "/v1/status")["chain_id"],
        "genesis": get(net, "/v1/blocks/0")["hash"],
        "validators": get(net, "/v1/validators")["items"],
    })
}

struct Desk {
    folder: TempDir,
    trust: PathBuf,
}

impl Desk {
    fn new(trust: &Value) -> Self {
        let folder = TempDir::new().unwrap();
        let path = folder.path().join("trust.json");
        std::fs::write(&path, trust.to_string()).unwrap();
        Self { folder, trust: path }
    }

    /// Exit status and answer of the verifier.
    fn verify(&self, kind: &str, bytes: &[u8]) -> (i32, Value) {
        let file = self.folder.path().join("proof.cbor");
        std::fs::write(&file, bytes).unwrap();
        let output = node(VERIFIER, &[Path::new(kind), &file, &self.trust]);
        (output.status.code().unwrap(), answer(&output))
    }

    /// One bit turned over in each of `regions`, which occur in `good`: all refused.
    fn refuses_damage(&self, kind: &str, good: &[u8], regions: &[(&str, Vec<u8>)]) {
        for (name, region) in regions {
            let at = good.windows(region.len()).position(|w| w == region);
            let mut bytes = good.to_vec();
            bytes[at.unwrap_or_else(|| unreachable!("{name} is part of it")) + region.len() / 2] ^=
                1;
            let (status, said) = self.verify(kind, &bytes);
            assert_eq!((status, &said["valid"]), (1, &json!(false)), "{kind}, {name}: {said}");
        }
    }
}

fn bytes_of(value: &Value) -> Vec<u8> {
    from_base64url(value.as_str().unwrap()).unwrap()
}

/// Issues a licence: (transaction, cid).
fn issue(net: &Devnet) -> (String, String) {
    let out = net.folder().join("licences");
    let claims = [
        "name=侯寒秋",
        "sex=女",
        "nationality=中国",
        "address=广东省深圳市",
        "birth_date=2000-04-21",
        "first_issue_date=2020-02-05",
        "vehicle_class=C1",
        "valid_from=2022-11-11",
        "valid_until=长期",
        "licence_number=449999200004216907",
        "archive_number=440007126037",
    ];
    let out = out.to_string_lossy();
    let mut arguments = vec!["--as", PROVINCE, "--json", "issue", "--out", &out];
    arguments.extend(["--type", "local:driving-licence"]);
    arguments.extend(claims.iter().flat_map(|claim| ["--claim", claim]));
    let output = net.symbolon(&arguments);
    assert!(output.status.success(), "{}", String::from_utf8_lossy(&output.stderr));
    let said = json_of(&output);
    let text = |name: &str| said[name].as_str().unwrap().to_owned();
    (text("transaction"), text("cid"))
}

#[test]
fn javascript_checks_what_a_network_gives_and_refuses_it_when_damaged() {
    let net = Devnet::start(4);
    let (transaction, cid) = issue(&net);
    let desk = Desk::new(&trust(&net));

    let receipt = get(&net, &format!("/v1/transactions/{transaction}/receipt"));
    let receipt = bytes_of(&receipt["receipt"]);
    let (status, said) = desk.verify("receipt", &receipt);
    assert_eq!((status, &said["transaction"]), (0, &json!(transaction)), "{said}");

    let licence = get(&net, &format!("/v1/licences/{cid}"));
    let proof = bytes_of(&licence["proof"]);
    let (status, said) = desk.verify("state-proof", &proof);
    let record = hex(&bytes_of(&licence["record"]));
    assert_eq!(status, 0, "{said}");
    assert!(said["entries"].as_object().unwrap().values().any(|r| *r == json!(record)), "{said}");

    let absent = bytes_of(&get(&net, &format!("/v1/licences/{NO_LICENCE}"))["proof"]);
    let (status, said) = desk.verify("state-proof", &absent);
    // The state key of a licence: [9, [cid]].
    let key = format!("8209815820{NO_LICENCE}");
    assert_eq!((status, &said["entries"][&key]), (0, &Value::Null), "{said}");
    assert!(said["entries"].as_object().unwrap().contains_key(&key), "{said}");

    damage(&net, &desk, &receipt, &proof, &bytes_of(&licence["record"]));
    another_chain(&desk, &receipt, &trust(&net));
    tells_good_receipts_from_damaged_ones(&net, &transaction, &receipt);
}

fn damage(net: &Devnet, desk: &Desk, receipt: &[u8], proof: &[u8], record: &[u8]) {
    let chain = get(net, "/v1/status")["chain_id"].as_str().unwrap().to_owned();
    let known = |bytes: &[u8]| -> symbolon_ledger::receipt::Receipt {
        symbolon_ledger::codec::decode(bytes, bytes.len()).unwrap()
    };
    let parts = known(receipt);
    let signature = parts.certificate[parts.certificate.len() - 64..].to_vec();
    let regions = [
        ("the transaction", parts.transaction.as_bytes().to_vec()),
        ("its signature's hash", parts.signature_hash.as_bytes().to_vec()),
        ("the header", parts.header.to_vec()),
        ("the chain", crate::proofs::from_hex(&chain)),
        ("the last signature", signature),
        ("the certificate's block", parts.certificate[..60].to_vec()),
    ];
    desk.refuses_damage("receipt", receipt, &regions);
    let regions = [("the record", record.to_vec()), ("the chain", crate::proofs::from_hex(&chain))];
    desk.refuses_damage("state-proof", proof, &regions);
    for cut in [0, 1, receipt.len() / 2, receipt.len() - 1] {
        assert_eq!(desk.verify("receipt", &receipt[..cut]).0, 1, "cut to {cut} bytes");
    }
}

fn another_chain(desk: &Desk, receipt: &[u8], trust: &Value) {
    let mut other = trust.clone();
    other["chain_id"] = json!(NO_LICENCE);
    let other = Desk::new(&other);
    assert_eq!(other.verify("receipt", receipt).0, 1);
    assert_eq!(desk.verify("state-proof", receipt).0, 1);
    assert_eq!(desk.verify("neither", receipt).0, 2);
}
