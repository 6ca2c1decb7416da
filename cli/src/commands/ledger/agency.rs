//! `symbolon agency`: the register of issuing agencies, kept by their provinces.
//!
//! Signed by the province's authority key, except what an agency may do itself (rotate its keys,
//! reserve slots), for which its own key may be named with `--key`. Only public keys are sent.

use std::path::PathBuf;

use clap::{Args, Subcommand, ValueEnum};
use serde_json::{Value, json};
use symbolon_ledger::{
    codes::{Label, TypeCode, Uscc},
    keys::PublicKey,
    operation::{KeyPurpose, NewKey, Operation},
};

use super::{
    issue::parse_type,
    shared::{committed_answer, parse_uscc, plain},
};
use crate::{
    args::Context,
    client::{Node, text},
    issuer::read_public_key,
    output::{Answer, Failure, Outcome},
    signing::{self, Signer},
};

/// The register of issuing agencies
#[derive(Debug, Subcommand)]
pub(crate) enum AgencyCommand {
    /// List agencies
    List(ListArgs),
    /// Show an agency, its keys and its blocks of status slots
    Show(Named),
    /// Register an agency of the signing province
    Register(RegisterArgs),
    /// Replace the types that an agency may issue
    Scope(ScopeArgs),
    /// Stop an agency from acting
    Suspend(Named),
    /// Let a suspended agency act again
    Resume(Named),
    /// End an agency for good; its licences stay
    Deregister(Named),
    /// Name the agency that administers a deregistered one's licences
    Successor(SuccessorArgs),
    /// Grant an agency blocks of 4,096 status slots
    ReserveSlots(ReserveSlotsArgs),
    /// An agency's keys
    #[command(subcommand)]
    Key(KeyCommand),
    /// Name the key that signs the province's status lists
    StatusKey(PublicKeyArg),
}

/// An agency's keys
#[derive(Debug, Subcommand)]
pub(crate) enum KeyCommand {
    /// Register one more key
    Add(AddKeyArgs),
    /// Replace a key by a new one of the same purpose
    Rotate(RotateKeyArgs),
    /// End a key
    Revoke(NumberedKey),
    /// Declare a key stolen from a height on: what it issued since is invalid
    Compromise(CompromiseArgs),
}

/// Which agencies to list.
#[derive(Debug, Args)]
pub(crate) struct ListArgs {
    /// Only those of one province
    #[arg(long, value_name = "CODE", value_parser = super::shared::parse_province)]
    province: Option<symbolon_ledger::codes::ProvinceCode>,
}

/// One agency.
#[derive(Debug, Args)]
pub(crate) struct Named {
    /// Its unified social credit code
    #[arg(value_name = "USCC", value_parser = parse_uscc)]
    agency: Uscc,
}

/// A new agency.
#[derive(Debug, Args)]
pub(crate) struct RegisterArgs {
    #[command(flatten)]
    agency: Named,
    /// Its name
    #[arg(long, value_parser = parse_label)]
    name: Label,
    /// A type that it may issue; may be repeated
    #[arg(long = "type", value_name = "CODE", value_parser = parse_type)]
    scope: Vec<TypeCode>,
    /// Its public key for transactions (PEM, JWK, or hexadecimal digits)
    #[arg(long, value_name = "FILE")]
    transaction_key: PathBuf,
    /// Its public key for credentials
    #[arg(long, value_name = "FILE")]
    credential_key: PathBuf,
}

/// An agency's types.
#[derive(Debug, Args)]
pub(crate) struct ScopeArgs {
    #[command(flatten)]
    agency: Named,
    /// A type that it may issue from now on; may be repeated
    #[arg(long = "type", value_name = "CODE", value_parser = parse_type, required_unless_present = "none")]
    scope: Vec<TypeCode>,
    /// It may issue nothing any more
    #[arg(long, conflicts_with = "scope")]
    none: bool,
}

/// An agency and its successor.
#[derive(Debug, Args)]
pub(crate) struct SuccessorArgs {
    #[command(flatten)]
    agency: Named,
    /// The successor
    #[arg(long, value_name = "USCC", value_parser = parse_uscc)]
    successor: Uscc,
}

/// How many blocks.
#[derive(Debug, Args)]
pub(crate) struct ReserveSlotsArgs {
    #[command(flatten)]
    agency: Named,
    /// Blocks of 4,096 slots
    #[arg(long, default_value_t = 1)]
    blocks: u16,
}

/// A public key.
#[derive(Debug, Args)]
pub(crate) struct PublicKeyArg {
    /// The public key (PEM, JWK, or hexadecimal digits)
    #[arg(long, value_name = "FILE")]
    public_key: PathBuf,
    /// Last height at which it is valid [default: no end]
    #[arg(long, value_name = "HEIGHT")]
    valid_until: Option<u64>,
}

/// One more key.
#[derive(Debug, Args)]
pub(crate) struct AddKeyArgs {
    #[command(flatten)]
    agency: Named,
    /// What it is for
    #[arg(long, value_enum)]
    purpose: Purpose,
    #[command(flatten)]
    key: PublicKeyArg,
}

/// What an agency's key is for.
#[derive(Debug, Clone, Copy, ValueEnum)]
pub(crate) enum Purpose {
    /// Signs transactions
    Transaction,
    /// Signs credentials
    Credential,
}

/// A key of an agency by its number.
#[derive(Debug, Args)]
pub(crate) struct NumberedKey {
    #[command(flatten)]
    agency: Named,
    /// The key's number
    #[arg(long, value_name = "NUMBER")]
    key_id: u32,
}

/// A key and its replacement.
#[derive(Debug, Args)]
pub(crate) struct RotateKeyArgs {
    #[command(flatten)]
    old: NumberedKey,
    #[command(flatten)]
    new: PublicKeyArg,
}

/// A stolen key.
#[derive(Debug, Args)]
pub(crate) struct CompromiseArgs {
    #[command(flatten)]
    key: NumberedKey,
    /// First height at which it may have been in other hands
    #[arg(long, value_name = "HEIGHT")]
    from_height: u64,
}

fn parse_label(text: &str) -> Result<Label, String> {
    text.parse().map_err(|e: symbolon_ledger::codes::CodeError| e.to_string())
}

impl PublicKeyArg {
    fn new_key(&self, purpose: KeyPurpose) -> Result<NewKey, Failure> {
        let key: PublicKey = read_public_key(&self.public_key)?;
        Ok(NewKey { key, purpose, valid_until: self.valid_until })
    }
}

/// Runs the command.
pub(super) fn run(command: &AgencyCommand, context: &Context) -> Outcome {
    let node = Node::of(context)?;
    let (operation, done) = match command {
        AgencyCommand::List(args) => return list(args, &node),
        AgencyCommand::Show(args) => return show(args, &node),
        AgencyCommand::Key(command) => key_operation(command, &node)?,
        AgencyCommand::StatusKey(args) => {
            let key = args.new_key(KeyPurpose::Status)?;
            (Operation::SetStatusKey { key }, "named the status key".to_owned())
        }
        AgencyCommand::Register(args) => {
            let key = |path: &PathBuf, purpose| -> Result<NewKey, Failure> {
                Ok(NewKey { key: read_public_key(path)?, purpose, valid_until: None })
            };
            let keys = vec![
                key(&args.transaction_key, KeyPurpose::Transaction)?,
                key(&args.credential_key, KeyPurpose::Credential)?,
            ];
            let (agency, name) = (args.agency.agency, args.name.clone());
            let scope = ascending(&args.scope);
            (
                Operation::RegisterAgency { agency, name, scope, keys },
                format!("registered {agency}"),
            )
        }
        AgencyCommand::Scope(args) => {
            let (agency, scope) = (args.agency.agency, ascending(&args.scope));
            (Operation::SetScope { agency, scope }, format!("set the scope of {agency}"))
        }
        AgencyCommand::Suspend(Named { agency }) => {
            (Operation::SuspendAgency { agency: *agency }, format!("suspended {agency}"))
        }
        AgencyCommand::Resume(Named { agency }) => {
            (Operation::ResumeAgency { agency: *agency }, format!("resumed {agency}"))
        }
        AgencyCommand::Deregister(Named { agency }) => {
            (Operation::DeregisterAgency { agency: *agency }, format!("deregistered {agency}"))
        }
        AgencyCommand::Successor(args) => {
            let (agency, successor) = (args.agency.agency, args.successor);
            let done = format!("{successor} administers the licences of {agency}");
            (Operation::AssignSuccessor { agency, successor }, done)
        }
        AgencyCommand::ReserveSlots(args) => {
            let (agency, blocks) = (args.agency.agency, args.blocks);
            let done = format!("reserved {blocks} blocks for {agency}");
            (Operation::ReserveSlots { agency, blocks }, done)
        }
    };
    let signer = Signer::authority(context, &node)?;
    let committed = signing::commit(&node, &signer, vec![operation])?;
    Ok(committed_answer(&committed, &done, json!({})))
}

/// Scopes are sets, written in ascending order.
fn ascending(scope: &[TypeCode]) -> Vec<TypeCode> {
    let mut scope = scope.to_vec();
    scope.sort();
    scope.dedup();
    scope
}

fn key_operation(command: &KeyCommand, node: &Node) -> Result<(Operation, String), Failure> {
    Ok(match command {
        KeyCommand::Add(args) => {
            let purpose = match args.purpose {
                Purpose::Transaction => KeyPurpose::Transaction,
                Purpose::Credential => KeyPurpose::Credential,
            };
            let (agency, key) = (args.agency.agency, args.key.new_key(purpose)?);
            (Operation::AddKey { agency, key }, format!("added a key to {agency}"))
        }
        KeyCommand::Rotate(args) => {
            let NumberedKey { agency: Named { agency }, key_id } = args.old;
            let key = args.new.new_key(purpose_of(node, &agency, key_id)?)?;
            let done = format!("replaced key {key_id} of {agency}");
            (Operation::RotateKey { agency, key_id, key }, done)
        }
        KeyCommand::Revoke(NumberedKey { agency: Named { agency }, key_id }) => {
            let (agency, key_id) = (*agency, *key_id);
            (Operation::RevokeKey { agency, key_id }, format!("ended key {key_id} of {agency}"))
        }
        KeyCommand::Compromise(args) => {
            let NumberedKey { agency: Named { agency }, key_id } = args.key;
            let from_height = args.from_height;
            let done =
                format!("key {key_id} of {agency} counts as stolen from height {from_height} on");
            (Operation::MarkCompromised { agency, key_id, from_height }, done)
        }
    })
}

fn purpose_of(node: &Node, agency: &Uscc, key_id: u32) -> Result<KeyPurpose, Failure> {
    let answer = node.get(&format!("/v1/agencies/{agency}"))?;
    let keys = answer["keys"].as_array().map(Vec::as_slice).unwrap_or_default();
    let key = keys.iter().find(|key| key["id"].as_u64() == Some(u64::from(key_id)));
    match key.map(|key| text(key, "purpose")) {
        Some("transaction") => Ok(KeyPurpose::Transaction),
        Some("credential") => Ok(KeyPurpose::Credential),
        _ => Err(Failure::refused(
            "unknown_key",
            format!("agency {agency} has no key {key_id}"),
            format!("`symbolon agency show {agency}` lists its keys"),
        )),
    }
}

fn list(args: &ListArgs, node: &Node) -> Outcome {
    let path = match args.province {
        Some(province) => format!("/v1/agencies?province={province}"),
        None => "/v1/agencies".to_owned(),
    };
    let agencies = node.list(&path)?;
    let line = |agency: &Value| {
        format!(
            "{}  {}  {:<12} {}",
            text(agency, "uscc"),
            text(agency, "province"),
            text(agency, "status"),
            plain(text(agency, "name"))
        )
    };
    let lines: Vec<String> = agencies.iter().map(line).collect();
    Ok(Answer::new(lines.join("\n"), json!({ "agencies": agencies })))
}

fn show(args: &Named, node: &Node) -> Outcome {
    let agency = args.agency;
    let mut answer = node.get(&format!("/v1/agencies/{agency}"))?;
    let slots = node.list(&format!("/v1/agencies/{agency}/slots"))?;
    let mut lines = vec![
        format!("{agency}  {}", plain(text(&answer, "name"))),
        format!("province   {}", text(&answer, "province")),
        format!("status     {}", text(&answer, "status")),
    ];
    if let Some(successor) = answer["successor"].as_str() {
        lines.push(format!("successor  {successor}"));
    }
    let scope = answer["scope"].as_array().map(Vec::as_slice).unwrap_or_default();
    if scope.is_empty() {
        lines.push("issues     nothing".to_owned());
    }
    for code in scope {
        lines.push(format!("issues     {}", code.as_str().unwrap_or_default()));
    }
    for key in answer["keys"].as_array().into_iter().flatten() {
        let state = if key["valid"] == json!(true) { "valid" } else { "not valid" };
        let stolen = key["compromised_from"].as_u64();
        let stolen = stolen.map(|h| format!(", compromised from height {h}")).unwrap_or_default();
        lines.push(format!("key {:<6} {:<12} {state}{stolen}", key["id"], text(key, "purpose")));
    }
    let free: u64 = slots.iter().filter_map(|block| block["free"].as_u64()).sum();
    lines.push(format!("slots      {} blocks with {free} free slots", slots.len()));
    answer["slots"] = json!({"blocks": slots.len(), "free": free});
    Ok(Answer::new(lines.join("\n"), answer))
}
