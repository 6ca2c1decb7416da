//! Whether the ledger would refuse an action as things stand now, as far as the registries tell.
//!
//! `propose` asks before it signs, so that nobody learns it from a dry run that looked well; `show`
//! and `approve` say it as a note. The ledger has the last word (`contracts/action.rs`): licence
//! types, how many proposals are open, and what changes in the meantime are not looked at here.

use std::{thread, time::Duration};

use serde_json::Value;
use symbolon_contracts::{RejectionCode as Code, action::FEWEST_VALIDATORS};
use symbolon_ledger::{
    codes::ProvinceCode,
    governance::{Action, NewProvince},
    keys::PublicKey,
    operation::{KeyPurpose, NewKey},
    records::{ParametersRecord, RECORD_VERSION, ValidatorsRecord},
    validators::{SetError, Validator, ValidatorSet},
};

use crate::{
    client::{Node, from_base64url, text},
    output::Failure,
};

/// How often a node is asked whether a rule is still broken, and the pause between: it may be a
/// block behind the one that mends it.
const ASKED: u32 = 4;
const PAUSE: Duration = Duration::from_millis(500);

/// What stands in the registries.
#[derive(Debug, Clone)]
struct Registries {
    provinces: Vec<Province>,
    validators: ValidatorSet,
    /// Features whose height is decided.
    features: Vec<u64>,
    /// Height of the block that could decide next.
    next: u64,
}

/// A province that is or was on the chain.
#[derive(Debug, Clone)]
struct Province {
    code: ProvinceCode,
    removed: bool,
    issuer_origin: String,
    keys: Vec<Held>,
}

/// A key that a province has or had.
#[derive(Debug, Clone)]
struct Held {
    id: u32,
    key: PublicKey,
    purpose: String,
}

/// The first rule that `action` breaks at the node's newest block.
///
/// # Errors
///
/// When the node does not answer, or not as it should.
pub(super) fn broken(action: &Action, node: &Node) -> Result<Option<Failure>, Failure> {
    Ok(Registries::read(node)?.check(action).err())
}

/// As [`broken`], asked again for a while: what was just decided may not have come to this node.
///
/// # Errors
///
/// As [`broken`].
pub(super) fn still_broken(action: &Action, node: &Node) -> Result<Option<Failure>, Failure> {
    for _ in 1..ASKED {
        if broken(action, node)?.is_none() {
            return Ok(None);
        }
        thread::sleep(PAUSE);
    }
    broken(action, node)
}

fn refuse(code: Code, message: impl Into<String>) -> Failure {
    Failure::refused(code.name(), message, code.hint())
}

fn ensure(holds: bool, code: Code) -> Result<(), Failure> {
    if holds { Ok(()) } else { Err(refuse(code, code.message())) }
}

impl Registries {
    fn read(node: &Node) -> Result<Self, Failure> {
        let provinces = node.list("/v1/provinces")?;
        let read = |province: &Value| {
            Province::read(province).ok_or_else(|| node.strange("a province that cannot be read"))
        };
        let provinces = provinces.iter().map(read).collect::<Result<_, _>>()?;
        let validators = node.get("/v1/validators")?;
        let record: ValidatorsRecord = node.record(&validators)?;
        let parameters = node.get("/v1/parameters")?;
        let features = parameters["features"].as_array().map_or(&[][..], Vec::as_slice);
        let next = parameters["height"].as_u64().unwrap_or(0).saturating_add(1);
        Ok(Self {
            provinces,
            validators: record.set,
            features: features.iter().filter_map(|f| f["feature"].as_u64()).collect(),
            next,
        })
    }

    fn check(&self, action: &Action) -> Result<(), Failure> {
        match action {
            Action::AddProvince { province } => self.add_province(province),
            Action::RemoveProvince { province } => {
                self.member(*province)?;
                match self.validators.get(*province) {
                    Some(_) => self.guard(self.others(*province)),
                    None => Ok(()),
                }
            }
            Action::AddValidator { validator } => {
                self.member(validator.province)?;
                let there = self.validators.get(validator.province).is_some();
                ensure(!there, Code::ValidatorExists)?;
                self.validator(validator)
            }
            Action::RemoveValidator { province } => {
                self.member(*province)?;
                ensure(self.validators.get(*province).is_some(), Code::NoValidator)?;
                self.guard(self.others(*province))
            }
            Action::RotateValidator { validator } => {
                self.member(validator.province)?;
                let old = self.validators.get(validator.province);
                ensure(old.is_some(), Code::NoValidator)?;
                ensure(old != Some(&**validator), Code::ValidatorUnchanged)?;
                self.validator(validator)
            }
            Action::SetLicenceType { entry } => ensure(entry.is_sound(), Code::BadCatalogueEntry),
            Action::RotateProvinceKey { province, key_id, key } => {
                self.province_key(*province, *key_id, key)
            }
            &Action::SetParameters {
                idle_block_interval_ms,
                max_staleness_ms,
                bundle_max_age_ms,
            } => {
                let parameters = ParametersRecord {
                    version: RECORD_VERSION,
                    idle_block_interval_ms,
                    max_staleness_ms,
                    bundle_max_age_ms,
                };
                ensure(parameters.is_sound(), Code::BadParameters)
            }
            Action::ActivateFeature { feature, height } => {
                let decided = self.features.contains(&u64::from(*feature));
                ensure(!decided, Code::FeatureDecided)?;
                ensure(*height > self.next, Code::ActivationTooEarly)
            }
        }
    }

    fn add_province(&self, new: &NewProvince) -> Result<(), Failure> {
        let known = self.provinces.iter().any(|p| p.code == new.code);
        ensure(!known, Code::ProvinceExists)?;
        let taken = self.provinces.iter().any(|p| p.issuer_origin == new.issuer_origin.as_str());
        ensure(!taken, Code::OriginTaken)?;
        ensure(new.status_key != Some(new.authority_key), Code::KeyRegistered)?;
        self.free(&new.authority_key)?;
        new.status_key.map_or(Ok(()), |key| self.free(&key))
    }

    fn province_key(&self, code: ProvinceCode, id: u32, new: &NewKey) -> Result<(), Failure> {
        let province = self.member(code)?;
        let old = province.keys.iter().find(|held| held.id == id).ok_or_else(|| {
            let ids: Vec<String> = province.keys.iter().map(|held| held.id.to_string()).collect();
            let message =
                format!("province {code} has no key {id}; its keys are {}", ids.join(", "));
            refuse(Code::UnknownTargetKey, message)
        })?;
        ensure(old.purpose == "transaction", Code::PurposeDiffers)?;
        ensure(new.purpose == KeyPurpose::Transaction, Code::BadPurpose)?;
        ensure(new.valid_until.is_none_or(|until| self.next <= until), Code::KeyOver)?;
        self.free(&new.key)
    }

    /// A province that takes part.
    fn member(&self, code: ProvinceCode) -> Result<&Province, Failure> {
        let province = self.provinces.iter().find(|p| p.code == code);
        let unknown = || refuse(Code::UnknownProvince, format!("there is no province {code}"));
        let province = province.ok_or_else(unknown)?;
        ensure(!province.removed, Code::ProvinceRemoved)?;
        Ok(province)
    }

    /// A validator's two keys are nobody's but its own, and the set with it may follow.
    fn validator(&self, new: &Validator) -> Result<(), Failure> {
        let node = new.node_key().ok_or_else(|| {
            refuse(Code::BadValidator, "the peer id is not that of an Ed25519 key")
        })?;
        if node == new.key {
            let message = "the peer id is that of the validator's own key";
            return Err(refuse(Code::BadValidator, message));
        }
        let mut after = self.others(new.province);
        for (what, key) in [("validator key", new.key), ("peer id's key", node)] {
            if let Some(holder) = self.holder(&key, &after) {
                let message = format!("the {what} {key} is in use: {holder}");
                return Err(refuse(Code::BadValidator, message));
            }
        }
        after.push(new.clone());
        after.sort_by_key(|v| v.province);
        self.guard(after)
    }

    /// The validators but that of `province`.
    fn others(&self, province: ProvinceCode) -> Vec<Validator> {
        let all = self.validators.validators().iter();
        all.filter(|v| v.province != province).cloned().collect()
    }

    /// The guard of the validator set, as `contracts/action.rs` has it.
    fn guard(&self, after: Vec<Validator>) -> Result<(), Failure> {
        let before = &self.validators;
        let least = FEWEST_VALIDATORS.min(before.validators().len());
        ensure(after.len() >= least, Code::TooFewValidators)?;
        let kept = after.iter().filter(|v| before.get(v.province) == Some(*v)).count();
        let set = ValidatorSet::new(after).map_err(|error| {
            let code = match error {
                SetError::Size(0) => Code::TooFewValidators,
                SetError::Size(_) => Code::TooManyValidators,
                SetError::Shared | SetError::PeerId | SetError::Order => Code::BadValidator,
            };
            refuse(code, code.message())
        })?;
        ensure(kept >= set.quorum(), Code::NoQuorumLeft)
    }

    /// Refuses a province's key that somebody has or had.
    fn free(&self, key: &PublicKey) -> Result<(), Failure> {
        match self.holder(key, self.validators.validators()) {
            Some(holder) => Err(Failure::refused(
                Code::KeyRegistered.name(),
                format!("the key {key} is in use: {holder}"),
                "give a key that nobody has; `symbolon keys show FILE` tells the one in a file",
            )),
            None => Ok(()),
        }
    }

    /// Whose key it is.
    fn holder(&self, key: &PublicKey, validators: &[Validator]) -> Option<String> {
        for province in &self.provinces {
            if let Some(held) = province.keys.iter().find(|held| held.key == *key) {
                return Some(format!("it is key {} of province {}", held.id, province.code));
            }
        }
        for validator in validators {
            if validator.key == *key {
                return Some(format!(
                    "the validator of province {} votes with it",
                    validator.province
                ));
            }
            if validator.node_key() == Some(*key) {
                return Some(format!(
                    "the node of province {} connects with it",
                    validator.province
                ));
            }
        }
        None
    }
}

impl Province {
    fn read(shown: &Value) -> Option<Self> {
        let held = |key: &Value| {
            let bytes = from_base64url(text(key, "key"))?;
            Some(Held {
                id: key["id"].as_u64()?.try_into().ok()?,
                key: PublicKey::from_bytes(&bytes).ok()?,
                purpose: text(key, "purpose").to_owned(),
            })
        };
        Some(Self {
            code: text(shown, "code").parse().ok()?,
            removed: !shown["removed_at"].is_null(),
            issuer_origin: text(shown, "issuer_origin").to_owned(),
            keys: shown["keys"].as_array()?.iter().map(held).collect::<Option<_>>()?,
        })
    }
}

#[cfg(test)]
mod tests {
    use symbolon_genesis::peer_id::PeerId;
    use symbolon_ledger::keys::SecretKey;

    use super::*;

    fn key(seed: u8) -> PublicKey {
        SecretKey::from_seed(&[seed; 32]).public_key()
    }

    fn code(code: &str) -> ProvinceCode {
        code.parse().unwrap()
    }

    fn validator(province: &str, key_seed: u8, peer_seed: u8) -> Validator {
        let peer_id = PeerId::of(&key(peer_seed)).as_bytes().to_vec();
        Validator { province: code(province), key: key(key_seed), peer_id }
    }

    /// Province `n` has the authority key `n`, the validator key `100 + n`, the peer id `200 + n`.
    fn registries(voting: &[&str]) -> Registries {
        let seed = |code: &str| code.parse::<u8>().unwrap();
        let province = |c: &&str| Province {
            code: code(c),
            removed: *c == "65",
            issuer_origin: format!("https://p{c}.example"),
            keys: vec![
                Held { id: 0, key: key(seed(c)), purpose: "transaction".into() },
                Held { id: 1, key: key(seed(c) + 10), purpose: "status".into() },
            ],
        };
        let set = voting.iter().map(|c| validator(c, 100 + seed(c), 200 + seed(c)));
        Registries {
            provinces: ["11", "31", "44", "51", "53", "65"].iter().map(province).collect(),
            validators: ValidatorSet::new(set.collect()).unwrap(),
            features: vec![1],
            next: 50,
        }
    }

    fn add_province(c: &str, origin: &str, authority: u8, status: Option<u8>) -> Action {
        let province = Box::new(NewProvince {
            code: code(c),
            name_zh: "甘肃省".parse().unwrap(),
            name_en: "Gansu".parse().unwrap(),
            issuer_origin: origin.parse().unwrap(),
            authority_key: key(authority),
            status_key: status.map(key),
        });
        Action::AddProvince { province }
    }

    fn province_key(c: &str, key_id: u32, seed: u8, valid_until: Option<u64>) -> Action {
        let key =
            Box::new(NewKey { key: key(seed), purpose: KeyPurpose::Transaction, valid_until });
        Action::RotateProvinceKey { province: code(c), key_id, key }
    }

    fn parameters(idle: u64, staleness: u64) -> Action {
        Action::SetParameters {
            idle_block_interval_ms: idle,
            max_staleness_ms: staleness,
            bundle_max_age_ms: 86_400_000,
        }
    }

    #[test]
    fn what_the_registries_show_to_be_impossible_is_refused_in_the_ledgers_words() {
        let four = registries(&["11", "31", "44", "51"]);
        let check = |registries: &Registries, action: &Action, expected: &str| {
            let said = registries.check(action).err().map(|failure| failure.code);
            assert_eq!(said.as_deref().unwrap_or(""), expected, "{action:?}");
        };
        let new = "https://new.example";
        let add = |v| Action::AddValidator { validator: Box::new(v) };
        let rotate = |v| Action::RotateValidator { validator: Box::new(v) };
        let remove = |c| Action::RemoveValidator { province: code(c) };
        for (action, expected) in [
            (add_province("62", new, 1, Some(2)), ""),
            (add_province("11", new, 1, None), "province_exists"),
            (add_province("62", "https://p44.example", 1, None), "origin_taken"),
            (add_province("62", new, 1, Some(1)), "key_registered"),
            (add_province("62", new, 31, None), "key_registered"),
            (add_province("62", new, 1, Some(54)), "key_registered"),
            (add_province("62", new, 144, None), "key_registered"),
            (add_province("62", new, 244, None), "key_registered"),
            (Action::RemoveProvince { province: code("53") }, ""),
            (Action::RemoveProvince { province: code("77") }, "unknown_province"),
            (Action::RemoveProvince { province: code("11") }, "too_few_validators"),
            (add(validator("53", 1, 2)), ""),
            (add(validator("77", 1, 2)), "unknown_province"),
            (add(validator("65", 1, 2)), "province_removed"),
            (add(validator("44", 1, 2)), "validator_exists"),
            (add(validator("53", 1, 1)), "bad_validator"),
            (add(validator("53", 144, 2)), "bad_validator"),
            (add(validator("53", 1, 244)), "bad_validator"),
            (add(validator("53", 53, 2)), "bad_validator"),
            (remove("53"), "no_validator"),
            (remove("44"), "too_few_validators"),
            (rotate(validator("44", 1, 244)), ""),
            (rotate(validator("44", 144, 244)), "validator_unchanged"),
            (rotate(validator("44", 131, 244)), "bad_validator"),
            (rotate(validator("44", 144, 231)), "bad_validator"),
            (rotate(validator("53", 1, 2)), "no_validator"),
            (province_key("44", 0, 1, Some(50)), ""),
            (province_key("44", 0, 1, Some(49)), "key_over"),
            (province_key("44", 7, 1, None), "unknown_target_key"),
            (province_key("44", 1, 1, None), "purpose_differs"),
            (province_key("44", 0, 51, None), "key_registered"),
            (province_key("44", 0, 44, None), "key_registered"),
            (parameters(10_000, 60_000), ""),
            (parameters(99, 60_000), "bad_parameters"),
            (parameters(60_000, 60_000), "bad_parameters"),
            (Action::ActivateFeature { feature: 2, height: 51 }, ""),
            (Action::ActivateFeature { feature: 2, height: 50 }, "activation_too_early"),
            (Action::ActivateFeature { feature: 1, height: 90 }, "feature_decided"),
        ] {
            check(&four, &action, expected);
        }
        check(&registries(&["11", "31", "44", "51", "53"]), &remove("44"), "");
    }

    #[test]
    fn whoever_has_the_key_is_named() {
        let four = registries(&["11", "31", "44", "51"]);
        let check = |seed: u8, holder: &str| {
            let failure = four.check(&province_key("44", 0, seed, None)).unwrap_err();
            assert!(failure.message.ends_with(holder), "{}", failure.message);
        };
        check(51, "it is key 0 of province 51");
        check(151, "the validator of province 51 votes with it");
        check(251, "the node of province 51 connects with it");
    }
}
