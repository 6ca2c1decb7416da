//! An agency that puts a load on the network: what it signs.
//!
//! Everything is as an import signs it, but for the credentials, of which there are none: digests
//! are random.

use std::{collections::VecDeque, sync::Arc};

use serde_json::Value;
use symbolon_ledger::{
    codes::{ProvinceCode, TypeCode, Uscc, cid},
    hash::{Cid, Digest},
    operation::{NewLicence, Operation, RevocationClass},
    records::AgencyRecord,
    transaction::SignedTransaction,
};

use super::{
    LoadArgs,
    plan::{Kind, Plan},
    stock::Stock,
};
use crate::{
    args::{Context, Global},
    client::{Node, text},
    devnet_file::DevnetAgency,
    entropy,
    output::{Failure, Output},
    signing::{self, Signer},
    slots::Slots,
};

/// How many heights a transaction stays valid: more than a network makes while the longest patience
/// lasts, and half of what the ledger allows.
const VALID_HEIGHTS: u64 = 5_000;
/// Random bytes of a licence: its digest and its lineage tag.
const RANDOM_BYTES: usize = 64;

/// Who signs, and on what: shared with the thread that fetches slots.
#[derive(Debug)]
pub(super) struct Identity {
    pub(super) node: Node,
    pub(super) signer: Signer,
    pub(super) province: ProvinceCode,
    pub(super) slots: Slots,
    uscc: Uscc,
    credential_key: u32,
    licence_type: TypeCode,
}

/// An agency, before it has slots.
#[derive(Debug)]
pub(super) struct Opened {
    pub(super) identity: Arc<Identity>,
    /// The place of its node among all.
    node: usize,
    height: u64,
}

/// An agency at work.
#[derive(Debug)]
pub(super) struct Agency {
    identity: Arc<Identity>,
    /// The place of its node among all.
    pub(super) node: usize,
    /// The newest height that it knows.
    height: u64,
    stock: Stock,
    /// Licences that it issued and may revoke.
    issued: VecDeque<Cid>,
}

/// A transaction that is to be submitted.
#[derive(Debug)]
pub(super) struct Prepared {
    pub(super) transaction: SignedTransaction,
    pub(super) issues: u64,
    pub(super) revokes: u64,
    /// Names of the licences that it issues, where they are kept.
    pub(super) licences: Vec<Cid>,
}

/// The agencies that the arguments name, and the nodes that they submit to.
///
/// # Errors
///
/// When one has no key or is not known, or there are not so many.
pub(super) fn open(
    args: &LoadArgs,
    context: &Context,
    plan: &Plan,
) -> Result<(Vec<Opened>, Vec<String>), Failure> {
    let contexts = match context.network()? {
        Some(_) if context.global.key.is_some() => vec![of(context, None)],
        Some(network) => {
            let all: Vec<&str> = network.agencies.iter().map(|a| a.province.as_str()).collect();
            let named = context.global.acting_as.as_deref();
            let is_named = |a: &DevnetAgency| named.is_some_and(|n| n == a.uscc || n == a.province);
            let first = network.agencies.iter().position(is_named);
            if all.len() < plan.agencies || (named.is_some() && first.is_none()) {
                return Err(Failure::usage(
                    "bad_agencies",
                    "this network has not so many agencies, or not the one of --as",
                    format!("it has {}, of the provinces {}", all.len(), all.join(" ")),
                ));
            }
            let from_first = all.iter().copied().cycle().skip(first.unwrap_or(0));
            from_first.take(plan.agencies).map(|code| of(context, Some(code))).collect()
        }
        None => vec![of(context, None)],
    };
    let (mut opened, mut urls) = (Vec::new(), Vec::new());
    for context in &contexts {
        let node = Node::of(context)?;
        let height = signing::tip(&node)?.height;
        let url = node.url().to_owned();
        let place = urls.iter().position(|known| *known == url).unwrap_or_else(|| {
            urls.push(url);
            urls.len() - 1
        });
        let identity = Identity::open(context, node, &args.licence_type)?;
        opened.push(Opened { identity: Arc::new(identity), node: place, height });
    }
    Ok((opened, urls))
}

/// The context of the agency of a province.
fn of(context: &Context, province: Option<&str>) -> Context {
    let acting_as = province.map(str::to_owned).or_else(|| context.global.acting_as.clone());
    let global = Global { acting_as, ..context.global.clone() };
    Context { output: Output::new(global.json), global }
}

impl Identity {
    fn open(context: &Context, node: Node, licence_type: &TypeCode) -> Result<Self, Failure> {
        let signer = Signer::agency(context, &node)?;
        let uscc = signer.uscc()?;
        let answer = node.get(&format!("/v1/agencies/{uscc}"))?;
        let record: AgencyRecord = node.record(&answer)?;
        let credential_key = credential_key(&answer).ok_or_else(|| {
            Failure::refused(
                "unknown_credential_key",
                format!("agency {uscc} has no valid credential key, and every licence names one"),
                "let its province register one: symbolon agency key add",
            )
        })?;
        Ok(Self {
            slots: Slots::beside(&signer),
            province: record.province,
            licence_type: licence_type.clone(),
            node,
            signer,
            uscc,
            credential_key,
        })
    }
}

/// The number of a valid credential key. Nothing is signed with it here.
fn credential_key(agency: &Value) -> Option<u32> {
    let keys = agency.get("keys")?.as_array()?;
    let is_one = |key: &&Value| {
        text(key, "purpose") == "credential"
            && key.get("valid").and_then(Value::as_bool) != Some(false)
    };
    keys.iter().find(is_one)?.get("id")?.as_u64().and_then(|id| u32::try_from(id).ok())
}

impl Opened {
    /// The same, with slots to issue on.
    pub(super) fn with(self, stock: Stock) -> Agency {
        let Self { identity, node, height } = self;
        Agency { identity, node, height, stock, issued: VecDeque::new() }
    }
}

impl Agency {
    /// Makes and signs the next transaction; none while there are no slots for it, or no licences to
    /// revoke. `turn` counts what this agency began.
    ///
    /// # Errors
    ///
    /// When the system gives no random bytes.
    pub(super) fn next(&mut self, plan: &Plan, turn: u64) -> Result<Option<Prepared>, Failure> {
        let revokes = match plan.kind {
            Kind::Issue => false,
            Kind::Revoke => true,
            // Until so many are committed, it issues.
            Kind::Mixed => turn % 2 == 1 && self.issued.len() >= plan.batch,
        };
        let operations = if revokes { self.revoke(plan.batch) } else { self.issue(plan.batch)? };
        let Some(operations) = operations else { return Ok(None) };
        let (count, uscc) = (operations.len() as u64, self.identity.uscc);
        let licences = if plan.keep_issued { names(&uscc, &operations) } else { Vec::new() };
        let until = self.height.saturating_add(VALID_HEIGHTS);
        let transaction = self.identity.signer.sign_until(until, operations)?;
        let (issues, revokes) = if revokes { (0, count) } else { (count, 0) };
        Ok(Some(Prepared { transaction, issues, revokes, licences }))
    }

    /// Notes what was committed at a height.
    pub(super) fn committed(&mut self, height: u64, licences: Vec<Cid>) {
        self.height = self.height.max(height);
        self.issued.extend(licences);
    }

    /// Gives back the slots that were not used.
    ///
    /// # Errors
    ///
    /// When the list of slots cannot be kept.
    pub(super) fn give_back(&mut self) -> Result<(), Failure> {
        let left = self.stock.close();
        if left.is_empty() { Ok(()) } else { self.identity.slots.give_back(&left) }
    }

    fn revoke(&mut self, count: usize) -> Option<Vec<Operation>> {
        if self.issued.len() < count {
            return None;
        }
        let class = RevocationClass::Unspecified;
        Some(self.issued.drain(..count).map(|cid| Operation::Revoke { cid, class }).collect())
    }

    fn issue(&mut self, count: usize) -> Result<Option<Vec<Operation>>, Failure> {
        let Some(slots) = self.stock.take(count) else { return Ok(None) };
        let mut random = vec![0; RANDOM_BYTES * count];
        entropy::fill(&mut random)?;
        let Identity { licence_type, credential_key, .. } = &*self.identity;
        let issue = |(slot, random): (u32, &[u8])| {
            let half = |at| Digest(random[at..at + 32].try_into().expect("32 bytes of 64"));
            let licence = NewLicence {
                inner: half(0),
                licence_type: licence_type.clone(),
                credential_key: *credential_key,
                slot,
                expiry: None,
                lineage: half(32),
            };
            Operation::Issue { licence }
        };
        Ok(Some(slots.into_iter().zip(random.chunks_exact(RANDOM_BYTES)).map(issue).collect()))
    }
}

fn names(uscc: &Uscc, operations: &[Operation]) -> Vec<Cid> {
    let name = |operation: &Operation| match operation {
        Operation::Issue { licence } => Some(cid(uscc, &licence.inner)),
        _ => None,
    };
    operations.iter().filter_map(name).collect()
}
