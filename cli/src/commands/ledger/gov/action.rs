//! What can be proposed, from the command line to the action.
//!
//! What is not given is taken from the node: a validator's other half, the other parameters. Only
//! public keys are read.

use std::path::PathBuf;

use clap::{Args, Subcommand};
use symbolon_contracts::feature::KNOWN;
use symbolon_genesis::{catalogue, peer_id::PeerId};
use symbolon_ledger::{
    catalogue::LicenceTypeRecord,
    codes::{Label, Origin, ProvinceCode},
    governance::{Action, NewProvince},
    operation::{KeyPurpose, NewKey},
    records::{ParametersRecord, ValidatorsRecord},
    validators::Validator,
};

use super::super::shared::parse_province;
use crate::{client::Node, files, issuer::read_public_key, output::Failure};

/// Most bytes of a file with catalogue entries: a proposal carries one of at most 32 KiB.
const MAX_CATALOGUE_BYTES: u64 = 256 * 1024;

/// What would change.
#[derive(Debug, Subcommand)]
pub(crate) enum Change {
    /// Let a province in
    AddProvince(AddProvinceArgs),
    /// Shut a province out for good, and its validator with it; what its agencies issued stays
    RemoveProvince(OfProvince),
    /// Give a province a validator, and so a vote
    AddValidator(AddValidatorArgs),
    /// Take a province's validator away, and so its vote
    RemoveValidator(OfProvince),
    /// Give a province's validator another key, another peer id, or both
    RotateValidator(RotateValidatorArgs),
    /// Add a licence type, or write a newer version of one
    LicenceType(LicenceTypeArgs),
    /// Replace a key with which a province signs transactions
    ProvinceKey(ProvinceKeyArgs),
    /// Change parameters of the chain
    Parameters(ParametersArgs),
    /// Let a rule begin at a height
    Feature(FeatureArgs),
}

/// A province.
#[derive(Debug, Args)]
pub(crate) struct OfProvince {
    /// Its code
    #[arg(value_name = "PROVINCE", value_parser = parse_province)]
    province: ProvinceCode,
}

/// A new province.
#[derive(Debug, Args)]
pub(crate) struct AddProvinceArgs {
    #[command(flatten)]
    of: OfProvince,
    /// Chinese name
    #[arg(long)]
    name_zh: Label,
    /// English name
    #[arg(long)]
    name_en: Label,
    /// The origin under which its agencies will issue, such as https://gansu.province.example
    #[arg(long, value_name = "ORIGIN")]
    issuer_origin: Origin,
    /// Its public key for transactions (PEM, JWK, or hexadecimal digits)
    #[arg(long, value_name = "FILE")]
    authority_key: PathBuf,
    /// Its public key for status lists
    #[arg(long, value_name = "FILE")]
    status_key: Option<PathBuf>,
}

/// A new validator.
#[derive(Debug, Args)]
pub(crate) struct AddValidatorArgs {
    #[command(flatten)]
    of: OfProvince,
    /// The public key of its votes (PEM, JWK, or hexadecimal digits)
    #[arg(long, value_name = "FILE")]
    validator_key: PathBuf,
    /// The peer id of its node, 12D3KooW…; `symbolon keys show` tells it of a key
    #[arg(long, value_name = "ID")]
    peer_id: PeerId,
}

/// A validator's new half, or both.
#[derive(Debug, Args)]
pub(crate) struct RotateValidatorArgs {
    #[command(flatten)]
    of: OfProvince,
    /// The new public key of its votes [default: as it is]
    #[arg(long, value_name = "FILE", required_unless_present = "peer_id")]
    validator_key: Option<PathBuf>,
    /// The new peer id of its node [default: as it is]
    #[arg(long, value_name = "ID")]
    peer_id: Option<PeerId>,
}

/// A catalogue entry.
#[derive(Debug, Args)]
pub(crate) struct LicenceTypeArgs {
    /// TOML with one [[licence_types]], as in a founding document
    #[arg(value_name = "FILE")]
    file: PathBuf,
}

/// A province's new key.
#[derive(Debug, Args)]
pub(crate) struct ProvinceKeyArgs {
    #[command(flatten)]
    of: OfProvince,
    /// Number of the key that ends
    #[arg(long, value_name = "NUMBER")]
    key_id: u32,
    /// The new public key (PEM, JWK, or hexadecimal digits)
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
    /// Last height at which it is valid [default: no end]
    #[arg(long, value_name = "HEIGHT")]
    valid_until: Option<u64>,
}

/// New parameters; those that are not given stay.
#[derive(Debug, Args)]
#[group(required = true, multiple = true)]
pub(crate) struct ParametersArgs {
    /// Longest time between two blocks when nothing happens
    #[arg(long, value_name = "MS")]
    idle_block_interval_ms: Option<u64>,
    /// Greatest age of a header on which a verdict may rest
    #[arg(long, value_name = "MS")]
    max_staleness_ms: Option<u64>,
    /// Greatest age of an offline verifier's trust bundle
    #[arg(long, value_name = "MS")]
    bundle_max_age_ms: Option<u64>,
}

/// A feature and its height.
#[derive(Debug, Args)]
pub(crate) struct FeatureArgs {
    /// Its number
    #[arg(value_name = "FEATURE")]
    feature: u32,
    /// First height at which it holds
    #[arg(long, value_name = "HEIGHT")]
    at: u64,
    /// Propose it although this release does not know it: every node of this release stops there
    #[arg(long)]
    unknown_feature: bool,
}

impl Change {
    /// The action that it stands for.
    pub(super) fn action(&self, node: &Node) -> Result<Action, Failure> {
        Ok(match self {
            Self::AddProvince(args) => {
                let status_key = args.status_key.as_deref().map(read_public_key).transpose()?;
                let province = Box::new(NewProvince {
                    code: args.of.province,
                    name_zh: args.name_zh.clone(),
                    name_en: args.name_en.clone(),
                    issuer_origin: args.issuer_origin.clone(),
                    authority_key: read_public_key(&args.authority_key)?,
                    status_key,
                });
                Action::AddProvince { province }
            }
            Self::RemoveProvince(OfProvince { province }) => {
                Action::RemoveProvince { province: *province }
            }
            Self::AddValidator(args) => {
                let key = read_public_key(&args.validator_key)?;
                let peer_id = args.peer_id.as_bytes().to_vec();
                let validator = Box::new(Validator { province: args.of.province, key, peer_id });
                Action::AddValidator { validator }
            }
            Self::RemoveValidator(OfProvince { province }) => {
                Action::RemoveValidator { province: *province }
            }
            Self::RotateValidator(args) => rotate_validator(args, node)?,
            Self::LicenceType(args) => {
                Action::SetLicenceType { entry: Box::new(read_entry(args)?) }
            }
            Self::ProvinceKey(args) => {
                let key = Box::new(NewKey {
                    key: read_public_key(&args.public_key)?,
                    purpose: KeyPurpose::Transaction,
                    valid_until: args.valid_until,
                });
                let (province, key_id) = (args.of.province, args.key_id);
                Action::RotateProvinceKey { province, key_id, key }
            }
            Self::Parameters(args) => {
                let now: ParametersRecord = node.record(&node.get("/v1/parameters")?)?;
                let idle = args.idle_block_interval_ms;
                Action::SetParameters {
                    idle_block_interval_ms: idle.unwrap_or(now.idle_block_interval_ms),
                    max_staleness_ms: args.max_staleness_ms.unwrap_or(now.max_staleness_ms),
                    bundle_max_age_ms: args.bundle_max_age_ms.unwrap_or(now.bundle_max_age_ms),
                }
            }
            Self::Feature(args) => feature(args)?,
        })
    }
}

fn rotate_validator(args: &RotateValidatorArgs, node: &Node) -> Result<Action, Failure> {
    let record: ValidatorsRecord = node.record(&node.get("/v1/validators")?)?;
    let Some(validator) = record.set.get(args.of.province) else {
        return Err(Failure::refused(
            "no_validator",
            format!("province {} has no validator", args.of.province),
            "propose add-validator instead",
        ));
    };
    let mut validator = Box::new(validator.clone());
    if let Some(file) = &args.validator_key {
        validator.key = read_public_key(file)?;
    }
    if let Some(peer_id) = &args.peer_id {
        validator.peer_id = peer_id.as_bytes().to_vec();
    }
    Ok(Action::RotateValidator { validator })
}

/// A feature that nobody knows would stop every node, and is mostly a slip of the hand.
fn feature(args: &FeatureArgs) -> Result<Action, Failure> {
    let FeatureArgs { feature, at, unknown_feature } = *args;
    if !KNOWN.contains(&feature) && !unknown_feature {
        let known: Vec<String> = KNOWN.iter().map(ToString::to_string).collect();
        return Err(Failure::refused(
            "unknown_feature",
            format!(
                "release {} does not know feature {feature} (it knows {}): all nodes of this \
                 release would stop at height {at}, for good",
                env!("CARGO_PKG_VERSION"),
                known.join(", ")
            ),
            "check the number; when every node runs a later release that knows it, use that \
             release's symbolon, or add --unknown-feature",
        ));
    }
    Ok(Action::ActivateFeature { feature, height: at })
}

fn read_entry(args: &LicenceTypeArgs) -> Result<LicenceTypeRecord, Failure> {
    let text = files::read_text(&args.file, MAX_CATALOGUE_BYTES, "the catalogue entry")?;
    let wrong = |what: String| {
        let hint = "write it as [[licence_types]] in a founding document; docs/spec/genesis.md";
        Failure::usage("bad_catalogue_entry", what, hint)
    };
    let mut entries = catalogue::parse(&text).map_err(|problems| {
        let lines: Vec<String> = problems.iter().map(ToString::to_string).collect();
        wrong(format!("{}:\n{}", args.file.display(), lines.join("\n")))
    })?;
    match (entries.pop(), entries.is_empty()) {
        (Some(entry), true) => Ok(entry),
        _ => Err(wrong(format!(
            "{} has several licence types, and a proposal has one",
            args.file.display()
        ))),
    }
}
