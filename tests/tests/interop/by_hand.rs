//! The scripts of `docs/verifying/by-hand.md`, as they stand on the page, on a real receipt and on
//! damaged ones. They need `bash`, `openssl` and the core utilities; `curl` is replaced by the file
//! that it would fetch.

use std::{
    fs,
    process::{Command, Output, Stdio},
};

use symbolon_ledger::{codec, receipt::Receipt};
use symbolon_tests::devnet::Devnet;
use tempfile::TempDir;

use crate::programs::root;

/// The first script under a heading of the page.
fn script(page: &str, heading: &str) -> String {
    let section = page.split(&format!("\n## {heading}\n")).nth(1).unwrap();
    let script = section.split("```bash\n").nth(1).and_then(|s| s.split("```").next());
    script.unwrap().to_owned()
}

/// A folder with the page's tools and the founding document.
struct Table {
    folder: TempDir,
    receipt: String,
}

impl Table {
    fn new(net: &Devnet) -> Self {
        let page = fs::read_to_string(root().join("docs/verifying/by-hand.md")).unwrap();
        let folder = TempDir::new().unwrap();
        fs::write(folder.path().join("tools.sh"), script(&page, "Tools")).unwrap();
        fs::copy(net.folder().join("genesis.toml"), folder.path().join("genesis.toml")).unwrap();
        Self { folder, receipt: script(&page, "A receipt") }
    }

    /// Runs the page's check of a receipt that a node would give as `bytes`.
    fn check(&self, transaction: &str, bytes: &[u8]) -> Output {
        fs::write(self.folder.path().join("given.cbor"), bytes).unwrap();
        let script = format!("curl() {{ cat given.cbor; }}\n{}", self.receipt);
        let mut bash = Command::new("bash");
        bash.args(["-c", &script]).current_dir(self.folder.path());
        bash.env("TX", transaction).env("NODE", "http://node.example").stdin(Stdio::null());
        bash.output().unwrap()
    }
}

/// A good receipt is found good; with one bit of certificate, header or path turned over it is not.
pub(crate) fn tells_good_receipts_from_damaged_ones(net: &Devnet, transaction: &str, good: &[u8]) {
    for program in ["bash", "openssl", "basenc", "od"] {
        let found = Command::new(program).arg("--version").output();
        let found = found.or_else(|_| Command::new(program).arg("version").output());
        assert!(found.is_ok(), "{program} is missing, which the page and this test need");
    }
    let table = Table::new(net);
    let said = |output: &Output| {
        let text = |bytes: &[u8]| String::from_utf8_lossy(bytes).into_owned();
        format!("{}{}", text(&output.stdout), text(&output.stderr))
    };
    let output = table.check(transaction, good);
    let text = said(&output);
    assert!(output.status.success() && text.starts_with("it is in the block\n"), "{text}");
    assert!(text.contains(" is final: good signatures of "), "{text}");

    let receipt: Receipt = codec::decode(good, good.len()).unwrap();
    let certificate = receipt.certificate.to_vec();
    let signature = certificate[certificate.len() - 64..].to_vec();
    for (what, part) in [
        ("the transaction", receipt.transaction.as_bytes().to_vec()),
        ("its signature's hash", receipt.signature_hash.as_bytes().to_vec()),
        ("the header's end", receipt.header[receipt.header.len() - 40..].to_vec()),
        ("the header's chain", receipt.header[..24].to_vec()),
        ("the certificate's block", certificate[..40].to_vec()),
        ("the last signature", signature),
    ] {
        let at = good.windows(part.len()).position(|window| window == part).unwrap();
        let mut bytes = good.to_vec();
        bytes[at + part.len() / 2] ^= 1;
        let output = table.check(transaction, &bytes);
        let text = said(&output);
        assert!(!output.status.success() && text.contains("NOT "), "{what}: {text}");
        assert!(!text.contains(" is final: "), "{what}: {text}");
    }
}
