//! The journal of an output folder: what was signed, before it is sent; what is issued, for ever.
//!
//! ```text
//! OUT/<cid>.sdjwt, <cid>.holder.pem      credentials that the ledger has
//! OUT/.import/owner.json                 chain, agency, and a check of the agency's secret
//! OUT/.import/pending/<transaction>.json signed bytes and credentials, fate unknown
//! OUT/.import/issued.log                 a line for each licence: tag, cid, transaction
//! OUT/.import/receipts/<transaction>.receipt
//! ```
//!
//! The order is what makes a kill harmless. A pending file is durable before its transaction is
//! sent. When it is committed, the credentials are written and made durable, then the log, and
//! only then is the pending file removed. Whatever was interrupted is taken up again from the
//! pending file: the same bytes are sent again, or the same credentials in a new transaction,
//! which the ledger cannot accept beside the old one, because a licence has one name.

use std::{
    collections::BTreeMap,
    fs::{self, File},
    io::{BufRead as _, BufReader, Write as _},
    path::{Path, PathBuf},
    sync::{Mutex, PoisonError},
};

use base64::{Engine as _, engine::general_purpose::URL_SAFE_NO_PAD};
use serde::{Deserialize, Serialize};
use symbolon_credential::lineage;
use symbolon_ledger::{
    codes::Uscc,
    hash::{ChainId, Cid, Digest, TransactionId},
    transaction::SignedTransaction,
};
use zeroize::Zeroizing;

use crate::{
    files,
    issuer::{Draft, Issuer},
    output::Failure,
    signing::Committed,
};

/// The journal's folder in an output folder.
const FOLDER: &str = ".import";
/// Most bytes of a pending file: 256 credentials of the greatest size, and the transaction.
const MAX_PENDING_BYTES: u64 = 32 * 1024 * 1024;
/// Most bytes of `owner.json`.
const MAX_OWNER_BYTES: u64 = 4 * 1024;
/// Version of the journal's form.
const VERSION: u8 = 1;

/// The journal of one output folder, held by one process.
#[derive(Debug)]
pub(crate) struct Journal {
    out: PathBuf,
    folder: PathBuf,
    issued: Mutex<BTreeMap<Digest, Cid>>,
    log: Mutex<File>,
    _lock: File,
}

#[derive(Debug, PartialEq, Eq, Serialize, Deserialize)]
struct Owner {
    version: u8,
    chain_id: String,
    agency: String,
    /// A tag under the agency's secret: with another secret no row would be recognised.
    secret_check: String,
}

/// A credential on its way, and the row that it is of.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(crate) struct Entry {
    /// The row's tag.
    #[serde(with = "hex")]
    pub(crate) tag: Digest,
    /// The licence's name.
    #[serde(with = "hex")]
    pub(crate) cid: Cid,
    /// The SD-JWT.
    pub(crate) credential: String,
    /// The holder's private key, if it was made here.
    pub(crate) holder_key: Option<String>,
}

/// A transaction and the credentials that it registers, one for each operation.
#[derive(Debug, Clone)]
pub(crate) struct Batch {
    /// The transaction.
    pub(crate) transaction: SignedTransaction,
    /// Its credentials, in the order of its operations.
    pub(crate) entries: Vec<Entry>,
}

#[derive(Serialize, Deserialize)]
struct PendingFile {
    transaction: String,
    entries: Vec<Entry>,
}

mod hex {
    use serde::{Deserialize as _, Deserializer, Serializer, de::Error as _};
    use symbolon_ledger::hash::Digest;

    pub(super) fn serialize<S: Serializer>(digest: &Digest, s: S) -> Result<S::Ok, S::Error> {
        s.collect_str(digest)
    }

    pub(super) fn deserialize<'de, D: Deserializer<'de>>(d: D) -> Result<Digest, D::Error> {
        String::deserialize(d)?.parse().map_err(D::Error::custom)
    }
}

impl Entry {
    /// The entry of a draft.
    pub(crate) fn of(draft: Draft, tag: Digest) -> Self {
        let Draft { cid, text, holder_pem, .. } = draft;
        Self { tag, cid, credential: text, holder_key: holder_pem }
    }
}

impl Journal {
    /// Opens the journal of the folder `out`, which is made if it does not exist. With `wait`,
    /// waits for another process to end its work there.
    ///
    /// # Errors
    ///
    /// When another process holds it, it is another agency's or chain's, or it is damaged.
    pub(crate) fn open(out: &Path, issuer: &Issuer<'_>, wait: bool) -> Result<Self, Failure> {
        let check: Result<Digest, _> = lineage::local(
            &issuer.secret.tags,
            &"local:journal".parse().expect("a code"),
            &issuer.agency,
            "0",
        );
        let owner = Owner {
            version: VERSION,
            chain_id: issuer.signer.chain_id.to_string(),
            agency: issuer.agency.to_string(),
            secret_check: check.expect("a serial").to_string(),
        };
        Self::open_as(out, &owner, wait)
    }

    fn open_as(out: &Path, owner: &Owner, wait: bool) -> Result<Self, Failure> {
        let folder = out.join(FOLDER);
        for made in [out, &folder, &folder.join("pending"), &folder.join("receipts")] {
            files::make_folder(made)?;
        }
        let lock = files::lock(&folder.join("lock"), wait)?;
        check_owner(&folder.join("owner.json"), owner)?;
        let log_path = folder.join("issued.log");
        let log = files::open_log(&log_path)?;
        let issued = read_log(&log, &log_path)?;
        Ok(Self {
            out: out.to_path_buf(),
            log: Mutex::new(log),
            folder,
            issued: Mutex::new(issued),
            _lock: lock,
        })
    }

    /// The licence issued for the row with this tag.
    pub(crate) fn issued(&self, tag: &Digest) -> Option<Cid> {
        self.issued.lock().unwrap_or_else(PoisonError::into_inner).get(tag).copied()
    }

    /// Where a licence's credential lies, or will lie.
    pub(crate) fn credential_path(&self, cid: &Cid) -> PathBuf {
        self.out.join(format!("{cid}.sdjwt"))
    }

    /// Where a licence's holder key lies, or will lie.
    pub(crate) fn holder_key_path(&self, cid: &Cid) -> PathBuf {
        self.out.join(format!("{cid}.holder.pem"))
    }

    /// Where the list of the rows of an import lies.
    pub(crate) fn rows_path(&self) -> PathBuf {
        self.folder.join("rows.csv")
    }

    /// Where a transaction's receipt lies, or will lie.
    pub(crate) fn receipt_path(&self, id: &TransactionId) -> PathBuf {
        self.folder.join("receipts").join(format!("{id}.receipt"))
    }

    fn pending_path(&self, id: &TransactionId) -> PathBuf {
        self.folder.join("pending").join(format!("{id}.json"))
    }

    /// What an earlier run left behind.
    ///
    /// # Errors
    ///
    /// When a file is damaged. Nothing is guessed then: it may hold the only copy of credentials
    /// that the ledger has.
    pub(crate) fn pending(&self) -> Result<Vec<Batch>, Failure> {
        let folder = self.folder.join("pending");
        let names = fs::read_dir(&folder).map_err(|e| files::unwritable(&folder, &e))?;
        let mut paths: Vec<PathBuf> = names.filter_map(|n| Some(n.ok()?.path())).collect();
        paths.retain(|p| p.extension().is_some_and(|e| e == "json"));
        paths.sort();
        paths.iter().map(|path| read_pending(path)).collect()
    }

    /// Makes a batch durable. Only then may it be sent.
    ///
    /// # Errors
    ///
    /// When it cannot be written.
    pub(crate) fn begin(&self, batch: &Batch) -> Result<(), Failure> {
        let file = PendingFile {
            transaction: URL_SAFE_NO_PAD.encode(batch.transaction.as_bytes()),
            entries: batch.entries.clone(),
        };
        let text = Zeroizing::new(serde_json::to_vec(&file).expect("texts have a JSON form"));
        files::write(&self.pending_path(&batch.transaction.id()), &text)
    }

    /// Forgets a batch whose credentials are in another batch, or will never be issued.
    ///
    /// # Errors
    ///
    /// When its file cannot be removed.
    pub(crate) fn forget(&self, id: &TransactionId) -> Result<(), Failure> {
        files::remove(&self.pending_path(id))
    }

    /// Hands out the credentials of a committed batch.
    ///
    /// # Errors
    ///
    /// When something cannot be written; the batch stays pending then.
    pub(crate) fn finish(&self, batch: &Batch, committed: &Committed) -> Result<(), Failure> {
        self.hand_out(&batch.entries, &committed.id, &committed.receipt)?;
        self.forget(&batch.transaction.id())
    }

    /// Hands out credentials that the transaction `id` brought onto the ledger.
    ///
    /// # Errors
    ///
    /// When something cannot be written.
    pub(crate) fn hand_out(
        &self,
        entries: &[Entry],
        id: &TransactionId,
        receipt: &[u8],
    ) -> Result<(), Failure> {
        files::write_soon(&self.receipt_path(id), receipt)?;
        for entry in entries {
            if let Some(key) = &entry.holder_key {
                files::write_soon(&self.holder_key_path(&entry.cid), key.as_bytes())?;
            }
            files::write_soon(&self.credential_path(&entry.cid), entry.credential.as_bytes())?;
        }
        files::sync_filesystem(&self.out)?;
        self.note_issued(entries, id)
    }

    fn note_issued(&self, entries: &[Entry], id: &TransactionId) -> Result<(), Failure> {
        let lines: String = entries.iter().map(|e| format!("{} {} {id}\n", e.tag, e.cid)).collect();
        let mut log = self.log.lock().unwrap_or_else(PoisonError::into_inner);
        let written = log.write_all(lines.as_bytes()).and_then(|()| log.sync_data());
        written.map_err(|e| files::unwritable(&self.folder.join("issued.log"), &e))?;
        let mut issued = self.issued.lock().unwrap_or_else(PoisonError::into_inner);
        issued.extend(entries.iter().map(|e| (e.tag, e.cid)));
        Ok(())
    }
}

/// Refuses a folder whose journal is another agency's or chain's, before anything of this agency's
/// is made. A folder without a journal is nobody's.
///
/// # Errors
///
/// When it is another's, or damaged.
pub(crate) fn refuse_foreign(out: &Path, chain: &ChainId, agency: &Uscc) -> Result<(), Failure> {
    let path = out.join(FOLDER).join("owner.json");
    let Some(found) = read_owner(&path)? else { return Ok(()) };
    check_kin(&found, (chain.to_string().as_str(), agency.as_str()), &path)
}

fn read_owner(path: &Path) -> Result<Option<Owner>, Failure> {
    if !path.exists() {
        return Ok(None);
    }
    let bytes = files::read(path, MAX_OWNER_BYTES, "the journal's owner")?;
    serde_json::from_slice(&bytes).map(Some).map_err(|_| damaged(path))
}

fn check_owner(path: &Path, owner: &Owner) -> Result<(), Failure> {
    let Some(found) = read_owner(path)? else {
        return files::write(path, &serde_json::to_vec(owner).expect("texts have a JSON form"));
    };
    if found == *owner {
        return Ok(());
    }
    check_kin(&found, (owner.chain_id.as_str(), owner.agency.as_str()), path)?;
    let hint = "bring the agency's .secret file back from its backup: with a new one, rows issued before would be issued again";
    Err(foreign(path, "another secret of this agency", hint))
}

fn check_kin(found: &Owner, (chain, agency): (&str, &str), path: &Path) -> Result<(), Failure> {
    if found.chain_id != chain {
        let hint = "choose another --out: the credentials here are of that chain";
        return Err(foreign(path, "another chain", hint));
    }
    if found.agency != agency {
        let hint = "choose another --out: each agency keeps its own folder";
        return Err(foreign(path, "another agency", hint));
    }
    Ok(())
}

fn foreign(path: &Path, owner: &str, hint: &str) -> Failure {
    let message = format!("the journal {} was begun under {owner}", path.display());
    Failure::refused("foreign_journal", message, hint)
}

fn damaged(path: &Path) -> Failure {
    Failure::refused(
        "damaged_journal",
        format!("{} is damaged", path.display()),
        "bring the output folder back from a backup; removing the file may lose credentials",
    )
}

fn read_pending(path: &Path) -> Result<Batch, Failure> {
    let bytes = Zeroizing::new(files::read(path, MAX_PENDING_BYTES, "the journal's file")?);
    let file: PendingFile = serde_json::from_slice(&bytes).map_err(|_| damaged(path))?;
    let bytes = URL_SAFE_NO_PAD.decode(&file.transaction).map_err(|_| damaged(path))?;
    let transaction = SignedTransaction::decode(&bytes).map_err(|_| damaged(path))?;
    if transaction.payload().operations.len() != file.entries.len() {
        return Err(damaged(path));
    }
    Ok(Batch { transaction, entries: file.entries })
}

/// Reads the log. A last line without its end was being written when the process was killed; its
/// batch is still pending, so the line is cut off.
fn read_log(file: &File, path: &Path) -> Result<BTreeMap<Digest, Cid>, Failure> {
    let mut issued = BTreeMap::new();
    let (mut reader, mut whole, mut line) = (BufReader::new(file), 0, String::new());
    loop {
        line.clear();
        let read = reader.read_line(&mut line).map_err(|_| damaged(path))?;
        if read == 0 || !line.ends_with('\n') {
            break;
        }
        let mut words = line.split_whitespace();
        let (tag, cid) = (words.next().map(str::parse), words.next().map(str::parse));
        let (Some(Ok(tag)), Some(Ok(cid))) = (tag, cid) else { return Err(damaged(path)) };
        issued.insert(tag, cid);
        whole += read as u64;
    }
    file.set_len(whole).map_err(|e| files::unwritable(path, &e))?;
    Ok(issued)
}

#[cfg(test)]
mod tests {
    use symbolon_ledger::{
        hash::sha256,
        keys::SecretKey,
        operation::{Actor, Operation},
        transaction::{PAYLOAD_VERSION, Payload},
    };

    use super::*;

    fn owner(chain: &str) -> Owner {
        Owner {
            version: VERSION,
            chain_id: chain.to_owned(),
            agency: "a".to_owned(),
            secret_check: "s".to_owned(),
        }
    }

    fn batch(n: usize) -> Batch {
        let entry = |i: usize| Entry {
            tag: sha256(&[1, i as u8]),
            cid: sha256(&[2, i as u8]),
            credential: format!("credential {i}"),
            holder_key: Some(format!("key {i}")),
        };
        let entries: Vec<Entry> = (0..n).map(entry).collect();
        let payload = Payload {
            version: PAYLOAD_VERSION,
            chain_id: sha256(b"chain"),
            actor: Actor::Province("44".parse().unwrap()),
            key_id: 0,
            nonce: [0; 16],
            valid_until_height: 9,
            operations: entries.iter().map(|e| Operation::Suspend { cid: e.cid }).collect(),
        };
        let transaction = SignedTransaction::sign(&payload, &SecretKey::from_seed(&[1; 32]));
        Batch { transaction: transaction.unwrap(), entries }
    }

    fn committed(batch: &Batch) -> Committed {
        Committed { id: batch.transaction.id(), height: 7, receipt: b"receipt".to_vec() }
    }

    #[test]
    fn what_was_begun_is_found_again_and_what_was_finished_is_not() {
        let out = tempfile::tempdir().unwrap();
        let batch = batch(3);
        let journal = Journal::open_as(out.path(), &owner("c"), false).unwrap();
        journal.begin(&batch).unwrap();
        drop(journal);

        let journal = Journal::open_as(out.path(), &owner("c"), false).unwrap();
        let found = journal.pending().unwrap();
        assert_eq!(found.len(), 1);
        assert_eq!(found[0].transaction, batch.transaction);
        assert_eq!(journal.issued(&batch.entries[0].tag), None);
        journal.finish(&found[0], &committed(&batch)).unwrap();
        assert!(journal.pending().unwrap().is_empty());
        drop(journal);

        let journal = Journal::open_as(out.path(), &owner("c"), false).unwrap();
        let entry = &batch.entries[1];
        assert_eq!(journal.issued(&entry.tag), Some(entry.cid));
        let read = |path: PathBuf| fs::read_to_string(path).unwrap();
        assert_eq!(read(journal.credential_path(&entry.cid)), "credential 1");
        assert_eq!(read(journal.holder_key_path(&entry.cid)), "key 1");
        assert_eq!(read(journal.receipt_path(&batch.transaction.id())), "receipt");
    }

    #[test]
    fn a_torn_last_line_is_cut_off() {
        let out = tempfile::tempdir().unwrap();
        let batch = batch(2);
        let journal = Journal::open_as(out.path(), &owner("c"), false).unwrap();
        journal.hand_out(&batch.entries, &batch.transaction.id(), b"r").unwrap();
        drop(journal);
        let log = out.path().join(FOLDER).join("issued.log");
        let length = fs::metadata(&log).unwrap().len();
        File::options().write(true).open(&log).unwrap().set_len(length - 5).unwrap();
        let journal = Journal::open_as(out.path(), &owner("c"), false).unwrap();
        assert!(journal.issued(&batch.entries[0].tag).is_some());
        assert_eq!(journal.issued(&batch.entries[1].tag), None);
        journal.hand_out(&batch.entries[1..], &batch.transaction.id(), b"r").unwrap();
        assert_eq!(fs::metadata(&log).unwrap().len(), length);
    }

    #[test]
    fn a_journal_has_one_owner_and_one_process() {
        let out = tempfile::tempdir().unwrap();
        let journal = Journal::open_as(out.path(), &owner("c"), false).unwrap();
        let code = |o: &Owner| Journal::open_as(out.path(), o, false).unwrap_err().code;
        assert_eq!(code(&owner("c")), "locked");
        drop(journal);
        assert_eq!(code(&owner("d")), "foreign_journal");
        let other_secret = Owner { secret_check: "t".to_owned(), ..owner("c") };
        assert_eq!(code(&other_secret), "foreign_journal");
        // Before the secret is made, the chain and the agency decide.
        let found = read_owner(&out.path().join(FOLDER).join("owner.json")).unwrap().unwrap();
        assert_eq!(found, owner("c"));
        assert!(check_kin(&found, ("c", "a"), out.path()).is_ok());
        let other = check_kin(&found, ("c", "x"), out.path()).unwrap_err();
        assert_eq!(other.code, "foreign_journal");
        files::write(&out.path().join(FOLDER).join("pending/x.json"), b"{").unwrap();
        let journal = Journal::open_as(out.path(), &owner("c"), false).unwrap();
        assert_eq!(journal.pending().unwrap_err().code, "damaged_journal");
    }
}
