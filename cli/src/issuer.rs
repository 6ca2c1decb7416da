//! An agency that issues: everything that a credential and its operation are made of.
//!
//! What is public (catalogue entry, issuer's origin, numbers of keys) is asked of the node; what
//! is the agency's own lies beside its transaction key `x.pem`: `x.credential.pem` (signs
//! credentials), `<credit code>.secret` (links renewals, recognises rows issued before) and
//! `<credit code>.slots`. The last two outlive a rotation of the keys.

use std::{collections::BTreeMap, path::Path};

use base64::{Engine as _, engine::general_purpose::STANDARD};
use symbolon_credential::{
    claims::ValidClaims,
    date::{self, Date},
    encoding::{from_base64url, parse_json},
    identifier::{NationalIdentifier, serial_from},
    lineage::{self, TagSecret},
    sd_jwt::{self, IDENTIFIER_CLAIM, Issue, Parsed},
};
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{Origin, ProvinceCode, TypeCode, Uscc},
    hash::{Cid, Digest},
    keys::{PublicKey, SecretKey},
    operation::{NewLicence, Operation},
    records::{AgencyRecord, ProvinceRecord},
};
use zeroize::Zeroizing;

use crate::{
    args::Context,
    client::{Node, text},
    clock, entropy, files, journal, keyfile,
    output::Failure,
    signing::{self, Signer, find_key},
    slots::Slots,
};

/// Blocks reserved at once: 65,536 slots, a transaction of a few hundred bytes.
pub(crate) const MAX_BLOCKS_AT_ONCE: u16 = 16;
/// How often a reservation is repeated when another machine of the agency reserved between two
/// looks, so that nobody can tell whose block is whose.
const RESERVE_ATTEMPTS: usize = 5;
/// Longest file of a holder's public key.
const MAX_PUBLIC_KEY_BYTES: u64 = 4 * 1024;
/// The DER before the 32 bytes of an Ed25519 public key (RFC 8410, section 4).
const SPKI_PREFIX: [u8; 12] =
    [0x30, 0x2a, 0x30, 0x05, 0x06, 0x03, 0x2b, 0x65, 0x70, 0x03, 0x21, 0x00];

/// An issuing agency, ready to sign licences of one type.
#[derive(Debug)]
pub(crate) struct Issuer<'a> {
    /// The node that it asks.
    pub(crate) node: &'a Node,
    /// Signs transactions.
    pub(crate) signer: Signer,
    /// The catalogue entry.
    pub(crate) licence_type: LicenceTypeRecord,
    /// The agency.
    pub(crate) agency: Uscc,
    /// Under which rows and lineages are named.
    pub(crate) secret: Secret,
    province: ProvinceCode,
    origin: Origin,
    credential_key: SecretKey,
    credential_key_id: u32,
    slots: Slots,
    today: Date,
}

/// The agency's 32 secret bytes. Whoever has them can tell which licences of the ledger renew
/// each other, and link rows to an import; they sign nothing.
#[derive(Debug)]
pub(crate) struct Secret {
    /// For the credential crate's tags.
    pub(crate) tags: TagSecret,
    /// For this program's own tags.
    pub(crate) bytes: Zeroizing<[u8; 32]>,
}

/// Whose key a credential is bound to.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Holder {
    /// Nobody's: a paper licence, which proves the document and not the holder.
    None,
    /// A key whose private half the holder has.
    Given(PublicKey),
    /// A fresh one, handed to the holder with the credential.
    New,
}

/// What a new licence continues.
#[derive(Debug, Clone)]
pub(crate) enum Continues {
    /// Nothing: the first of its lineage.
    Nothing,
    /// An earlier licence of the same agency.
    Licence {
        /// The lineage tag on the ledger.
        lineage: Digest,
        /// Its national identifier, if its type has one.
        identifier: Option<NationalIdentifier>,
    },
}

/// A signed credential that the ledger does not know yet. Holds personal data.
pub(crate) struct Draft {
    /// Its name on the ledger.
    pub(crate) cid: Cid,
    /// What the ledger is told.
    pub(crate) licence: NewLicence,
    /// The SD-JWT.
    pub(crate) text: String,
    /// The private key of a holder for whom one was made.
    pub(crate) holder_pem: Option<String>,
}

impl std::fmt::Debug for Draft {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Draft({})", self.cid)
    }
}

impl<'a> Issuer<'a> {
    /// The agency that the command line names, to issue licences of `licence_type` into `out`.
    ///
    /// # Errors
    ///
    /// When a key is missing or unknown, or the type is, or `out` is another's.
    pub(crate) fn open(
        context: &Context,
        node: &'a Node,
        licence_type: &TypeCode,
        credential_key: Option<&Path>,
        out: &Path,
    ) -> Result<Self, Failure> {
        let signer = Signer::agency(context, node)?;
        let agency = signer.uscc()?;
        journal::refuse_foreign(out, &signer.chain_id, &agency)?;
        let answer = node.get(&format!("/v1/agencies/{agency}"))?;
        let record: AgencyRecord = node.record(&answer)?;
        let path = credential_key
            .map_or_else(|| keyfile::credential_key_path(&signer.key_file), Path::to_path_buf);
        let credential_key = keyfile::read(&path)?;
        let key_id = find_key(&answer, &credential_key, "credential").ok_or_else(|| {
            Failure::refused(
                "unknown_credential_key",
                format!("{} is no valid credential key of {}", path.display(), record.name),
                "name another with --credential-key, or let the province register this one",
            )
        })?;
        let province: ProvinceRecord =
            node.record(&node.get(&format!("/v1/provinces/{}", record.province))?)?;
        let entry = node.get(&format!("/v1/licence-types/{licence_type}"))?;
        Ok(Self {
            node,
            agency,
            licence_type: node.record(&entry)?,
            secret: open_secret(context, &signer.beside(".secret"))?,
            province: province.code,
            origin: province.issuer_origin,
            credential_key,
            credential_key_id: key_id,
            slots: Slots::beside(&signer),
            today: today(),
            signer,
        })
    }

    /// Takes status slots; blocks are reserved on the ledger when those at hand do not suffice.
    ///
    /// # Errors
    ///
    /// When the ledger refuses, or the list of slots cannot be kept.
    pub(crate) fn take_slots(&self, count: usize) -> Result<Vec<u32>, Failure> {
        self.slots.take(count, |blocks| {
            reserve_blocks(self.node, &self.signer, &self.province, blocks.min(MAX_BLOCKS_AT_ONCE))
        })
    }

    /// Uses the block of `slot` no more.
    ///
    /// # Errors
    ///
    /// When the list of slots cannot be kept.
    pub(crate) fn forget_block_of(&self, slot: u32) -> Result<(), Failure> {
        self.slots.forget_block_of(slot)
    }

    /// Whether `credential` says exactly `claims`. None when another key than the present one of
    /// this agency signed it, or not all of it is shown.
    pub(crate) fn says(&self, credential: &Parsed, claims: &ValidClaims) -> Option<bool> {
        let checked = credential.check_signature(&self.credential_key.public_key()).ok()?;
        let disclosed = checked.disclose().ok()?;
        let said = disclosed.claims().iter().map(|(key, value)| (key.as_str(), value.as_str()));
        let said: BTreeMap<_, _> = said.filter(|(key, _)| *key != IDENTIFIER_CLAIM).collect();
        let given: BTreeMap<_, _> = claims.iter().collect();
        Some(said == given)
    }

    /// Makes and signs a credential for `claims` on `slot`.
    ///
    /// # Errors
    ///
    /// When it would be larger than verifiers read, or there is no randomness.
    pub(crate) fn draft(
        &self,
        claims: &ValidClaims,
        holder: Holder,
        continues: &Continues,
        slot: u32,
    ) -> Result<Draft, Failure> {
        let (identifier, lineage) = self.name(continues)?;
        let (holder_key, holder_pem) = match holder {
            Holder::None => (None, None),
            Holder::Given(key) => (Some(key), None),
            Holder::New => {
                let key = keyfile::generate()?;
                (Some(key.public_key()), Some(key.to_pem().to_string()))
            }
        };
        let count = sd_jwt::disclosure_count(&self.licence_type, claims, identifier.is_some());
        let salts = (0..count).map(|_| entropy::bytes()).collect::<Result<Vec<_>, _>>()?;
        let issue = Issue {
            origin: &self.origin,
            agency: &self.agency,
            key_id: self.credential_key_id,
            licence_type: &self.licence_type,
            claims,
            identifier: identifier.as_ref(),
            status_province: &self.province,
            status_slot: slot,
            holder_key: holder_key.as_ref(),
            issued_on: self.today,
        };
        let issued = sd_jwt::issue(&issue, &salts, &self.credential_key).map_err(|e| {
            Failure::refused(
                "unissuable",
                e.to_string(),
                "shorten the claims, or mend the catalogue",
            )
        })?;
        let licence = NewLicence {
            inner: issued.inner,
            licence_type: self.licence_type.code.clone(),
            credential_key: self.credential_key_id,
            slot,
            expiry: claims.expiry_month(),
            lineage,
        };
        Ok(Draft { cid: issued.cid, licence, text: issued.text, holder_pem })
    }

    /// The national identifier (for types that have one) and the lineage tag of a new licence.
    fn name(&self, continues: &Continues) -> Result<(Option<NationalIdentifier>, Digest), Failure> {
        let code = &self.licence_type.code;
        let fault = |e: symbolon_credential::identifier::IdentifierError| {
            Failure::refused("bad_identifier", e.to_string(), "issue a new licence instead")
        };
        let next = |earlier: &NationalIdentifier| {
            let version = earlier.version().saturating_add(1);
            NationalIdentifier::new(code, &self.agency, earlier.serial(), version).map_err(fault)
        };
        if let Continues::Licence { lineage, identifier } = continues {
            return Ok((identifier.as_ref().map(next).transpose()?, *lineage));
        }
        let serial = serial_from(&entropy::bytes()?);
        if code.is_local() {
            let tag = lineage::local(&self.secret.tags, code, &self.agency, &serial);
            return Ok((None, tag.map_err(fault)?));
        }
        let identifier = NationalIdentifier::new(code, &self.agency, &serial, 1).map_err(fault)?;
        let tag = lineage::national(&self.secret.tags, &identifier);
        Ok((Some(identifier), tag))
    }
}

/// Reserves blocks of slots for the agency that signs, and finds out which: those of the agency that
/// were not there before.
///
/// # Errors
///
/// When the ledger refuses, or does not commit it in time.
pub(crate) fn reserve_blocks(
    node: &Node,
    signer: &Signer,
    province: &ProvinceCode,
    blocks: u16,
) -> Result<Vec<u32>, Failure> {
    let agency = signer.uscc()?;
    let mut granted = Vec::new();
    for _ in 0..RESERVE_ATTEMPTS {
        let record: ProvinceRecord =
            node.record(&node.get(&format!("/v1/provinces/{province}"))?)?;
        let operation = Operation::ReserveSlots { agency, blocks };
        match signing::commit(node, signer, vec![operation]) {
            // The province grants only so many blocks at one height: the next one will do.
            Err(failure) if failure.code == "slots_busy" => continue,
            committed => committed.map_err(|failure| not_reserved(failure, blocks))?,
        };
        let after = match record.next_slot_block {
            0 => String::new(),
            next => format!("?after={}", next - 1),
        };
        let items = node.list(&format!("/v1/agencies/{agency}/slots{after}"))?;
        let number = |item: &serde_json::Value| item.get("block")?.as_u64()?.try_into().ok();
        granted = items.iter().filter_map(number).collect::<Vec<u32>>();
        if granted.len() == usize::from(blocks) {
            return Ok(granted);
        }
    }
    // Some are another machine's. Slots are drawn at random, and the ledger refuses the
    // second use of one, so sharing a block costs a retry now and then.
    Ok(granted)
}

/// A reservation that was not committed in time, in the words of who wanted licences issued and
/// knows of no transaction.
fn not_reserved(failure: Failure, blocks: u16) -> Failure {
    if !["not_committed", "expired"].contains(&failure.code.as_str()) {
        return failure;
    }
    let message = format!("{blocks} blocks of status slots were asked for and not granted in time");
    let hint = "ask `symbolon doctor` whether the network makes blocks; then run the command again";
    Failure { message, hint: hint.to_owned(), ..failure }
}

/// Today in Beijing.
pub(crate) fn today() -> Date {
    date::day_of(clock::now_ms() / 1_000)
}

/// The agency's secret in the file `path`; made when there is none.
fn open_secret(context: &Context, path: &Path) -> Result<Secret, Failure> {
    let _lock = files::lock(&files::suffixed(path, ".lock"), true)?;
    let bytes: Zeroizing<[u8; 32]> = if path.exists() {
        let read = Zeroizing::new(files::read(path, 32, "the agency's secret")?);
        Zeroizing::new(read.as_slice().try_into().map_err(|_| {
            Failure::refused(
                "damaged_secret",
                format!("{} has not the 32 bytes of a secret", path.display()),
                "bring it back from a backup: without it, renewals and earlier imports are not recognised",
            )
        })?)
    } else {
        let fresh = Zeroizing::new(entropy::bytes()?);
        files::write(path, fresh.as_slice())?;
        context.output.note(format!(
            "note: made the agency's secret {}; back it up: without it a later import cannot tell which rows were issued",
            path.display()
        ));
        fresh
    };
    Ok(Secret { tags: TagSecret::from_bytes(*bytes), bytes })
}

/// Reads a public key: PEM (`openssl pkey -pubout`), a JWK, or 64 hexadecimal digits. Of a private
/// key's file, the public half is taken.
///
/// # Errors
///
/// When the file has none of these.
pub(crate) fn read_public_key(path: &Path) -> Result<PublicKey, Failure> {
    let content = files::read_text(path, MAX_PUBLIC_KEY_BYTES, "the public key")?;
    parse_public_key(content.trim()).ok_or_else(|| {
        Failure::usage(
            "bad_public_key",
            format!("{} is not a usable Ed25519 public key", path.display()),
            "give a PEM (openssl pkey -in KEY -pubout), a JWK, or 64 hexadecimal digits",
        )
    })
}

fn parse_public_key(content: &str) -> Option<PublicKey> {
    let raw = if content.starts_with('{') {
        let jwk = parse_json(content.as_bytes()).ok()?;
        if (text(&jwk, "kty"), text(&jwk, "crv")) != ("OKP", "Ed25519") {
            return None;
        }
        from_base64url(text(&jwk, "x")).ok()?
    } else if let Some(body) = content.strip_prefix("-----BEGIN PUBLIC KEY-----") {
        let body: String =
            body.strip_suffix("-----END PUBLIC KEY-----")?.split_whitespace().collect();
        STANDARD.decode(body).ok()?.strip_prefix(&SPKI_PREFIX)?.to_vec()
    } else if content.starts_with("-----BEGIN PRIVATE KEY-----") {
        return SecretKey::from_pem(content).ok().map(|key| key.public_key());
    } else {
        content.parse::<Digest>().ok()?.as_bytes().to_vec()
    };
    PublicKey::from_bytes(&raw).ok()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_reservation_that_takes_too_long_is_told_without_a_transaction() {
        let late = |code| {
            not_reserved(Failure::unreachable(code, "transaction 00 was not committed", "x"), 16)
        };
        for code in ["not_committed", "expired"] {
            let Failure { message, hint, .. } = late(code);
            assert!(!format!("{message} {hint}").contains("transaction"), "{message}: {hint}");
            assert!(message.starts_with("16 blocks of status slots"), "{message}");
        }
        assert!(late("unreachable").message.starts_with("transaction"), "other failures stay");
    }

    #[test]
    fn holders_keys_are_read_in_three_forms() {
        let key = SecretKey::from_seed(&[7; 32]).public_key();
        let raw = key.as_bytes();
        let pem = STANDARD.encode([SPKI_PREFIX.as_slice(), raw.as_slice()].concat());
        let jwk = symbolon_credential::encoding::to_base64url(raw);
        for good in [
            key.to_string(),
            format!("-----BEGIN PUBLIC KEY-----\n{pem}\n-----END PUBLIC KEY-----"),
            format!(r#"{{"kty":"OKP","crv":"Ed25519","x":"{jwk}"}}"#),
        ] {
            assert_eq!(parse_public_key(&good), Some(key), "{good}");
        }
        for bad in ["", "{}", "-----BEGIN PUBLIC KEY-----", &"0".repeat(64), "01"] {
            assert_eq!(parse_public_key(bad), None, "{bad}");
        }
    }
}
