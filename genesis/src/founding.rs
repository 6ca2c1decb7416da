//! What a founding document founds: the records of the state at height 0, and block 0.
//!
//! Nothing here is stored or sent. The node writes [`Genesis::changes`] as the state of height 0,
//! compares the root with [`Genesis::state_root`], and refuses a database whose block 0 is not
//! [`Genesis::block_zero`].

use symbolon_contracts::Changes;
use symbolon_ledger::{
    block::{HEADER_VERSION, Header, transactions_root},
    codec,
    codes::Uscc,
    hash::{Digest, sha256},
    keys::PublicKey,
    log,
    operation::{Actor, KeyPurpose},
    records::{
        AgencyIndexRecord, AgencyRecord, AgencyStatus, CountersRecord, KeyRecord, ParametersRecord,
        ProvinceRecord, RECORD_VERSION, TypeIndexRecord, ValidatorsRecord,
    },
    state::StateKey,
    tree::whole::{Leaf, subtree},
    validators::{Validator, ValidatorSet},
};

use crate::document::{Agency, Genesis};

/// Height at which everything here is registered.
const FOUNDING_HEIGHT: u64 = 0;
/// Number of a founding province's authority key.
pub const AUTHORITY_KEY_ID: u32 = 0;
/// Number of a founding province's status key, if it has one.
pub const STATUS_KEY_ID: u32 = 1;
/// Number of a founding agency's transaction key.
pub const TRANSACTION_KEY_ID: u32 = 0;
/// Number of a founding agency's credential key.
pub const CREDENTIAL_KEY_ID: u32 = 1;

impl Genesis {
    /// The validators that vote on block 1.
    #[must_use]
    pub fn validator_set(&self) -> ValidatorSet {
        let validator = |v: &crate::document::ValidatorEntry| Validator {
            province: v.province,
            key: v.key,
            peer_id: v.peer_id.as_bytes().to_vec(),
        };
        ValidatorSet::new(self.validators.iter().map(validator).collect())
            .expect("sorted by province, and checked for repetitions when it was read")
    }

    /// Where each validator's node can be reached: peer id's bytes and multiaddrs.
    #[must_use]
    pub fn validator_addresses(&self) -> Vec<(Vec<u8>, Vec<String>)> {
        let entries = self.validators.iter();
        entries.map(|v| (v.peer_id.as_bytes().to_vec(), v.addresses.clone())).collect()
    }

    /// Every record of the state at height 0.
    #[must_use]
    pub fn changes(&self) -> Changes {
        let mut writer = Writer(Changes::new());
        writer.put(
            StateKey::Parameters,
            &ParametersRecord {
                version: RECORD_VERSION,
                idle_block_interval_ms: self.chain.idle_block_interval_ms,
                max_staleness_ms: self.chain.max_staleness_ms,
                bundle_max_age_ms: self.chain.bundle_max_age_ms,
            },
        );
        writer.put(
            StateKey::Validators,
            &ValidatorsRecord { version: RECORD_VERSION, set: self.validator_set() },
        );
        writer.put(
            StateKey::Counters,
            &CountersRecord {
                version: RECORD_VERSION,
                next_agency: u32::try_from(self.agencies.len()).expect("at most MAX_AGENCIES"),
                next_type: u16::try_from(self.licence_types.len()).expect("at most MAX_TYPES"),
            },
        );
        self.put_types(&mut writer);
        self.put_provinces(&mut writer);
        for (index, agency) in (0..).zip(&self.agencies) {
            self.put_agency(&mut writer, index, agency);
        }
        writer.0
    }

    fn put_types(&self, writer: &mut Writer) {
        for record in &self.licence_types {
            writer.put(StateKey::LicenceType(record.code.clone()), record);
            let code = record.code.clone();
            let index = TypeIndexRecord { version: RECORD_VERSION, code };
            writer.put(StateKey::LicenceTypeByIndex(record.index), &index);
        }
    }

    fn put_provinces(&self, writer: &mut Writer) {
        for province in &self.provinces {
            let status_key = province.status_key.map(|_| STATUS_KEY_ID);
            writer.put(
                StateKey::Province(province.code),
                &ProvinceRecord {
                    version: RECORD_VERSION,
                    code: province.code,
                    name_zh: province.name_zh.clone(),
                    name_en: province.name_en.clone(),
                    issuer_origin: province.issuer_origin.clone(),
                    next_key: status_key.unwrap_or(AUTHORITY_KEY_ID) + 1,
                    status_key,
                    next_slot_block: 0,
                    removed_at: None,
                },
            );
            let actor = Actor::Province(province.code);
            writer.put_key(
                actor,
                AUTHORITY_KEY_ID,
                province.authority_key,
                KeyPurpose::Transaction,
            );
            if let Some(key) = province.status_key {
                writer.put_key(actor, STATUS_KEY_ID, key, KeyPurpose::Status);
            }
        }
    }

    fn put_agency(&self, writer: &mut Writer, index: u32, agency: &Agency) {
        let uscc: Uscc = agency.uscc;
        writer.put(
            StateKey::Agency(uscc),
            &AgencyRecord {
                version: RECORD_VERSION,
                index,
                uscc,
                name: agency.name.clone(),
                province: agency.province,
                status: AgencyStatus::Active,
                scope: self.scope_of(agency),
                next_key: CREDENTIAL_KEY_ID + 1,
                successor: None,
                registered_at: FOUNDING_HEIGHT,
                changed_at: FOUNDING_HEIGHT,
                open_blocks: 0,
            },
        );
        let by_index = AgencyIndexRecord { version: RECORD_VERSION, uscc };
        writer.put(StateKey::AgencyByIndex(index), &by_index);
        let actor = Actor::Agency(uscc);
        let (transaction, credential) = (agency.transaction_key, agency.credential_key);
        writer.put_key(actor, TRANSACTION_KEY_ID, transaction, KeyPurpose::Transaction);
        writer.put_key(actor, CREDENTIAL_KEY_ID, credential, KeyPurpose::Credential);
    }

    /// The root of the authenticated state at height 0.
    #[must_use]
    pub fn state_root(&self) -> Digest {
        let changes = self.changes();
        let records = changes.iter().filter(|(key, _)| key.is_authenticated());
        let leaf = |(key, record): (&StateKey, &Option<Vec<u8>>)| {
            Some(Leaf { key: key.map_key(), value: sha256(record.as_ref()?) })
        };
        let mut leaves: Vec<Leaf> = records.filter_map(leaf).collect();
        leaves.sort();
        subtree(&leaves, 0).hash()
    }

    /// The header of block 0, whose state has the root `state_root`.
    #[must_use]
    pub fn block_zero(&self, state_root: Digest) -> Header {
        let validators_hash = self.validator_set().hash();
        Header {
            version: HEADER_VERSION,
            chain_id: self.chain_id(),
            height: FOUNDING_HEIGHT,
            time_ms: self.chain.genesis_time_ms,
            parent: Digest::ZERO,
            history_root: log::root(&[]),
            transactions_root: transactions_root(&[]),
            state_root,
            validators_hash,
            next_validators_hash: validators_hash,
            proposer: None,
        }
    }
}

struct Writer(Changes);

impl Writer {
    fn put<R: minicbor::Encode<()>>(&mut self, key: StateKey, record: &R) {
        let before = self.0.insert(key, Some(codec::encode(record)));
        assert!(before.is_none(), "the document names everything once");
    }

    fn put_key(&mut self, actor: Actor, id: u32, key: PublicKey, purpose: KeyPurpose) {
        self.put(
            StateKey::Key(actor, id),
            &KeyRecord {
                version: RECORD_VERSION,
                key,
                purpose,
                valid_from: FOUNDING_HEIGHT,
                valid_until: None,
                added_by: None,
                compromised_from: None,
            },
        );
    }
}

#[cfg(test)]
mod tests {
    use crate::presets;

    #[test]
    fn a_founding_state_keeps_the_rules_of_the_contracts() {
        for count in [1, 4, 32] {
            let (mut genesis, _) =
                presets::devnet_from_seed(count, &[5; 32], 1_767_225_600_000, 8300);
            // With a status key in some provinces and without in others.
            genesis.provinces.iter_mut().step_by(2).for_each(|p| p.status_key = None);
            let records = genesis.changes().into_iter().map(|(key, record)| (key, record.unwrap()));
            assert_eq!(symbolon_contracts::invariants::check(records), []);
        }
    }
}
